//! The items of playlists in the model database: which readings replace them, which wait for a second look, which are
//! due.

use super::*;

/// What became of the parts of a playlist in a commit.
pub(super) enum Written {
    /// They belong to a reading under way.
    Part,
    /// The rows are those of a whole reading now, or what was missing of them is there.
    Whole,
    Nothing(Option<ReadingOutcome>),
}

impl Books {
    pub(super) fn write_playlists(&mut self, slots: &[Slot], offset: u32) {
        for (slot, position) in slots.iter().zip(offset..) {
            let Some(Item::Playlist(playlist)) = &slot.item else { continue };
            let book = self.playlist_mut(number_of(&playlist.id));
            book.position = position;
            book.snapshot.clone_from(&playlist.snapshot_id);
            book.total_items = playlist.total_items;
        }
    }

    pub(super) fn playlist_mut(&mut self, number: u32) -> &mut PlaylistBook {
        let at = number as usize;
        if self.playlists.len() <= at {
            self.playlists.resize(at + 1, PlaylistBook::default());
        }
        &mut self.playlists[at]
    }

    /// Like `store::playlists`; the parts are consecutive ones of one playlist.
    pub(super) fn write_items(
        &mut self,
        parts: &[&PlaylistPart],
        rule: RemovalGuard,
        taken: &BTreeSet<u32>,
        now: DateTime<Utc>,
    ) -> Written {
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        let playlist_id = first.playlist_id.clone();
        let mut read: BTreeMap<u32, Entry> = BTreeMap::new();
        for part in parts {
            read.extend((part.offset..).zip(&part.items).map(|(at, item)| (at, entry_of(at, item))));
        }
        let hidden_here: u32 = parts.iter().map(|part| part.num_hidden).sum();
        let book = self.playlist_mut(number_of(&playlist_id));
        if first.offset == 0 && !matches!(last.end, Some(PlaylistEnd::GapFilled)) {
            book.walk = None;
        }
        if let Some(PlaylistEnd::Failed(failed)) = &last.end {
            book.fail(failed, now);
            return Written::Nothing(None);
        }
        let walk = book.walk.filter(|walk| walk.generation == book.generation && walk.offset == first.offset);
        let is_outrun = first.generation != book.generation || first.offset > 0 && walk.is_none();
        if last.end == Some(PlaylistEnd::GapFilled) {
            if first.generation != book.generation {
                return Written::Nothing(None);
            }
            if !read.is_empty() {
                book.history.begin(false, &book.rows, now);
            }
            book.rows.extend(read);
            book.show_rows();
            return Written::Whole;
        }
        if is_outrun {
            book.walk = None;
            // Another account has read the same snapshot whole meanwhile.
            let is_there = matches!(&last.end, Some(PlaylistEnd::Complete { snapshot_id: Some(read), .. })
                if book.items_snapshot.as_ref() == Some(read));
            if is_there {
                (book.is_unreadable, book.failure) = (false, None);
            }
            return Written::Nothing((!is_there).then_some(ReadingOutcome::Outrun { playlist_id }));
        }
        let num_hidden = walk.map_or(0, |walk| walk.num_hidden) + hidden_here;
        let is_taken = taken.contains(&number_of(&playlist_id));
        let is_in_place = walk.map_or(book.num_held.is_none() && !is_taken, |walk| walk.is_in_place);
        if first.offset == 0 {
            book.apart.clear();
            if is_in_place {
                book.history.begin(true, &book.rows, now);
            }
        }
        book.apart.extend(read);
        let Some(PlaylistEnd::Complete { snapshot_id, total, failure, healed }) = &last.end else {
            let offset = last.end_offset();
            book.walk = Some(ItemsWalk { generation: book.generation, offset, num_hidden, is_in_place });
            if is_in_place {
                book.items = book.apart.values().map(item_number).collect();
            }
            return Written::Part;
        };
        book.walk = None;
        let was = |kind| book.failure.as_ref().is_some_and(|failure| failure.kind == kind);
        let (was_doubted, was_contradictory) = (was(FailureKind::Unchanged), was(FailureKind::Unsteady));
        let is_same_snapshot = book.items_snapshot.as_ref().zip(snapshot_id.as_ref()).map(|(held, read)| held == read);
        let looks_again = book.look_again_at.is_some() && is_same_snapshot == Some(true);
        let (mut is_changed, mut is_uncounted) = (false, false);
        if book.num_held.is_some() {
            match book.judge(rule, HiddenItems { before: book.num_hidden, now: num_hidden }, now) {
                Judged::Held { num_missing, num_held } => {
                    book.fail(&doubt(FailureKind::Held, snapshot_id), now);
                    return Written::Nothing(Some(ReadingOutcome::Held { playlist_id, num_missing, num_held }));
                }
                Judged::Same if is_same_snapshot == Some(false) && !was_doubted => {
                    book.fail(&doubt(FailureKind::Unchanged, snapshot_id), now);
                    return Written::Nothing(Some(ReadingOutcome::Unchanged { playlist_id }));
                }
                Judged::Same => {}
                Judged::Believed { contradicts: true, .. } if is_same_snapshot == Some(true) && !was_contradictory => {
                    book.fail(&doubt(FailureKind::Unsteady, snapshot_id), now);
                    return Written::Nothing(Some(ReadingOutcome::Contradictory { playlist_id }));
                }
                Judged::Believed { is_uncounted: uncounted, .. } => (is_changed, is_uncounted) = (true, uncounted),
            }
        }
        book.history.begin(book.num_held.is_none(), &book.rows, now);
        book.rows = std::mem::take(&mut book.apart);
        book.show_rows();
        book.items_snapshot.clone_from(snapshot_id);
        let has_empty = book.rows.values().any(|row| row.uri.is_none());
        let is_doubtful = is_uncounted || has_empty && (is_changed || !looks_again);
        let left = LeftOpen { num_hidden, num_before: book.num_hidden, has_empty, is_doubtful };
        book.look_again_at = reads_again_at(left, book.look_again_at, now);
        (book.num_held, book.num_hidden) = (Some(total - num_hidden), num_hidden);
        book.generation += 1;
        (book.is_unreadable, book.failure) = (false, None);
        if let Some(failed) = failure {
            book.fail(failed, now);
        }
        let is_beyond = |gap: &Gap| gap.playlist_id.as_ref() == Some(&playlist_id) && gap.offset_from >= *total;
        let is_healed = |gap: &Gap| {
            gap.playlist_id.as_ref() == Some(&playlist_id) && healed.contains(&(gap.offset_from, gap.offset_to))
        };
        self.gaps.retain(|gap| !is_beyond(gap) && !is_healed(gap));
        Written::Whole
    }

    pub(super) fn forget_item_snapshots(&mut self) {
        for playlist in &mut self.playlists {
            playlist.items_snapshot = None;
            let failure = playlist.failure.as_mut().filter(|_| !playlist.is_unreadable);
            failure.into_iter().for_each(|failure| failure.next_try_at = None);
        }
    }

    pub fn stale(&self, now: DateTime<Utc>) -> Vec<StalePlaylist> {
        let mut stale: Vec<(u32, StalePlaylist)> = self
            .active()
            .filter_map(|(number, _)| {
                let (book, id) = (self.playlist(number)?, super::super::library::id_of(number));
                let gaps: Vec<(u32, u32)> = self
                    .gaps
                    .iter()
                    .filter(|gap| gap.playlist_id.as_ref() == Some(&id))
                    .map(|gap| (gap.offset_from, gap.offset_to))
                    .collect();
                let total_items = book.total_items.and_then(|total| u32::try_from(total).ok());
                let state = ReadingState {
                    listed_snapshot: book.snapshot.as_deref(),
                    listed_total: total_items,
                    held_snapshot: book.items_snapshot.as_deref(),
                    num_held: book.num_held,
                    num_hidden: book.num_hidden,
                    has_gaps: !gaps.is_empty(),
                    failure: book.failure.as_ref(),
                    look_again_at: book.look_again_at,
                    is_held: !book.missing.is_empty(),
                };
                let walk = book.walk.filter(|walk| walk.generation == book.generation);
                let (is_due, next_try_at) = match state.due(now) {
                    Due::No => (false, None),
                    Due::Now => (true, None),
                    Due::At(at) => (!book.is_unreadable, Some(at)),
                };
                let stale = || StalePlaylist {
                    name: id.clone(),
                    snapshot_id: book.snapshot.clone(),
                    total_items,
                    gaps: gaps.clone(),
                    fills_only: state.fills_only() && !gaps.is_empty(),
                    num_held: book.num_held,
                    num_hidden: book.num_hidden,
                    generation: book.generation,
                    num_read: walk.map_or(0, |walk| walk.offset),
                    is_own: !self.is_guests,
                    failure: book.failure.clone(),
                    next_try_at,
                    id: id.clone(),
                };
                is_due.then(|| (book.position, stale()))
            })
            .collect();
        stale.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.id.cmp(&other.1.id)));
        stale.into_iter().map(|(_, stale)| stale).collect()
    }
}

impl PlaylistBook {
    /// The items read under the listed snapshot equal the known ones, so they are read once more.
    pub fn is_doubted(&self) -> bool {
        let is_unchanged = |failure: &LastFailure| failure.kind == FailureKind::Unchanged;
        self.failure
            .as_ref()
            .filter(|failure| is_unchanged(failure))
            .is_some_and(|last| last.snapshot_id == self.snapshot)
    }

    fn fail(&mut self, failed: &FailedReading, now: DateTime<Utc>) {
        self.walk = None;
        self.failure = Some(LastFailure::next(self.failure.as_ref(), failed, now));
        self.is_unreadable |= failed.is_unreadable;
    }

    pub(super) fn show_rows(&mut self) {
        self.items = self.rows.values().map(item_number).collect();
    }

    /// Like `store::held_items`: the reading, if it is not believed.
    fn judge(&mut self, rule: RemovalGuard, hidden: HiddenItems, now: DateTime<Utc>) -> Judged {
        let [before, after] = [&self.rows, &self.apart].map(|rows| rows.values().cloned().collect());
        let compared = Comparison::of(before, after);
        if compared.is_believed(rule, hidden) {
            self.missing.clear();
            let (is_uncounted, contradicts) = (compared.is_uncounted(), compared.contradicts());
            return if compared.is_same { Judged::Same } else { Judged::Believed { is_uncounted, contradicts } };
        }
        if compared.is_confirmed(rule, &self.missing, now) {
            self.missing.clear();
            return Judged::Believed { is_uncounted: false, contradicts: false };
        }
        let Comparison { num_missing, num_held, missing, .. } = compared;
        let before = std::mem::take(&mut self.missing);
        let since = |item: &String| before.get(item).map_or(now, |(since, _)| now.min(*since));
        self.missing = missing.into_iter().map(|item| (item.clone(), (since(&item), false))).collect();
        Judged::Held { num_missing, num_held }
    }
}

enum Judged {
    Believed { is_uncounted: bool, contradicts: bool },
    Same,
    Held { num_missing: u32, num_held: u32 },
}

fn entry_of(at: u32, item: &PlaylistItem) -> Entry {
    let PlaylistItem { uri, name, added_at, .. } = item.clone();
    Entry { position: at.into(), uri, name, track_id: None, added_at }
}

/// `None` for an empty place.
pub fn item_number(entry: &Entry) -> Option<u32> {
    entry.name.as_ref().map(|name| name.parse().expect("the model names items by number"))
}

/// A whole reading that waits for a second look.
fn doubt(kind: FailureKind, snapshot_id: &Option<String>) -> FailedReading {
    let (snapshot_id, reason, rest) = (snapshot_id.clone(), String::new(), std::time::Duration::ZERO);
    FailedReading { kind, reason, snapshot_id, total: None, rest, is_unreadable: false }
}
