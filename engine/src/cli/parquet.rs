//! Parquet, where the program was built with it.

use std::io::{self, Write};

use synod_results::columns::Column;

/// Writes a table.
#[cfg(feature = "parquet")]
pub(super) fn write(columns: &[Column], target: impl Write + Send) -> io::Result<()> {
    synod_results::parquet::write(columns, target)
}

/// Says how to get a program that can.
#[cfg(not(feature = "parquet"))]
pub(super) fn write(_columns: &[Column], _target: impl Write + Send) -> io::Result<()> {
    let sentence = "this program cannot write Parquet: build it with \
                    `cargo build --release --features parquet`, or ask for CSV";
    Err(io::Error::new(io::ErrorKind::InvalidInput, sentence))
}
