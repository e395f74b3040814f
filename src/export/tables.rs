//! Any list as CSV (RFC 4180, UTF-8, one header line), as JSON Lines or as Parquet: a row each, the same fields.

use super::{
    Format,
    parquet::Parquet,
    plain,
    rows::{Cells, Row},
    unwrapped,
};
use chrono::{DateTime, SecondsFormat, Utc};
use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use std::{
    fmt::Write as _,
    io::{self, Write},
};

/// Characters with which a formula begins, for a spreadsheet.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Separates the names of several artists in one cell.
const BETWEEN: &str = "; ";

pub enum Table<W: Write + Send> {
    Csv(Box<CsvCells<W>>),
    Jsonl(W),
    Parquet(Box<Parquet<W>>),
}

impl<W: Write + Send> Table<W> {
    /// A table of such rows. CSV with `is_for_spreadsheets` puts an apostrophe before what would be a formula.
    pub fn begin<R: Row>(format: Format, out: W, is_for_spreadsheets: bool) -> io::Result<Table<W>> {
        Ok(match format {
            Format::Jsonl => Table::Jsonl(out),
            Format::Parquet => Table::Parquet(Box::new(Parquet::begin(&R::columns(), out)?)),
            _ => {
                let mut builder = WriterBuilder::new();
                builder.quote_style(QuoteStyle::Necessary).terminator(Terminator::Any(b'\n'));
                let mut out = builder.from_writer(out);
                out.write_record(R::columns().iter().map(|(name, _)| name)).map_err(plain)?;
                Table::Csv(Box::new(CsvCells { out, is_for_spreadsheets, cell: String::new() }))
            }
        })
    }

    /// Rows are of the kind that the table was begun with.
    pub fn row<R: Row>(&mut self, row: &R) -> io::Result<()> {
        match self {
            Table::Csv(cells) => {
                row.cells(&mut **cells)?;
                cells.out.write_record(None::<&[u8]>).map_err(plain)
            }
            Table::Jsonl(out) => {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")
            }
            Table::Parquet(parquet) => {
                row.cells(&mut **parquet)?;
                parquet.end_row()
            }
        }
    }

    pub fn finish(self) -> io::Result<W> {
        match self {
            Table::Csv(cells) => unwrapped(cells.out),
            Table::Jsonl(mut out) => {
                out.flush()?;
                Ok(out)
            }
            Table::Parquet(parquet) => parquet.finish(),
        }
    }
}

pub struct CsvCells<W: Write> {
    out: Writer<W>,
    is_for_spreadsheets: bool,
    /// The one being assembled.
    cell: String,
}

impl<W: Write> CsvCells<W> {
    fn put(&mut self, cell: &str) -> io::Result<()> {
        self.out.write_field(cell).map_err(plain)
    }

    fn put_text(&mut self, text: &str) -> io::Result<()> {
        if self.is_for_spreadsheets && text.starts_with(FORMULAS) {
            return self.put(&format!("'{text}"));
        }
        self.put(text)
    }
}

impl<W: Write> Cells for CsvCells<W> {
    fn text(&mut self, text: Option<&str>) -> io::Result<()> {
        self.put_text(text.unwrap_or_default())
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let mut cell = std::mem::take(&mut self.cell);
        cell.clear();
        for (place, text) in texts.enumerate() {
            cell.push_str(if place > 0 { BETWEEN } else { "" });
            cell.push_str(text);
        }
        let put = self.put_text(&cell);
        self.cell = cell;
        put
    }

    fn number(&mut self, number: Option<i64>) -> io::Result<()> {
        let mut cell = std::mem::take(&mut self.cell);
        cell.clear();
        if let Some(number) = number {
            let _ = write!(cell, "{number}");
        }
        let put = self.put(&cell);
        self.cell = cell;
        put
    }

    fn flag(&mut self, flag: Option<bool>) -> io::Result<()> {
        self.put(flag.map_or("", |flag| if flag { "true" } else { "false" }))
    }

    fn moment(&mut self, at: Option<DateTime<Utc>>) -> io::Result<()> {
        match at {
            Some(at) => self.put(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => self.put(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ArtistLine;

    fn artist(name: &str) -> ArtistLine {
        let first_seen_at = DateTime::from_timestamp(1_740_938_671, 0).unwrap();
        ArtistLine { first_seen_at, id: "a1".into(), name: name.into(), genres: None, image_url: None }
    }

    fn written(format: Format, is_for_spreadsheets: bool, name: &str) -> String {
        let mut table = Table::begin::<ArtistLine>(format, Vec::new(), is_for_spreadsheets).unwrap();
        table.row(&artist(name)).unwrap();
        table.row(&artist("plain")).unwrap();
        String::from_utf8(table.finish().unwrap()).unwrap()
    }

    #[test]
    fn csv_has_one_head_and_quotes_what_needs_it() {
        let text = written(Format::Csv, false, "A \"B\",\nC");
        assert_eq!(
            text,
            "first_seen_at,id,name,genres,image_url\n2025-03-02T18:04:31Z,a1,\"A \"\"B\"\",\nC\",,\n\
             2025-03-02T18:04:31Z,a1,plain,,\n"
        );
        let empty = Table::begin::<ArtistLine>(Format::Csv, Vec::new(), false).unwrap().finish().unwrap();
        assert_eq!(String::from_utf8(empty).unwrap(), "first_seen_at,id,name,genres,image_url\n");
    }

    #[test]
    fn formulas_are_made_harmless_only_where_that_is_asked_for() {
        for name in ["=1+1", "+1", "-1", "@a", "\tx"] {
            assert!(written(Format::Csv, true, name).contains(&format!("'{name}")), "{name}");
            assert!(!written(Format::Csv, false, name).contains('\''), "{name}");
            assert!(!written(Format::Jsonl, true, name).contains('\''), "{name}");
        }
    }

    #[test]
    fn json_lines_are_an_object_each() {
        let text = written(Format::Jsonl, false, "A\nB");
        let names: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["A\nB", "plain"]);
    }
}
