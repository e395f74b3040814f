//! Any list as CSV (RFC 4180, UTF-8, one header line) or as JSON Lines: a row each, the same fields.

use super::{Format, joined, plain, unwrapped};
use crate::store::{
    AlbumLine, ArtistLine, PlayLine, PlaylistLine, SpokenLine, TrackFacts, TrackLine, browse::ChangeEntry,
};
use chrono::{DateTime, SecondsFormat, Utc};
use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use serde::Serialize;
use std::io::{self, Write};

/// What a spreadsheet takes for the beginning of a formula.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Between the names of several artists in one cell.
const BETWEEN: &str = "; ";

pub enum Table<W: Write> {
    Csv { out: Box<Writer<W>>, has_head: bool, is_for_spreadsheets: bool },
    Jsonl(W),
}

impl<W: Write> Table<W> {
    /// CSV `is_for_spreadsheets` puts an apostrophe before what would be a formula.
    pub fn new(format: Format, out: W, is_for_spreadsheets: bool) -> Table<W> {
        if format == Format::Jsonl {
            return Table::Jsonl(out);
        }
        let mut builder = WriterBuilder::new();
        builder.quote_style(QuoteStyle::Necessary).terminator(Terminator::Any(b'\n'));
        Table::Csv { out: Box::new(builder.from_writer(out)), has_head: false, is_for_spreadsheets }
    }

    pub fn track(&mut self, line: &TrackLine) -> io::Result<()> {
        let head = ["added_at", "added_by", "position", "uri"];
        self.row(line, &[&head[..], &TRACK[..]].concat(), || {
            let own = [
                moment(line.added_at),
                text(line.added_by.as_ref()),
                line.position.map(|position| position.to_string()).unwrap_or_default(),
                text(line.uri.as_ref()),
            ];
            own.into_iter().chain(track(&line.track)).collect()
        })
    }

    pub fn album(&mut self, line: &AlbumLine) -> io::Result<()> {
        let head =
            ["added_at", "id", "name", "artists", "album_type", "release_date", "total_tracks", "upc", "image_url"];
        let album = &line.album;
        self.row(line, &head, || {
            vec![
                moment(line.added_at),
                album.id.clone(),
                album.name.clone(),
                joined(album.artists.iter().map(|artist| artist.name.as_str()), BETWEEN),
                text(album.album_type.as_ref()),
                text(album.release_date.as_ref()),
                number(album.total_tracks),
                text(album.upc.as_ref()),
                text(album.image_url.as_ref()),
            ]
        })
    }

    pub fn artist(&mut self, line: &ArtistLine) -> io::Result<()> {
        self.row(line, &["first_seen_at", "id", "name", "genres", "image_url"], || {
            let ArtistLine { first_seen_at, id, name, genres, image_url } = line;
            vec![
                moment(Some(*first_seen_at)),
                id.clone(),
                name.clone(),
                text(genres.as_ref()),
                text(image_url.as_ref()),
            ]
        })
    }

    pub fn spoken(&mut self, line: &SpokenLine) -> io::Result<()> {
        let head = [
            "added_at",
            "id",
            "name",
            "creator",
            "description",
            "explicit",
            "duration_ms",
            "total_parts",
            "release_date",
            "image_url",
        ];
        self.row(line, &head, || {
            vec![
                moment(line.added_at),
                line.id.clone(),
                line.name.clone(),
                text(line.creator.as_ref()),
                text(line.description.as_ref()),
                flag(line.explicit),
                number(line.duration_ms),
                number(line.total_parts),
                text(line.release_date.as_ref()),
                text(line.image_url.as_ref()),
            ]
        })
    }

    pub fn playlist(&mut self, line: &PlaylistLine) -> io::Result<()> {
        let head = [
            "position",
            "id",
            "name",
            "description",
            "owner_id",
            "owner_name",
            "public",
            "collaborative",
            "total_items",
        ];
        self.row(line, &head, || {
            vec![
                line.position.to_string(),
                line.id.clone(),
                line.name.clone(),
                text(line.description.as_ref()),
                text(line.owner_id.as_ref()),
                text(line.owner_name.as_ref()),
                flag(line.public),
                flag(line.collaborative),
                number(line.total_items),
            ]
        })
    }

    pub fn play(&mut self, line: &PlayLine) -> io::Result<()> {
        let head = ["played_at", "ms_played", "uri", "context_uri", "source"];
        self.row(line, &[&head[..], &TRACK[..]].concat(), || {
            let own = [
                moment(Some(line.played_at)),
                number(line.ms_played),
                line.uri.clone(),
                text(line.context_uri.as_ref()),
                line.source.clone(),
            ];
            own.into_iter().chain(track(&line.track)).collect()
        })
    }

    pub fn change(&mut self, line: &ChangeEntry) -> io::Result<()> {
        match self {
            Table::Jsonl(_) => self.row(line, &[], Vec::new),
            Table::Csv { out, has_head, .. } => {
                // The crate takes the head from the names of the fields.
                *has_head = true;
                out.serialize(line).map_err(plain)
            }
        }
    }

    pub fn finish(self) -> io::Result<W> {
        match self {
            Table::Csv { out, .. } => unwrapped(*out),
            Table::Jsonl(mut out) => {
                out.flush()?;
                Ok(out)
            }
        }
    }

    fn row(&mut self, line: &impl Serialize, head: &[&str], cells: impl FnOnce() -> Vec<String>) -> io::Result<()> {
        match self {
            Table::Csv { out, has_head, is_for_spreadsheets } => {
                if !std::mem::replace(has_head, true) {
                    out.write_record(head).map_err(plain)?;
                }
                let is_safe = *is_for_spreadsheets;
                let cells = cells().into_iter().map(|cell| if is_safe { harmless(cell) } else { cell });
                out.write_record(cells).map_err(plain)
            }
            Table::Jsonl(out) => {
                serde_json::to_writer(&mut *out, line)?;
                out.write_all(b"\n")
            }
        }
    }
}

const TRACK: [&str; 11] = [
    "name",
    "artists",
    "album",
    "album_artists",
    "release_date",
    "disc_number",
    "track_number",
    "duration_ms",
    "explicit",
    "isrc",
    "album_id",
];

fn track(track: &TrackFacts) -> [String; 11] {
    let album = track.album.as_ref();
    let album_artists = album.map(|album| album.artists.as_slice()).unwrap_or_default();
    [
        text(track.name.as_ref()),
        joined(track.artists.iter().map(|artist| artist.name.as_str()), BETWEEN),
        text(album.map(|album| &album.name)),
        joined(album_artists.iter().map(|artist| artist.name.as_str()), BETWEEN),
        text(album.and_then(|album| album.release_date.as_ref())),
        number(track.disc_number),
        number(track.track_number),
        number(track.duration_ms),
        flag(track.explicit),
        text(track.isrc.as_ref()),
        text(album.map(|album| &album.id)),
    ]
}

fn harmless(cell: String) -> String {
    if cell.starts_with(FORMULAS) { format!("'{cell}") } else { cell }
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn number(number: Option<i32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn flag(flag: Option<bool>) -> String {
    flag.map(|flag| flag.to_string()).unwrap_or_default()
}

fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artist(name: &str) -> ArtistLine {
        let first_seen_at = DateTime::from_timestamp(1_740_938_671, 0).unwrap();
        ArtistLine { first_seen_at, id: "a1".into(), name: name.into(), genres: None, image_url: None }
    }

    fn written(format: Format, is_for_spreadsheets: bool, name: &str) -> String {
        let mut table = Table::new(format, Vec::new(), is_for_spreadsheets);
        table.artist(&artist(name)).unwrap();
        table.artist(&artist("plain")).unwrap();
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
