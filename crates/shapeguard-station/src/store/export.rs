//! Inspections as tables for other programs: CSV and Parquet, one row for each, oldest first.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::{Filter, Store, StoreError, Summary};
use crate::time::to_rfc3339;

/// The columns of both tables.
pub const CSV_COLUMNS: [&str; 14] = [
    "id",
    "received_at",
    "model",
    "model_sha256",
    "category",
    "serial",
    "verdict",
    "score",
    "threshold",
    "p_value",
    "reason",
    "warnings",
    "regions",
    "feedback",
];
/// Rows that are in memory at a time.
const ROWS_PER_GROUP: usize = 10_000;

/// Why a table cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// What it is made of cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing it as CSV failed.
    #[error("the table cannot be written: {0}; check the room on the disk")]
    Csv(#[from] csv::Error),
    /// Writing it as Parquet failed.
    #[error("the table cannot be written: {0}; check the room on the disk")]
    Parquet(#[from] ParquetError),
}

/// Writes inspections as CSV with a header; what is absent is an empty field. Returns the number of rows.
///
/// # Errors
/// If the store cannot be read or the table not written.
pub fn export_csv(store: &Store, filter: &Filter, out: impl Write) -> Result<usize, ExportError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(CSV_COLUMNS)?;
    let mut rows = 0;
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    // Scores were single numbers before the database widened them.
    let single = |value: Option<f64>| value.map_or_else(String::new, |value| (value as f32).to_string());
    store.each_inspection(filter, |s| {
        rows += 1;
        let fields = [
            s.id,
            to_rfc3339(s.received_ms),
            s.model,
            s.model_sha256,
            s.category.unwrap_or_default(),
            s.serial.unwrap_or_default(),
            s.verdict.to_string(),
            single(s.score),
            single(s.threshold),
            number(s.p_value),
            s.reason.unwrap_or_default(),
            s.warnings.to_string(),
            s.regions.to_string(),
            s.feedback.map_or_else(String::new, |kind| kind.name().to_owned()),
        ];
        writer.write_record(fields).map_err(ExportError::from)
    })?;
    writer.flush().map_err(|error| ExportError::Csv(error.into()))?;
    Ok(rows)
}

/// Writes inspections as a Parquet file with the columns of the CSV; times are timestamps. Returns the number of rows.
///
/// # Errors
/// If the store cannot be read or the table not written.
pub fn export_parquet(store: &Store, filter: &Filter, out: impl Write + Send) -> Result<usize, ExportError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::GZIP(Default::default()))
        .set_created_by(format!("shapeguard {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema()?), Arc::new(properties))?;
    let mut group = Vec::new();
    let mut rows = 0;
    store.each_inspection(filter, |summary| {
        rows += 1;
        group.push(summary);
        if group.len() == ROWS_PER_GROUP {
            write_group(&mut writer, &std::mem::take(&mut group))?;
        }
        Ok::<_, ExportError>(())
    })?;
    if !group.is_empty() {
        write_group(&mut writer, &group)?;
    }
    writer.close()?;
    Ok(rows)
}

fn schema() -> Result<Type, ParquetError> {
    let column = |name: &str, physical, logical, repetition| {
        let field = Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition);
        field.build().map(Arc::new)
    };
    let (required, optional) = (Repetition::REQUIRED, Repetition::OPTIONAL);
    let text = |name, repetition| column(name, PhysicalType::BYTE_ARRAY, Some(LogicalType::String), repetition);
    let number = |name| column(name, PhysicalType::DOUBLE, None, optional);
    let count = |name| column(name, PhysicalType::INT64, None, required);
    let moment = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let fields = vec![
        text("id", required)?,
        column("received_at", PhysicalType::INT64, Some(moment), required)?,
        text("model", required)?,
        text("model_sha256", required)?,
        text("category", optional)?,
        text("serial", optional)?,
        text("verdict", required)?,
        number("score")?,
        number("threshold")?,
        number("p_value")?,
        text("reason", optional)?,
        count("warnings")?,
        count("regions")?,
        text("feedback", optional)?,
    ];
    Type::group_type_builder("inspections").with_fields(fields).build()
}

/// Writes the columns in the order of the schema.
fn write_group<W: Write + Send>(writer: &mut SerializedFileWriter<W>, rows: &[Summary]) -> Result<(), ExportError> {
    let mut group = writer.next_row_group()?;
    texts(&mut group, rows, |s| Some(s.id.clone()), false)?;
    integers(&mut group, rows, |s| s.received_ms)?;
    texts(&mut group, rows, |s| Some(s.model.clone()), false)?;
    texts(&mut group, rows, |s| Some(s.model_sha256.clone()), false)?;
    texts(&mut group, rows, |s| s.category.clone(), true)?;
    texts(&mut group, rows, |s| s.serial.clone(), true)?;
    texts(&mut group, rows, |s| Some(s.verdict.to_string()), false)?;
    numbers(&mut group, rows, |s| s.score)?;
    numbers(&mut group, rows, |s| s.threshold)?;
    numbers(&mut group, rows, |s| s.p_value)?;
    texts(&mut group, rows, |s| s.reason.clone(), true)?;
    integers(&mut group, rows, |s| s.warnings as i64)?;
    integers(&mut group, rows, |s| s.regions as i64)?;
    texts(&mut group, rows, |s| s.feedback.map(|kind| kind.name().to_owned()), true)?;
    group.close()?;
    Ok(())
}

fn texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Summary],
    of: impl Fn(&Summary) -> Option<String>,
    is_optional: bool,
) -> Result<(), ExportError> {
    let all: Vec<Option<String>> = rows.iter().map(of).collect();
    let levels: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<ByteArray> = all.into_iter().flatten().map(|text| text.into_bytes().into()).collect();
    write_column::<ByteArrayType, _>(group, &values, is_optional.then_some(&levels))
}

fn numbers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Summary],
    of: impl Fn(&Summary) -> Option<f64>,
) -> Result<(), ExportError> {
    let all: Vec<Option<f64>> = rows.iter().map(of).collect();
    let levels: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<f64> = all.into_iter().flatten().collect();
    write_column::<DoubleType, _>(group, &values, Some(&levels))
}

fn integers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Summary],
    of: impl Fn(&Summary) -> i64,
) -> Result<(), ExportError> {
    let values: Vec<i64> = rows.iter().map(of).collect();
    write_column::<Int64Type, _>(group, &values, None)
}

/// `levels` are 1 where there is a value, of optional columns.
fn write_column<T: parquet::data_type::DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&Vec<i16>>,
) -> Result<(), ExportError> {
    let missing = || ParquetError::General("the schema has no such column".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, levels.map(Vec::as_slice), None)?;
    column.close()?;
    Ok(())
}
