//! The items of playlists: what is committed, and what is reported at the end of a run.

use super::*;

/// The items of playlists before a commit, by number; and whether removals were held back.
pub struct Before {
    pub has_held: bool,
    items: Vec<(u32, Vec<Option<u32>>)>,
}

impl Before {
    pub fn of(books: &Books, draft: &Draft) -> Before {
        let mut items = Vec::new();
        if let Rows::PlaylistItems(parts) = &draft.rows {
            for part in parts.iter().filter(|part| matches!(part.end, Some(PlaylistEnd::Complete { .. }))) {
                let number = number_of(&part.playlist_id);
                // The leftovers of a first reading were never held whole.
                let held = books.playlist(number).filter(|book| book.num_held.is_some());
                items.extend(
                    books.playlist(number).map(|_| (number, held.map_or(Vec::new(), |book| book.items.clone()))),
                );
            }
        }
        Before { has_held: books.has_held(), items }
    }
}

impl World {
    /// Checks what replaced the items of playlists.
    pub(super) fn check_items(&mut self, writer: Writer, before: Before) {
        for (number, before) in before.items {
            self.check_reading(writer, number, &before);
            self.check_history(writer.key, number);
        }
    }

    fn check_reading(&mut self, writer: Writer, number: u32, before: &[Option<u32>]) {
        let tick = self.tick;
        let truth = &self.library.of(EntityType::Playlists).item(number).contents;
        let Some(book) = self.database.of(EntityType::Playlists).playlist(number) else { return };
        let (judged, judged_at) = truth.judged;
        if book.generation == judged {
            return;
        }
        // G11: a single look does not empty a playlist, or cut it by more than half.
        let mut left = book.items.clone();
        let is_lost = |item: &&Option<u32>| match left.iter().position(|other| other == *item) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => item.is_some_and(|item| truth.versions_since(writer.since).all(|items| items.contains(&item))),
        };
        let num_lost = before.iter().filter(is_lost).count();
        let is_second = truth.misread_at.iter().any(|at| *at < writer.since);
        if num_lost * 2 > before.len() && !is_second {
            let len = before.len();
            self.violated("G11", format!("playlist {number}: {num_lost} of {len} items are lost to one look"));
        }
        // G11: a snapshot counts as read only if the reading is as long as the listing says.
        let num_counted = book.items.len() as u32 + book.num_hidden;
        // Of two accounts, the other may have been shown another count since.
        let is_told_twice = self.scenario.has_guest;
        let is_other = book.total_items.is_some_and(|listed| listed as u32 != num_counted);
        if book.items_snapshot.is_some() && is_other && !is_told_twice {
            let listed = book.total_items;
            self.violated(
                "G11",
                format!("playlist {number} is listed with {listed:?} items, and taken for {num_counted}"),
            );
        }
        // G2: items under the latest snapshot are those of the latest snapshot.
        let bears_latest = book.items_snapshot == Some(truth.snapshot.to_string());
        let is_wrong = bears_latest && !holds(book, &truth.items);
        // A playlist listed as empty, of which nothing is known, is not read to check; the next count shows it.
        let is_unasked = book.total_items == Some(0) && before.is_empty();
        let is_misread = is_wrong && !is_unasked && looks_like_latest(book, truth, before, judged_at);
        if is_wrong && !is_unasked && !is_misread {
            let snapshot = truth.snapshot;
            self.violated("G2", format!("playlist {number} bears snapshot {snapshot} and holds other items"));
        }
        let generation = book.generation;
        let truth = &mut self.library.of_mut(EntityType::Playlists).items[number as usize].contents;
        (truth.judged, truth.is_misread) = ((generation, tick), is_misread);
    }

    /// G2: the items reported for a playlist are those of one moment of the run.
    pub(super) fn check_read(&mut self, key: SyncKey, since: Tick, notes: &[String]) {
        let (listing, books) = (self.library.of(EntityType::Playlists), self.database.of(key));
        let is_torn = |number: &&u32| {
            let contents = &listing.item(**number).contents;
            let is_judged = listing.was_there_since(**number, since) && contents.was_shown_since(since);
            let is_noted = books.gave_up(**number) || notes.iter().any(|note| note.contains(&id_of(**number)));
            let is_version =
                |items: &[u32]| books.playlist(**number).is_some_and(|book| book.is_doubted() || holds(book, items));
            // It has changed once more since an older copy of it was shown: the next run reads it.
            let is_due =
                books.playlist(**number).is_some_and(|book| book.items_snapshot != Some(contents.snapshot.to_string()));
            let was_misread = is_due && contents.misread_at.iter().any(|at| *at >= since);
            let since = if was_misread { 0 } else { since };
            is_judged && !is_noted && !contents.is_misread && !contents.versions_since(since).any(is_version)
        };
        if let Some(number) = listing.order.iter().find(is_torn).copied() {
            let (id, held) = (id_of(number), books.playlist(number).cloned());
            self.violated("G2", format!("playlist {id} never was what the database says: {held:?}"));
        }
    }
}

/// Whether these are the reported items of a playlist, apart from what could not be read, and from as many as are known
/// to be counted but not given.
fn holds(book: &PlaylistBook, items: &[u32]) -> bool {
    let mut items_left = items.iter();
    let is_next = |held: &Option<u32>| match held {
        Some(held) => items_left.any(|item| item == held),
        None => items_left.next().is_some(),
    };
    book.items.len() + book.num_hidden as usize == items.len() && book.items.iter().all(is_next)
}

/// An older version, or parts of one, of the same length as the latest, under the latest snapshot: it cannot be
/// distinguished from the latest, unless it equals what was held before. Then it was shown twice.
fn looks_like_latest(book: &PlaylistBook, truth: &Contents, before: &[Option<u32>], judged_at: Tick) -> bool {
    let num_misread = truth.misread_at.iter().filter(|at| **at > judged_at).count();
    // Hidden items, counted but not given, stood before it.
    let num_hidden = book.num_hidden as usize;
    let stood_there = |(at, item): (usize, &Option<u32>)| {
        let stood = |items: &Vec<u32>| (at..=at + num_hidden).any(|at| items.get(at) == item.as_ref());
        item.is_none() || stood(&truth.items) || truth.past.iter().any(|(_, items)| stood(items))
    };
    num_misread > usize::from(book.items == before) && book.items.iter().enumerate().all(stood_there)
}
