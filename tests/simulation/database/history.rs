//! The history of playlists in the model database, like `store::versions`.

use super::*;
use segno::model::version::{Difference, Entry, Reading, Version, waits_for_gaps};

/// The run of an account that wrote something.
pub type RunOf = (AccountId, i64);

#[derive(Debug, Clone, Default)]
pub struct History {
    /// The items before a reading that could not be compared yet, since when, and whether nobody had read the playlist
    /// before.
    waiting: Option<(bool, DateTime<Utc>, Vec<Entry>)>,
    pub versions: Vec<(RunOf, Version)>,
    /// For the oracle: the items of the first version, and what the feed has reported since.
    pub first: Vec<Entry>,
    pub news: Vec<Difference>,
}

impl History {
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn begin(&mut self, is_first: bool, rows: &BTreeMap<u32, Entry>, now: DateTime<Utc>) {
        let before = || if is_first { Vec::new() } else { rows.values().cloned().collect() };
        self.waiting.get_or_insert_with(|| (is_first, now, before()));
    }
}

impl Books {
    /// Compares the rows of a playlist with those before, unless it waits for some that could not be read.
    pub(super) fn conclude(&mut self, playlist_id: &str, run: RunOf, now: DateTime<Utc>) {
        let has_gaps = self.gaps.iter().any(|gap| gap.playlist_id.as_deref() == Some(playlist_id));
        let book = self.playlist_mut(number_of(playlist_id));
        let is_due = |(_, since, _): &mut (bool, DateTime<Utc>, Vec<Entry>)| !has_gaps || !waits_for_gaps(*since, now);
        let Some((is_first, _, before)) = book.history.waiting.take_if(is_due) else { return };
        let said = book.history.versions.pop_if(|(of, _)| *of == run).map(|(_, version)| version);
        let after = book.rows.values().cloned().collect();
        let concluded = Reading { before, after, is_first, said }.conclude();
        book.rows = book.rows.keys().copied().zip(concluded.items).collect();
        book.show_rows();
        if let Some(Version::First { .. }) = concluded.version {
            (book.history.first, book.history.news) = (book.rows.values().cloned().collect(), Vec::new());
        }
        book.history.versions.extend(concluded.version.map(|version| (run, version)));
        book.history.news.extend(concluded.news);
    }
}
