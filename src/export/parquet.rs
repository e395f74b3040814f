//! Any list as Parquet, for DuckDB, pandas, Polars and Spark: texts are strings, moments are timestamps in UTC, the
//! names of several artists are a list. Rows are gathered column by column, and written a row group at a time.

use super::rows::{Cells, Column, Kind};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};
use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::Arc,
};

/// A row group is written when it has this many rows, or this many bytes of text: readers want large ones, memory small
/// ones.
const GROUP_ROWS_MAX: usize = 50_000;
const GROUP_BYTES_MAX: usize = 2 * 1024 * 1024;

pub struct Parquet<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<Gathered>,
    /// The column of the next cell.
    at: usize,
    num_rows: usize,
    num_bytes: usize,
}

/// A column of the row group under way.
#[derive(Debug)]
struct Gathered {
    values: Values,
    /// For each entry: whether it has a value.
    definitions: Vec<i16>,
    /// For each entry of a list: 0 if it begins one.
    repetitions: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    /// Concatenated, with the end of each.
    Texts(Vec<u8>, Vec<usize>),
    Numbers(Vec<i64>),
    Flags(Vec<bool>),
}

impl<W: Write + Send> Parquet<W> {
    pub fn begin(columns: &[Column], out: W) -> io::Result<Parquet<W>> {
        let schema = parse_message_type(&schema(columns)).map_err(plain)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("segno version {}", env!("CARGO_PKG_VERSION")))
            .build();
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(plain)?;
        let columns = columns.iter().map(|(_, kind)| Gathered::new(*kind)).collect();
        Ok(Parquet { out, columns, at: 0, num_rows: 0, num_bytes: 0 })
    }

    pub fn end_row(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.at, self.columns.len(), "a row has a cell for each column");
        (self.at, self.num_rows) = (0, self.num_rows + 1);
        if self.num_rows == GROUP_ROWS_MAX || self.num_bytes >= GROUP_BYTES_MAX {
            self.write_group().map_err(plain)?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<W> {
        if self.num_rows > 0 {
            self.write_group().map_err(plain)?;
        }
        self.out.into_inner().map_err(plain)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.out.next_row_group()?;
        for column in &mut self.columns {
            let mut out = group.next_column()?.expect("the schema has the same columns");
            column.write(&mut out)?;
            out.close()?;
        }
        group.close()?;
        (self.num_rows, self.num_bytes) = (0, 0);
        Ok(())
    }

    fn next(&mut self) -> &mut Gathered {
        self.at += 1;
        &mut self.columns[self.at - 1]
    }
}

impl<W: Write + Send> Cells for Parquet<W> {
    fn text(&mut self, text: Option<&str>) -> io::Result<()> {
        self.num_bytes += text.map_or(0, str::len);
        let column = self.next();
        column.define(text.is_some());
        column.push(text.unwrap_or_default(), text.is_some());
        Ok(())
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let column = self.next();
        let (mut num, mut num_bytes) = (0, 0);
        for text in texts {
            column.define(true);
            column.repetitions.push(i16::from(num > 0));
            column.push(text, true);
            (num, num_bytes) = (num + 1, num_bytes + text.len());
        }
        if num == 0 {
            column.define(false);
            column.repetitions.push(0);
        }
        self.num_bytes += num_bytes;
        Ok(())
    }

    fn number(&mut self, number: Option<i64>) -> io::Result<()> {
        let column = self.next();
        column.define(number.is_some());
        if let (Values::Numbers(numbers), Some(number)) = (&mut column.values, number) {
            numbers.push(number);
        }
        Ok(())
    }

    fn flag(&mut self, flag: Option<bool>) -> io::Result<()> {
        let column = self.next();
        column.define(flag.is_some());
        if let (Values::Flags(flags), Some(flag)) = (&mut column.values, flag) {
            flags.push(flag);
        }
        Ok(())
    }

    fn moment(&mut self, at: Option<DateTime<Utc>>) -> io::Result<()> {
        self.number(at.map(|at| at.timestamp_micros()))
    }
}

impl Gathered {
    fn new(kind: Kind) -> Gathered {
        let values = match kind {
            Kind::Text | Kind::Texts => Values::Texts(Vec::new(), Vec::new()),
            Kind::Number | Kind::Moment => Values::Numbers(Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
        };
        Gathered { values, definitions: Vec::new(), repetitions: Vec::new() }
    }

    fn define(&mut self, has_value: bool) {
        self.definitions.push(i16::from(has_value));
    }

    fn push(&mut self, text: &str, has_value: bool) {
        if let (Values::Texts(bytes, ends), true) = (&mut self.values, has_value) {
            bytes.extend_from_slice(text.as_bytes());
            ends.push(bytes.len());
        }
    }

    /// Writes its contents, and is empty again.
    fn write(&mut self, out: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let repetitions = Some(self.repetitions.as_slice()).filter(|levels| !levels.is_empty());
        let definitions = Some(self.definitions.as_slice());
        match &mut self.values {
            Values::Texts(bytes, ends) => {
                let bytes = Bytes::from(std::mem::take(bytes));
                let begins = std::iter::once(0).chain(ends.iter().copied());
                let texts = begins.zip(&*ends).map(|(begin, end)| ByteArray::from(bytes.slice(begin..*end)));
                let texts: Vec<ByteArray> = texts.collect();
                out.typed::<ByteArrayType>().write_batch(&texts, definitions, repetitions)?;
                ends.clear();
            }
            Values::Numbers(numbers) => {
                out.typed::<Int64Type>().write_batch(numbers, definitions, repetitions)?;
                numbers.clear();
            }
            Values::Flags(flags) => {
                out.typed::<BoolType>().write_batch(flags, definitions, repetitions)?;
                flags.clear();
            }
        }
        self.definitions.clear();
        self.repetitions.clear();
        Ok(())
    }
}

/// As in <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>.
fn schema(columns: &[Column]) -> String {
    let mut schema = "message segno {\n".to_owned();
    for (name, kind) in columns {
        let _ = match kind {
            Kind::Text => writeln!(schema, "optional binary {name} (STRING);"),
            Kind::Texts => writeln!(
                schema,
                "required group {name} (LIST) {{ repeated group list {{ required binary element (STRING); }} }}"
            ),
            Kind::Number => writeln!(schema, "optional int64 {name};"),
            Kind::Flag => writeln!(schema, "optional boolean {name};"),
            Kind::Moment => writeln!(schema, "optional int64 {name} (TIMESTAMP(MICROS,true));"),
        };
    }
    schema + "}"
}

/// The IO error; `parquet` wraps it.
fn plain(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
