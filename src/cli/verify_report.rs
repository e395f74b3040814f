//! What a verifying pass found and corrected, as printed to stdout.

use super::{
    numbers::grouped,
    report::{SyncReport, remarks, reports_json, state_word},
};
use crate::{
    actors::{EntityProgress, EntityState},
    model::{EntityType, ItemCounts},
};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct EntityJson {
    entity_type: EntityType,
    state: &'static str,
    /// Slots of listings, and items of playlists.
    looked_at: u32,
    added: u32,
    removed: u32,
    changed: u32,
    requests: u32,
    remarks: Vec<String>,
}

pub fn json(reports: &[SyncReport]) -> String {
    reports_json(reports, |entity_type, seen| EntityJson {
        entity_type,
        state: state_word(&seen.state),
        looked_at: seen.counts.processed,
        added: seen.counts.new,
        removed: seen.counts.removed,
        changed: seen.counts.updated,
        requests: seen.num_requests,
        remarks: remarks(&seen.state),
    })
}

pub fn text(reports: &[SyncReport]) -> String {
    let mut out = String::new();
    for report in reports {
        if reports.len() > 1 {
            let _ = writeln!(out, "account {}", report.account);
        }
        for (key, seen) in &report.progress.entities {
            let _ = writeln!(out, "{}", entity_line(key.entity, seen));
        }
        for remark in report.remarks() {
            let _ = writeln!(out, "{remark}");
        }
        let _ = writeln!(out, "{}", report.cost());
    }
    out
}

/// `tracks     5,000 looked at, corrected: 1 added, 2 removed`
fn entity_line(entity: EntityType, seen: &EntityProgress) -> String {
    let ItemCounts { processed, new, updated, removed, .. } = seen.counts;
    let found = [(new, "added"), (removed, "removed"), (updated, "changed")];
    let found: Vec<String> = found
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", grouped(number.into())))
        .collect();
    let is_complete = matches!(seen.state, EntityState::Complete { .. });
    let difference = match (found.is_empty(), is_complete) {
        (true, true) => "no difference".to_owned(),
        (true, false) => "no difference so far".to_owned(),
        (false, _) => format!("corrected: {}", found.join(", ")),
    };
    format!("{:<10} {} looked at, {difference}", entity.as_str(), grouped(processed.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_is_told_and_nothing_is_called_nothing() {
        let complete = EntityState::Complete { notes: Vec::new() };
        let line = |counts, state: &EntityState| {
            entity_line(
                EntityType::Tracks,
                &EntityProgress { counts, state: state.clone(), ..EntityProgress::default() },
            )
        };
        let counts = ItemCounts { processed: 5000, unchanged: 5000, ..ItemCounts::default() };
        assert_eq!(line(counts, &complete), "tracks     5,000 looked at, no difference");
        assert_eq!(line(counts, &EntityState::Stopped), "tracks     5,000 looked at, no difference so far");
        let mended = ItemCounts { new: 1, removed: 2, ..counts };
        assert_eq!(line(mended, &complete), "tracks     5,000 looked at, corrected: 1 added, 2 removed");
        let changed = ItemCounts { updated: 1, ..counts };
        assert_eq!(line(changed, &EntityState::Stopped), "tracks     5,000 looked at, corrected: 1 changed");
    }
}
