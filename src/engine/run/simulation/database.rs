//! The model database: what was committed, and nothing else.

use crate::model::{
    AddedBetween, Checkpoint, Counts, Gap, HeldBefore, Item, Member, Membership, PlaylistPart, Slot, StalePlaylist,
    batch::PlaylistEnd,
};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Database {
    pub initial: Option<Checkpoint>,
    pub incremental: Option<Checkpoint>,
    /// id -> (added_at, removed)
    pub rows: BTreeMap<String, (i64, bool)>,
    pub seen: BTreeSet<String>,
    /// id -> (since, the total still counts it)
    pub held: BTreeMap<String, (DateTime<Utc>, bool)>,
    pub gaps: Vec<Gap>,
    snapshots: BTreeMap<String, String>,
    pub items_of: BTreeMap<String, (String, BTreeMap<u32, u64>)>,
}

impl Database {
    pub fn upsert(&mut self, slot: &Slot, record: bool) -> Membership {
        let Some(item) = &slot.item else { return Membership::Unidentified };
        let id = item.id().expect("listed items have ids").to_owned();
        if record {
            self.seen.insert(id.clone());
        }
        if let Item::Playlist(playlist) = item {
            self.snapshots.insert(id.clone(), playlist.snapshot_id.clone().expect("the model gives snapshots"));
        }
        let added_at = slot.added_at.map_or(0, |at| at.timestamp());
        match self.rows.insert(id, (added_at, false)) {
            None => Membership::New,
            Some(before) if before == (added_at, false) => Membership::Known,
            Some(_) => Membership::Returned,
        }
    }

    fn unseen(&self) -> impl Iterator<Item = &String> {
        self.rows.iter().filter(|(id, row)| !row.1 && !self.seen.contains(*id)).map(|(id, _)| id)
    }

    /// As `store::held::hold`.
    pub fn hold(&mut self, counts: Counts, now: DateTime<Utc>) {
        let missing: BTreeSet<String> = self.unseen().cloned().collect();
        self.held.retain(|id, _| missing.contains(id));
        for id in missing {
            let held = self.held.entry(id).or_insert((now, false));
            match counts {
                Counts::All => held.1 = true,
                Counts::AsBefore => {}
                Counts::Nothing if held.1 => *held = (now, false),
                Counts::Nothing => {}
            }
        }
    }

    pub fn held_before(&self, ripe_at: DateTime<Utc>) -> HeldBefore {
        let mut before = HeldBefore::default();
        for (since, is_counted) in self.unseen().filter_map(|id| self.held.get(id)) {
            before.num_counted += u32::from(*is_counted);
            before.num_ripe += u32::from(!is_counted && *since <= ripe_at);
        }
        before
    }

    pub fn write_items(&mut self, part: &PlaylistPart) {
        let (snapshot, items) = self.items_of.entry(part.playlist_id.clone()).or_default();
        for (item, at) in part.items.iter().zip(part.offset..) {
            items.insert(at, item.name.as_ref().and_then(|name| name.parse().ok()).expect("the model names items"));
        }
        match &part.end {
            Some(PlaylistEnd::Complete { snapshot_id, total, .. }) => {
                items.retain(|at, _| at < total);
                *snapshot = snapshot_id.clone().unwrap_or_default();
            }
            Some(PlaylistEnd::Failed(_) | PlaylistEnd::GapFilled) | None => {}
        }
    }

    /// Damages the held items of a playlist.
    pub fn damage_items(&mut self, id: &str) {
        let (_, items) = self.items_of.get_mut(id).expect("it was read");
        items.insert(0, 7);
    }

    pub fn forget_item_snapshots(&mut self) {
        self.items_of.values_mut().for_each(|(snapshot, _)| snapshot.clear());
    }

    pub fn members(&self, wanted: AddedBetween) -> Vec<Member> {
        let is_wanted = |row: &(i64, bool)| DateTime::from_timestamp(row.0, 0).is_some_and(|at| wanted.includes(at));
        let active = self.rows.iter().filter(|(_, row)| !row.1 && is_wanted(row));
        active.map(|(id, row)| Member { id: id.clone(), added_at: DateTime::from_timestamp(row.0, 0) }).collect()
    }

    pub fn stale(&self) -> Vec<StalePlaylist> {
        self.rows
            .iter()
            .filter(|(_, row)| !row.1)
            .filter_map(|(id, _)| {
                let snapshot_id = self.snapshots.get(id)?;
                let held = self.items_of.get(id).map(|(snapshot, _)| snapshot);
                (held != Some(snapshot_id)).then(|| StalePlaylist {
                    id: id.clone(),
                    name: id.clone(),
                    snapshot_id: Some(snapshot_id.clone()),
                    total_items: snapshot_id.split('/').nth(1).and_then(|total| total.parse().ok()),
                    num_held: self.items_of.get(id).map(|(_, items)| items.len() as u32),
                    num_read: self.items_of.get(id).map_or(0, |(_, items)| items.len() as u32),
                    ..StalePlaylist::default()
                })
            })
            .collect()
    }
}
