//! Histories in the formats of other checkers.
//!
//! [`columns`] is a history as a table. [`read_edn`] takes in a history of Jepsen, [`write_edn`] and [`write_porcupine`] write those
//! that Jepsen's and Porcupine's checkers read. Values are integers there and ids here; both are
//! the same 64 bits, but for those that stand for nothing (`exchange/value.rs`).

mod columns;
mod edn;
mod export;
mod jepsen;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

pub use columns::columns;
pub use export::{write_edn, write_porcupine};
pub use jepsen::read_edn;
pub(crate) use value::{external, is_external};

/// Which line of a text is no history, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The name of the file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong with it, and what would be right.
    pub what: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for LineError {}
