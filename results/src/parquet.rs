//! Tables as Parquet, which data frames and databases read without being told the types.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::columns::{Column, Values};

/// Writes a table as one row group.
///
/// # Errors
/// If the target cannot be written.
pub fn write(columns: &[Column], target: impl Write + Send) -> io::Result<()> {
    write_all(columns, target).map_err(io::Error::other)
}

fn write_all(columns: &[Column], target: impl Write + Send) -> Result<()> {
    let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<_>>()?;
    let schema = Type::group_type_builder("table").with_fields(fields).build()?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    let mut file = SerializedFileWriter::new(target, Arc::new(schema), Arc::new(properties))?;
    let mut rows = file.next_row_group()?;
    for column in columns {
        let mut writer = rows.next_column()?.ok_or_else(|| {
            ParquetError::General("the schema has fewer columns than the table".to_owned())
        })?;
        write_values(&column.values, &mut writer)?;
        writer.close()?;
    }
    rows.close()?;
    file.close()?;
    Ok(())
}

/// The type of a column.
fn field(column: &Column) -> Result<Type> {
    let count = LogicalType::integer(64, false);
    let (physical, logical, repetition) = match column.values {
        Values::Words(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED),
        Values::Counts(_) => (Physical::INT64, Some(count), Repetition::REQUIRED),
        Values::MaybeCounts(_) => (Physical::INT64, Some(count), Repetition::OPTIONAL),
        Values::Figures(_) => (Physical::DOUBLE, None, Repetition::REQUIRED),
        Values::MaybeFigures(_) => (Physical::DOUBLE, None, Repetition::OPTIONAL),
        Values::Flags(_) => (Physical::BOOLEAN, None, Repetition::REQUIRED),
    };
    Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_converted_type(ConvertedType::NONE)
        .with_repetition(repetition)
        .build()
}

fn write_values(values: &Values, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
    // The format has no unsigned numbers of its own: the type says how the bits are meant.
    let bits = |count: &u64| count.cast_signed();
    match values {
        Values::Words(words) => {
            let words: Vec<ByteArray> =
                words.iter().map(|word| ByteArray::from(word.as_str())).collect();
            writer.typed::<ByteArrayType>().write_batch(&words, None, None)?;
        }
        Values::Counts(counts) => {
            let counts: Vec<i64> = counts.iter().map(bits).collect();
            writer.typed::<Int64Type>().write_batch(&counts, None, None)?;
        }
        Values::MaybeCounts(counts) => {
            let present: Vec<i64> = counts.iter().flatten().map(bits).collect();
            writer.typed::<Int64Type>().write_batch(&present, Some(&there(counts)), None)?;
        }
        Values::Figures(figures) => {
            writer.typed::<DoubleType>().write_batch(figures, None, None)?;
        }
        Values::MaybeFigures(figures) => {
            let present: Vec<f64> = figures.iter().flatten().copied().collect();
            writer.typed::<DoubleType>().write_batch(&present, Some(&there(figures)), None)?;
        }
        Values::Flags(flags) => {
            writer.typed::<BoolType>().write_batch(flags, None, None)?;
        }
    }
    Ok(())
}

/// For each value whether there is one, as the format wants it said.
fn there<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| i16::from(value.is_some())).collect()
}
