//! The history of playlists in the model database, like `store::versions`.

use super::*;
use segno::model::version::{Difference, Entry, Reading, Version};

/// The run of an account that wrote something.
pub type RunOf = (AccountId, i64);

#[derive(Debug, Clone, Default)]
pub struct History {
    /// The items before a reading that could not be compared yet, and whether nobody had read the playlist before.
    waiting: Option<(bool, Vec<Entry>)>,
    pub versions: Vec<(RunOf, Version)>,
    /// For the oracle: the items of the first version, and what the feed has reported since.
    pub first: Vec<Entry>,
    pub news: Vec<Difference>,
}

impl History {
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn begin(&mut self, is_first: bool, rows: &BTreeMap<u32, Entry>) {
        let before = || if is_first { Vec::new() } else { rows.values().cloned().collect() };
        self.waiting.get_or_insert_with(|| (is_first, before()));
    }
}

impl Books {
    /// Compares the rows of a playlist with those before, unless some could not be read.
    pub(super) fn conclude(&mut self, playlist_id: &str, run: RunOf) {
        if self.gaps.iter().any(|gap| gap.playlist_id.as_deref() == Some(playlist_id)) {
            return;
        }
        let book = self.playlist_mut(number_of(playlist_id));
        let Some((is_first, before)) = book.history.waiting.take() else { return };
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
