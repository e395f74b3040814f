//! Whether items missing from a reading are believed to be gone.
//!
//! A few are believed at once. Many, or all, wait for a second look that misses the same items, some time later, like
//! removals from the library (`held_removals`). So does an item that is missing while rows are counted but not given:
//! it may be one of those. What could not be served is no longer shown either: it waits in the same way if it is much.
//!
//! A reading without changes, while the listing has another snapshot, may be older than the listing: servers do not all
//! learn of an edit at once. It is believed the second time.

use super::held;
use super::schema::held_removals;
use super::types::{At, len};
use super::versions::{self, Entry};
use super::{Conn, StoreError, with_conn};
use crate::model::{Commit, FailedReading, FailureKind, ReadingOutcome};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryDsl;
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The verdict on a whole reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may replace the rows.
    Believed,
    /// It contains the rows as they are.
    Unchanged,
    Held(Held),
}

/// A reading that misses too much to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub num_missing: u32,
    pub num_held: u32,
}

impl Held {
    pub fn failure(self, snapshot_id: Option<String>) -> FailedReading {
        let Held { num_missing, num_held } = self;
        let reason = format!("{num_missing} of {num_held} items are no longer listed, which one look does not prove");
        doubted(FailureKind::Held, reason, snapshot_id)
    }

    pub fn outcome(self, playlist: &str) -> ReadingOutcome {
        let Held { num_missing, num_held } = self;
        ReadingOutcome::Held { playlist_id: playlist.to_owned(), num_missing, num_held }
    }
}

/// Evidence for or against what a reading misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence {
    /// More rows than before are counted but not given.
    pub hides_more: bool,
    /// The account's last reading was held.
    pub was_held: bool,
}

/// A reading that is believed the second time.
pub(super) fn unchanged(snapshot_id: Option<String>) -> FailedReading {
    let reason = "another snapshot is listed, and the items are the same, which one look does not prove";
    doubted(FailureKind::Unchanged, reason.to_owned(), snapshot_id)
}

/// A whole reading that the next run has to confirm.
fn doubted(kind: FailureKind, reason: String, snapshot_id: Option<String>) -> FailedReading {
    FailedReading { kind, reason, snapshot_id, total: None, rest: Duration::ZERO, is_unreadable: false }
}

/// Judges a whole reading against the rows.
pub(super) async fn judge(
    conn: &mut Conn,
    commit: &Commit,
    playlist: &str,
    after: Vec<Entry>,
    evidence: Evidence,
    now: At,
) -> Result<Verdict, StoreError> {
    let Evidence { hides_more, was_held } = evidence;
    let versions::Comparison { num_held, missing, is_same } = versions::compare(conn, playlist, after).await?;
    let num_held = len(num_held);
    let num_missing = len(missing.len());
    let rule = commit.effects.item_removals;
    if num_missing == 0 || rule.lets_pass(num_missing, num_held) && !hides_more {
        if was_held {
            held::release(conn, commit.account_id, commit.entity, playlist).await?;
        }
        return Ok(if is_same { Verdict::Unchanged } else { Verdict::Believed });
    }
    let missing: BTreeSet<String> = missing.iter().filter_map(Entry::identity).collect();
    let known: BTreeMap<String, (At, bool)> = with_conn!(conn, |c| {
        use held_removals::{is_confirmed, item_id, since};
        held::held(commit.account_id, commit.entity, playlist).select((item_id, (since, is_confirmed))).load(c).await
    })?
    .into_iter()
    .collect();
    let ripe_at =
        TimeDelta::from_std(rule.wait).ok().and_then(|wait| DateTime::<Utc>::from(now).checked_sub_signed(wait));
    let is_ripe = |(since, is_confirmed): &(At, bool)| {
        *is_confirmed || ripe_at.is_some_and(|ripe_at| DateTime::<Utc>::from(*since) <= ripe_at)
    };
    if missing.iter().all(|item| known.get(item).is_some_and(is_ripe)) {
        held::release(conn, commit.account_id, commit.entity, playlist).await?;
        return Ok(Verdict::Believed);
    }
    let ids: Vec<&str> = missing.iter().map(String::as_str).collect();
    held::keep(conn, (commit.account_id, commit.entity, playlist), &ids, hides_more, now).await?;
    Ok(Verdict::Held(Held { num_missing, num_held }))
}
