//! The result of an import, for people and as JSON.

use super::numbers::{counted, day, grouped};
use crate::{
    data_export::{Content, FileRead},
    model::{
        stream::{Meaning, StreamKind, StreamPair},
        text::seen,
    },
    store::{ImportEntry, Removed},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write};

/// Bounds of the offsets, in milliseconds.
const BOUNDS: [i64; 9] = [-3000, -1000, 0, 1000, 2000, 5000, 20_000, 60_000, i64::MAX];

/// Width of the longest bar of the distribution.
const BAR_LEN: u64 = 30;

/// Files that are named one by one.
const FILES_SHOWN: usize = 10;

#[derive(Debug, Default, Serialize)]
pub struct ImportReport {
    pub account: String,
    pub dry_run: bool,
    pub files: Vec<FileReport>,
    pub rows: Rows,
    pub new: u64,
    /// They existed already, or are given twice.
    pub known: u64,
    /// Rows of the account data for a time that the extended history covers.
    pub covered: u64,
    /// Rows of the account data that rows of the extended history replaced.
    pub replaced: u64,
    /// Streams that are plays reported by the API.
    pub matched: u64,
    /// Plays that only the export contains; 0 if all of them were written at once.
    pub plays_pending: u64,
    pub gaps_closed: u64,
    pub first: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
    pub hours: f64,
    pub played_at: Option<PlayedAt>,
    pub offsets: Vec<OffsetBin>,
}

#[derive(Debug, Default, Serialize)]
pub struct Rows {
    pub total: u64,
    pub bad: u64,
    #[serde(flatten)]
    pub by_kind: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub struct FileReport {
    pub name: String,
    pub what: String,
    pub rows: u64,
    pub bad: u64,
    pub broken: Option<String>,
}

/// What the API's moment was taken to mean, and the evidence.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PlayedAt {
    pub meaning: Meaning,
    pub near_ends: u64,
    pub near_starts: u64,
}

/// How many matched plays lie this far from the end of their stream, or from its beginning if that is nearer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OffsetBin {
    pub of: Meaning,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub count: u64,
}

impl From<FileRead> for FileReport {
    fn from(file: FileRead) -> FileReport {
        let what = match file.content {
            Content::Extended => "extended streaming history",
            Content::Account => "streaming history of the account data",
            Content::Library => "library, for names",
            Content::Playlists => "playlists, for names",
            Content::Empty => "an empty list",
            Content::Other(what) => what,
        };
        let FileRead { name, num_rows, num_bad, broken, .. } = file;
        FileReport { name, what: what.into(), rows: num_rows, bad: num_bad, broken }
    }
}

/// The distribution of offsets, as far as pairs have been counted.
#[derive(Debug, Default)]
pub struct Offsets(BTreeMap<(bool, usize), u64>);

impl Offsets {
    pub fn count(&mut self, pairs: &[StreamPair]) {
        for pair in pairs {
            let is_start = pair.from_start_ms.abs() < pair.offset_ms.abs();
            let offset = if is_start { pair.from_start_ms } else { pair.offset_ms };
            let bin = BOUNDS.partition_point(|bound| *bound <= offset);
            *self.0.entry((is_start, bin)).or_default() += 1;
        }
    }

    pub fn bins(&self) -> Vec<OffsetBin> {
        let bin = |(&(is_start, bin), &count): (&(bool, usize), &u64)| OffsetBin {
            of: if is_start { Meaning::Start } else { Meaning::End },
            from_ms: bin.checked_sub(1).map(|at| BOUNDS[at]),
            to_ms: BOUNDS.get(bin).copied().filter(|bound| *bound != i64::MAX),
            count,
        };
        self.0.iter().map(bin).collect()
    }
}

impl ImportReport {
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys only") + "\n"
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let what = if self.dry_run { "would be imported for" } else { "imported for" };
        let num_read = self.files.iter().filter(|file| file.rows > 0).count() as u64;
        let _ = writeln!(
            out,
            "{what} {}: {} with {}",
            self.account,
            counted(num_read, "file"),
            counted(self.rows.total, "row")
        );
        for kind in StreamKind::ALL {
            let count = self.rows.by_kind.get(kind.as_str()).copied().unwrap_or(0);
            let what = match kind {
                StreamKind::Track => "tracks",
                StreamKind::Episode => "episodes",
                StreamKind::Chapter => "chapters of audiobooks",
                StreamKind::Unknown => "without a name: local files, or lost by Spotify",
            };
            if count > 0 {
                let _ = writeln!(out, "{:>11}  {what}", grouped(count));
            }
        }
        for (count, what) in [
            (self.rows.bad, "that cannot be read"),
            (self.new, "new"),
            (self.known, "already present"),
            (self.covered, "of the account data, covered in more detail by the extended history"),
            (self.replaced, "of the account data, replaced by the extended history"),
            (self.matched, "matched with plays that the API reported"),
            (self.gaps_closed, "gaps of the listening history closed"),
        ] {
            if count > 0 || what == "new" {
                let _ = writeln!(out, "{:>11}  {what}", grouped(count));
            }
        }
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let hours = grouped(self.hours.round() as u64);
            let _ = writeln!(out, "from {} to {}: {hours} hours listened", day(first), day(last));
        }
        self.write_offsets(&mut out);
        self.write_files(&mut out);
        out
    }

    fn write_offsets(&self, out: &mut String) {
        let Some(played_at) = self.played_at.filter(|_| !self.offsets.is_empty()) else { return };
        let meaning = match played_at.meaning {
            Meaning::End => "ends",
            Meaning::Start => "beginnings",
        };
        let _ = writeln!(
            out,
            "The API's times are the {meaning} of plays: {} near an end, {} near a beginning. Offsets of the matches:",
            grouped(played_at.near_ends),
            grouped(played_at.near_starts)
        );
        let most = self.offsets.iter().map(|bin| bin.count).max().unwrap_or(1);
        for bin in &self.offsets {
            let seconds = |ms: i64| ms / 1000;
            let range = match (bin.from_ms, bin.to_ms) {
                (None, Some(to)) => format!("below {} s", seconds(to)),
                (Some(from), None) => format!("from {} s", seconds(from)),
                (Some(from), Some(to)) => format!("{} to {} s", seconds(from), seconds(to)),
                (None, None) => String::new(),
            };
            let of = match bin.of {
                Meaning::End => "end",
                Meaning::Start => "beginning",
            };
            let bar = "#".repeat(usize::try_from((bin.count * BAR_LEN).div_ceil(most)).unwrap_or(0));
            let _ = writeln!(out, "{:>11}  {of:<9} {range:<12} {bar}", grouped(bin.count));
        }
    }

    /// Files that could not be read as they should be.
    fn write_files(&self, out: &mut String) {
        let is_odd = |file: &&FileReport| file.broken.is_some() || file.bad > 0 || file.rows == 0;
        let odd: Vec<&FileReport> = self.files.iter().filter(is_odd).collect();
        for file in odd.iter().take(FILES_SHOWN) {
            let name = seen(&file.name);
            let _ = match &file.broken {
                Some(broken) => writeln!(out, "{name}: {} read, then {}", counted(file.rows, "row"), seen(broken)),
                None if file.bad > 0 => writeln!(out, "{name}: {} cannot be read", counted(file.bad, "row")),
                None => writeln!(out, "{name}: {}", file.what),
            };
        }
        if let Some(more) = odd.len().checked_sub(FILES_SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(out, "and {} more; --json names them", counted(more as u64, "file"));
        }
    }
}

/// One line per import, for a person who has to choose.
pub fn imports_text(imports: &[ImportEntry]) -> String {
    let line = |import: &ImportEntry| {
        let state = if import.finished_at.is_some() { "" } else { ", interrupted" };
        format!("{}: {}, {}{state}", import.id, day(import.started_at), counted(import.streams, "stream"))
    };
    imports.iter().map(line).collect::<Vec<_>>().join("; ")
}

pub fn removed_json(account: &str, removed: &Removed) -> String {
    let report = serde_json::json!({ "account": account, "removed": removed });
    serde_json::to_string_pretty(&report).expect("a report has string keys only") + "\n"
}

pub fn removed_text(account: &str, removed: &Removed) -> String {
    let mut out = format!("taken back for {account}\n");
    for (count, what) in [
        (removed.imports, "imports"),
        (removed.streams, "streams"),
        (removed.plays, "plays that only the export contains"),
        (removed.gaps_reopened, "gaps of the listening history opened again"),
        (removed.tracks, "tracks of the catalogue that only the export contains"),
    ] {
        let _ = writeln!(out, "{:>11}  {what}", grouped(count));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(offset_ms: i64, from_start_ms: i64) -> StreamPair {
        StreamPair { stream: 1, play: (DateTime::UNIX_EPOCH, String::new()), offset_ms, from_start_ms }
    }

    #[test]
    fn offsets_are_counted_from_what_is_nearer() {
        let mut offsets = Offsets::default();
        offsets.count(&[pair(400, 200_400), pair(999, 200_999), pair(-199_500, 500), pair(-9000, 191_000)]);
        let bins: Vec<(Meaning, Option<i64>, Option<i64>, u64)> =
            offsets.bins().into_iter().map(|bin| (bin.of, bin.from_ms, bin.to_ms, bin.count)).collect();
        assert_eq!(
            bins,
            [
                (Meaning::End, None, Some(-3000), 1),
                (Meaning::End, Some(0), Some(1000), 2),
                (Meaning::Start, Some(0), Some(1000), 1),
            ]
        );
        offsets.count(&[pair(90_000, 290_000)]);
        assert!(offsets.bins().iter().any(|bin| bin.from_ms == Some(60_000) && bin.to_ms.is_none()));
    }

    #[test]
    fn the_report_says_what_came_and_what_was_odd() {
        let mut offsets = Offsets::default();
        offsets.count(&[pair(400, 200_400)]);
        let file = |name: &str, rows, bad, broken: Option<&str>| FileReport {
            name: name.into(),
            what: "empty".into(),
            rows,
            bad,
            broken: broken.map(str::to_owned),
        };
        let report = ImportReport {
            account: "mira".into(),
            files: vec![
                file("a.json", 1200, 0, None),
                file("b\u{1b}[2J.json", 7, 0, Some("it breaks off at byte 9")),
                file("c.json", 0, 0, None),
            ],
            rows: Rows { total: 1207, bad: 0, by_kind: [("track", 1200), ("unknown", 7)].into() },
            new: 1206,
            known: 1,
            matched: 1,
            gaps_closed: 2,
            first: Some(DateTime::UNIX_EPOCH),
            last: Some(DateTime::UNIX_EPOCH),
            hours: 12.4,
            played_at: Some(PlayedAt { meaning: Meaning::End, near_ends: 1, near_starts: 0 }),
            offsets: offsets.bins(),
            ..ImportReport::default()
        };
        let day = day(DateTime::UNIX_EPOCH);
        assert_eq!(
            report.text().lines().map(str::trim).collect::<Vec<_>>(),
            [
                "imported for mira: 2 files with 1,207 rows",
                "1,200  tracks",
                "7  without a name: local files, or lost by Spotify",
                "1,206  new",
                "1  already present",
                "1  matched with plays that the API reported",
                "2  gaps of the listening history closed",
                &format!("from {day} to {day}: 12 hours listened"),
                "The API's times are the ends of plays: 1 near an end, 0 near a beginning. Offsets of the matches:",
                "1  end       0 to 1 s     ##############################",
                "b [2J.json: 7 rows read, then it breaks off at byte 9",
                "c.json: empty",
            ]
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!((&json["rows"]["track"], &json["offsets"][0]["of"]), (&1200.into(), &"end".into()));
    }
}
