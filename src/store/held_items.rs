//! What a whole reading of a playlist is worth, beside the rows; [`Comparison`] says when it is believed.
//!
//! A reading without changes, while the listing has another snapshot, may be older than the listing: servers do not all
//! learn of an edit at once. It is believed the second time.

use super::held;
use super::schema::held_removals;
use super::types::At;
use super::versions;
use super::{Conn, StoreError, with_conn};
use crate::model::version::{Comparison, Entry, HiddenItems};
use crate::model::{Commit, FailedReading, FailureKind, ReadingOutcome};
use chrono::{DateTime, Utc};
use diesel::QueryDsl;
use diesel_async::RunQueryDsl;
use std::collections::BTreeMap;
use std::time::Duration;

/// The verdict on a whole reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may replace the rows. `is_uncounted`: nothing but this one reading shows the changes; `contradicts`: the rows
    /// cannot be of the same snapshot.
    Believed {
        is_uncounted: bool,
        contradicts: bool,
    },
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

/// A reading that is believed the second time.
pub(super) fn unchanged(snapshot_id: Option<String>) -> FailedReading {
    let reason = "another snapshot is listed, and the items are the same, which one look does not prove";
    doubted(FailureKind::Unchanged, reason.to_owned(), snapshot_id)
}

/// A reading that differs from an earlier one of the same snapshot: one of the two is wrong.
pub(super) fn contradictory(snapshot_id: Option<String>) -> FailedReading {
    let reason = "other items than before are returned for the same snapshot, which one look does not prove";
    doubted(FailureKind::Unsteady, reason.to_owned(), snapshot_id)
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
    hidden: HiddenItems,
    now: At,
) -> Result<Verdict, StoreError> {
    let compared = versions::compare(conn, playlist, after).await?;
    let rule = commit.effects.item_removals;
    if compared.is_believed(rule, hidden) {
        // It contains the items that are held, whichever account missed them.
        held::release_items(conn, playlist).await?;
        let (is_uncounted, contradicts) = (compared.is_uncounted(), compared.contradicts());
        return Ok(if compared.is_same { Verdict::Unchanged } else { Verdict::Believed { is_uncounted, contradicts } });
    }
    let known: BTreeMap<String, (DateTime<Utc>, bool)> = with_conn!(conn, |c| {
        use held_removals::{is_confirmed, item_id, since};
        held::held(commit.account_id, commit.entity, playlist).select((item_id, (since, is_confirmed))).load(c).await
    })?
    .into_iter()
    .collect();
    if compared.is_confirmed(rule, &known, now.into()) {
        held::release_items(conn, playlist).await?;
        return Ok(Verdict::Believed { is_uncounted: false, contradicts: false });
    }
    let may_be_hidden = compared.may_be_hidden(hidden);
    let Comparison { num_held, num_missing, missing, .. } = compared;
    let ids: Vec<&str> = missing.iter().map(String::as_str).collect();
    held::keep(conn, (commit.account_id, commit.entity, playlist), &ids, may_be_hidden, now).await?;
    Ok(Verdict::Held(Held { num_missing, num_held }))
}
