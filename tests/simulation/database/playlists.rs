//! The items of playlists in the model database: which readings replace them, which wait for a second look, which are
//! due.

use super::*;

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
    ) -> Option<ReadingOutcome> {
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        let playlist_id = first.playlist_id.clone();
        let mut read: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        for part in parts {
            let items = part
                .items
                .iter()
                .map(|item| item.name.as_ref().map(|name| name.parse().expect("the model names items by number")));
            read.extend((part.offset..).zip(items));
        }
        let hidden_here: u32 = parts.iter().map(|part| part.num_hidden).sum();
        let book = self.playlist_mut(number_of(&playlist_id));
        if first.offset == 0 && !matches!(last.end, Some(PlaylistEnd::GapFilled)) {
            book.walk = None;
        }
        if let Some(PlaylistEnd::Failed(failed)) = &last.end {
            book.fail(failed, now);
            return None;
        }
        let walk = book.walk.filter(|walk| walk.generation == book.generation && walk.offset == first.offset);
        let is_outrun = first.generation != book.generation || first.offset > 0 && walk.is_none();
        if last.end == Some(PlaylistEnd::GapFilled) {
            if first.generation == book.generation {
                book.rows.extend(read);
                book.items = book.rows.values().copied().collect();
            }
            return None;
        }
        if is_outrun {
            book.walk = None;
            // Another account has read the same snapshot whole meanwhile.
            let is_there = matches!(&last.end, Some(PlaylistEnd::Complete { snapshot_id: Some(read), .. })
                if book.items_snapshot.as_ref() == Some(read));
            if is_there {
                (book.is_unreadable, book.failure) = (false, None);
            }
            return (!is_there).then_some(ReadingOutcome::Outrun { playlist_id });
        }
        let num_hidden = walk.map_or(0, |walk| walk.num_hidden) + hidden_here;
        let is_taken = taken.contains(&number_of(&playlist_id));
        let is_in_place = walk.map_or(book.num_held.is_none() && !is_taken, |walk| walk.is_in_place);
        if first.offset == 0 {
            book.apart.clear();
        }
        book.apart.extend(read);
        let Some(PlaylistEnd::Complete { snapshot_id, total, failure }) = &last.end else {
            let offset = last.end_offset();
            book.walk = Some(ItemsWalk { generation: book.generation, offset, num_hidden, is_in_place });
            if is_in_place {
                book.items = book.apart.values().copied().collect();
            }
            return None;
        };
        book.walk = None;
        if book.num_held.is_some()
            && let Some((num_missing, num_held)) = book.judge(rule, num_hidden > book.num_hidden, now)
        {
            book.fail(&doubt(FailureKind::Held, snapshot_id), now);
            return Some(ReadingOutcome::Held { playlist_id, num_missing, num_held });
        }
        let was_doubted = book.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unchanged);
        let is_other = book.items_snapshot.is_some() && snapshot_id.is_some() && book.items_snapshot != *snapshot_id;
        if book.num_held.is_some() && is_other && book.rows == book.apart && !was_doubted {
            book.fail(&doubt(FailureKind::Unchanged, snapshot_id), now);
            return Some(ReadingOutcome::Unchanged { playlist_id });
        }
        book.rows = std::mem::take(&mut book.apart);
        book.items = book.rows.values().copied().collect();
        book.items_snapshot.clone_from(snapshot_id);
        book.look_again_at = (num_hidden > 0).then(|| now + look_again_in(num_hidden, book.num_hidden));
        (book.num_held, book.num_hidden) = (Some(total - num_hidden), num_hidden);
        book.generation += 1;
        (book.is_unreadable, book.failure) = (false, None);
        if let Some(failed) = failure {
            book.fail(failed, now);
        }
        let is_beyond = |gap: &Gap| gap.playlist_id.as_ref() == Some(&playlist_id) && gap.offset_from >= *total;
        self.gaps.retain(|gap| !is_beyond(gap));
        None
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
                    gaps: if state.fills_only() { gaps.clone() } else { Vec::new() },
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
        (self.walk, self.look_again_at) = (None, None);
        self.failure = Some(LastFailure::next(self.failure.as_ref(), failed, now));
        self.is_unreadable |= failed.is_unreadable;
    }

    /// Like `store::held_items`: how many items are missing, of how many, if that is not believed.
    fn judge(&mut self, rule: RemovalGuard, hides_more: bool, now: DateTime<Utc>) -> Option<(u32, u32)> {
        let mut counts: BTreeMap<u32, i64> = BTreeMap::new();
        self.rows.values().flatten().for_each(|item| *counts.entry(*item).or_default() += 1);
        self.apart.values().flatten().for_each(|item| *counts.entry(*item).or_default() -= 1);
        counts.retain(|_, num| *num > 0);
        let num_held = self.rows.values().flatten().count() as u32;
        let num_missing = counts.values().sum::<i64>() as u32;
        let long_ago = now - TimeDelta::from_std(rule.wait).unwrap_or_default();
        let is_confirmed =
            counts.keys().all(|item| self.missing.get(item).is_some_and(|since| *since <= long_ago && *since < now));
        if num_missing == 0 || rule.lets_pass(num_missing, num_held) && !hides_more || is_confirmed {
            self.missing.clear();
            return None;
        }
        let before = std::mem::take(&mut self.missing);
        self.missing = counts.keys().map(|item| (*item, before.get(item).copied().unwrap_or(now).min(now))).collect();
        Some((num_missing, num_held))
    }
}

/// A whole reading that waits for a second look.
fn doubt(kind: FailureKind, snapshot_id: &Option<String>) -> FailedReading {
    let (snapshot_id, reason, rest) = (snapshot_id.clone(), String::new(), std::time::Duration::ZERO);
    FailedReading { kind, reason, snapshot_id, total: None, rest, is_unreadable: false }
}
