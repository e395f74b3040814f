//! Whether items that a reading did not find are believed to be gone.
//!
//! Few are, at once. Many, or all, wait for a second look that misses the same items, some time later, like removals
//! from the library (`held_removals`). So does an item that is missing while rows are counted and not given: it may be
//! one of those.

use super::types::{At, len};
use super::versions::{self, Entry};
use super::{Conn, StoreError};
use crate::model::{Commit, FailedReading, FailureKind, ReadingOutcome};
use std::collections::BTreeSet;
use std::time::Duration;

/// A reading that misses too much to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub num_missing: u32,
    pub num_held: u32,
}

impl Held {
    pub fn failure(self, snapshot_id: Option<String>) -> FailedReading {
        let Held { num_missing, num_held } = self;
        FailedReading {
            kind: FailureKind::Held,
            reason: format!("{num_missing} of {num_held} items are no longer listed, which one look does not prove"),
            snapshot_id,
            total: None,
            rest: Duration::ZERO,
            is_unreadable: false,
        }
    }

    pub fn outcome(self, playlist: &str) -> ReadingOutcome {
        let Held { num_missing, num_held } = self;
        ReadingOutcome::Held { playlist_id: playlist.to_owned(), num_missing, num_held }
    }
}

/// Judges a whole reading against the rows; `None`: it may replace them. `hides_more` says that more rows than before are
/// counted and not given.
pub(super) async fn judge(
    conn: &mut Conn,
    commit: &Commit,
    playlist: &str,
    after: Vec<Entry>,
    hides_more: bool,
    now: At,
) -> Result<Option<Held>, StoreError> {
    let (num_held, missing) = versions::missing(conn, playlist, after).await?;
    let num_held = len(num_held);
    // What could not be served is not gone.
    let num_missing = len(missing.len()).saturating_sub(num_unserved(commit, playlist));
    let rule = commit.effects.item_removals;
    let is_believed = num_missing == 0 || rule.guard.lets_pass(num_missing, num_held) && !hides_more;
    let missing: BTreeSet<String> = missing.iter().filter_map(Entry::identity).collect();
    let _ = (missing, now);
    Ok((!is_believed).then_some(Held { num_missing, num_held }))
}

fn num_unserved(commit: &Commit, playlist: &str) -> u32 {
    let gaps = commit.effects.new_gaps.iter().filter(|gap| gap.playlist_id.as_deref() == Some(playlist));
    gaps.map(|gap| gap.offset_to - gap.offset_from).sum()
}
