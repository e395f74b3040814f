//! What is known of a playlist's items: what the rows are, what an account can see and has tried, and when it reads
//! next.
//!
//! Items are shared by all accounts that list the playlist; whether an account can see them, and how its tries ended,
//! is known per account.

use super::ids::words;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// How long a playlist rests at most after failed tries: permissions do change, but each try costs a request from a
/// scarce quota.
pub const REST_MAX: TimeDelta = TimeDelta::days(7);

/// How long until hidden rows, counted but not given, are looked for again: a day, and then a week at a time while as
/// many stay hidden.
pub fn look_again_in(num_hidden: u32, num_before: u32) -> TimeDelta {
    if num_hidden == num_before { REST_MAX } else { TimeDelta::days(1) }
}

/// What a whole reading leaves open although the listing agrees with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOpen {
    pub num_hidden: u32,
    /// How many were hidden when it began.
    pub num_before: u32,
    /// Rows with nothing to identify an item by.
    pub has_empty: bool,
    /// An answer may have spoilt some rows, or nothing but this reading shows what has changed.
    pub is_doubtful: bool,
}

/// When items that were read whole are read once more without a reason in the listing, if at all. `planned`: when they
/// would have been; another reading before that puts nothing off.
pub fn reads_again_at(left: LeftOpen, planned: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let LeftOpen { num_hidden, num_before, has_empty, is_doubtful } = left;
    let hidden_in = (num_hidden > 0).then(|| look_again_in(num_hidden, num_before));
    let doubtful_in = is_doubtful.then(|| TimeDelta::days(1));
    let empty_in = has_empty.then_some(REST_MAX);
    let wait = [hidden_in, doubtful_in, empty_in].into_iter().flatten().min()?;
    Some(planned.filter(|at| *at > now).map_or(now + wait, |at| at.min(now + wait)))
}

/// A playlist whose items an account is to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StalePlaylist {
    pub id: String,
    pub name: String,
    pub snapshot_id: Option<String>,
    /// Length according to the listing; `None` if it does not say.
    pub total_items: Option<u32>,
    /// Ranges of items that the API failed to serve to this account in earlier runs.
    pub gaps: Vec<(u32, u32)>,
    /// Only those are missing.
    pub fills_only: bool,
    /// Items of the newest whole reading; `None` if there was none.
    pub num_held: Option<u32>,
    /// Rows that were counted but not given in that reading.
    pub num_hidden: u32,
    /// Number of the newest whole reading, by any account. The next reading follows it.
    pub generation: i64,
    /// How far this account's own reading under way has come.
    pub num_read: u32,
    /// Whether it belongs to the account, or the account may change it.
    pub is_own: bool,
    /// How this account's latest tries failed.
    pub failure: Option<LastFailure>,
    /// It waits until then, since those tries failed; `None` means it is to be read now.
    pub next_try_at: Option<DateTime<Utc>>,
}

words! {
    /// Why a reading failed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    FailureKind {
        /// The API does not show the items to this account.
        Refused = "refused",
        /// The API could not serve them.
        Failed = "failed",
        /// The number of items read differs from the count.
        Miscounted = "miscounted",
        /// It kept changing.
        Unsteady = "unsteady",
        /// So much is gone that a second look is needed.
        Held = "held",
        /// Another snapshot is listed, but the items are the known ones: they may be older than the listing.
        Unchanged = "unchanged",
    }
}

/// A failed reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedReading {
    pub kind: FailureKind,
    /// For people.
    pub reason: String,
    /// The playlist's snapshot in the listing.
    pub snapshot_id: Option<String>,
    /// The number of items according to the answers.
    pub total: Option<u32>,
    /// How long the account leaves the playlist alone; zero means until the next run.
    pub rest: Duration,
    /// This account cannot read it, according to more than one answer.
    pub is_unreadable: bool,
}

/// How an account's latest tries failed, as stored in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    pub kind: FailureKind,
    /// In a row, of the same kind.
    pub num_tries: u32,
    /// When the first of them failed.
    pub since: DateTime<Utc>,
    pub snapshot_id: Option<String>,
    pub total: Option<u32>,
    pub next_try_at: Option<DateTime<Utc>>,
}

impl LastFailure {
    /// The failure after one more try.
    pub fn next(before: Option<&LastFailure>, failed: &FailedReading, now: DateTime<Utc>) -> LastFailure {
        let same = before.filter(|before| before.kind == failed.kind);
        let rest = TimeDelta::from_std(failed.rest).unwrap_or(TimeDelta::MAX);
        LastFailure {
            kind: failed.kind,
            num_tries: same.map_or(0, |before| before.num_tries).saturating_add(1),
            // A calendar that was set back does not prolong a wait.
            since: same.map_or(now, |before| before.since.min(now)),
            snapshot_id: failed.snapshot_id.clone(),
            total: failed.total,
            next_try_at: (!failed.rest.is_zero()).then(|| now.checked_add_signed(rest)).flatten(),
        }
    }
}

/// The facts that decide whether an account is to read a playlist's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingState<'a> {
    /// From the listing.
    pub listed_snapshot: Option<&'a str>,
    pub listed_total: Option<u32>,
    /// The snapshot of the rows, if they are whole.
    pub held_snapshot: Option<&'a str>,
    /// How many rows there are, and how many more were counted but not given; `None` if nobody has read it whole.
    pub num_held: Option<u32>,
    pub num_hidden: u32,
    pub has_gaps: bool,
    pub failure: Option<&'a LastFailure>,
    /// When the items are read once more, whatever the listing says.
    pub look_again_at: Option<DateTime<Utc>>,
    /// Removals of items wait for a second look.
    pub is_held: bool,
}

/// Whether a playlist's items are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    No,
    Now,
    /// They would be, but an earlier failure delays it.
    At(DateTime<Utc>),
}

impl ReadingState<'_> {
    /// Whether other items than the rows are listed, as far as the listing shows. Without a snapshot that is unknown.
    fn has_changed(&self) -> bool {
        self.listed_snapshot.is_none() || self.listed_snapshot != self.held_snapshot
    }

    /// Whether the listed number of items differs from the rows plus the hidden ones.
    fn is_miscounted(&self) -> bool {
        let num_held = self.num_held.map(|held| held.saturating_add(self.num_hidden));
        num_held.zip(self.listed_total).is_some_and(|(held, listed)| held != listed)
    }

    /// Only ranges that could not be read are missing.
    pub fn fills_only(&self) -> bool {
        !self.has_changed() && !self.is_miscounted()
    }

    pub fn due(&self, now: DateTime<Utc>) -> Due {
        // A moment further ahead comes from a calendar that was set back since.
        let lies_ahead = |at: DateTime<Utc>| at > now && at - now <= REST_MAX;
        let is_looked_at = self.look_again_at.is_some_and(|at| !lies_ahead(at));
        // Removals that were held back are confirmed or dropped by the next reading, even if nothing else is due.
        if self.fills_only() && !self.has_gaps && !self.is_held && !is_looked_at {
            return Due::No;
        }
        let Some(failure) = self.failure else { return Due::Now };
        // A miscounted playlist is worth another look as soon as the listing shows anything else.
        let is_same = failure.snapshot_id.as_deref() == self.listed_snapshot;
        let waits = match failure.kind {
            FailureKind::Refused | FailureKind::Failed => true,
            FailureKind::Miscounted | FailureKind::Unsteady | FailureKind::Held | FailureKind::Unchanged => is_same,
        };
        match failure.next_try_at.filter(|at| waits && lies_ahead(*at)) {
            Some(at) => Due::At(at),
            None => Due::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: ReadingState<'_> = ReadingState {
        listed_snapshot: Some("s1"),
        listed_total: Some(120),
        held_snapshot: Some("s1"),
        num_held: Some(120),
        num_hidden: 0,
        has_gaps: false,
        failure: None,
        look_again_at: None,
        is_held: false,
    };

    #[test]
    fn what_is_listed_as_it_is_held_is_not_due() {
        assert_eq!(LISTED.due(at(0)), Due::No);
        assert_eq!(ReadingState { num_held: Some(119), num_hidden: 1, ..LISTED }.due(at(0)), Due::No);
        assert_eq!(ReadingState { listed_total: None, ..LISTED }.due(at(0)), Due::No);
    }

    #[test]
    fn rows_that_were_counted_and_not_given_are_looked_for_again_after_a_while() {
        let hiding = ReadingState { num_held: Some(118), num_hidden: 2, look_again_at: Some(at(10)), ..LISTED };
        assert_eq!((hiding.due(at(9)), hiding.due(at(10))), (Due::No, Due::Now));
        let doubtful = ReadingState { num_hidden: 0, num_held: Some(120), ..hiding };
        assert_eq!((doubtful.due(at(9)), doubtful.due(at(10))), (Due::No, Due::Now), "rows that held nothing");
    }

    #[test]
    fn items_are_read_again_once_something_of_them_is_open() {
        let left = |num_hidden, num_before| LeftOpen { num_hidden, num_before, ..LeftOpen::default() };
        let day = |days: i64| at(days * 86_400);
        for (left, planned, expected) in [
            (left(0, 0), None, None),
            (left(0, 2), None, None),
            (left(0, 2), Some(3), None),
            (LeftOpen { is_doubtful: true, ..left(0, 0) }, None, Some(1)),
            (LeftOpen { has_empty: true, ..left(0, 0) }, None, Some(7)),
            (LeftOpen { has_empty: true, is_doubtful: true, ..left(0, 0) }, None, Some(1)),
            (left(2, 0), None, Some(1)),
            (left(2, 2), None, Some(7)),
            (left(2, 2), Some(3), Some(3)),
            (left(2, 2), Some(-1), Some(7)),
            (left(2, 0), Some(3), Some(1)),
            (LeftOpen { is_doubtful: true, ..left(2, 2) }, None, Some(1)),
        ] {
            assert_eq!(reads_again_at(left, planned.map(day), at(0)), expected.map(day), "{left:?} {planned:?}");
        }
    }

    #[test]
    fn another_snapshot_another_count_and_a_gap_are_due() {
        for due in [
            ReadingState { listed_snapshot: Some("s2"), ..LISTED },
            ReadingState { listed_snapshot: None, ..LISTED },
            ReadingState { held_snapshot: None, ..LISTED },
            ReadingState { listed_total: Some(0), ..LISTED },
            ReadingState { num_held: Some(49), ..LISTED },
            ReadingState { num_hidden: 1, ..LISTED },
            ReadingState { has_gaps: true, ..LISTED },
            ReadingState { is_held: true, ..LISTED },
        ] {
            assert_eq!(due.due(at(0)), Due::Now, "{due:?}");
        }
    }

    #[test]
    fn a_failure_delays_the_next_try_and_a_new_snapshot_ends_only_what_was_doubtful() {
        for kind in FailureKind::ALL {
            let failure = failure(kind);
            let state = ReadingState { held_snapshot: Some("s0"), failure: Some(&failure), ..LISTED };
            assert_eq!((state.due(at(9)), state.due(at(10))), (Due::At(at(10)), Due::Now), "{kind:?}");
            let changed = ReadingState { listed_snapshot: Some("s2"), ..state };
            let waits = matches!(kind, FailureKind::Refused | FailureKind::Failed);
            assert_eq!(changed.due(at(9)), if waits { Due::At(at(10)) } else { Due::Now }, "{kind:?}");
            let unchanged = ReadingState { held_snapshot: Some("s1"), ..state };
            assert_eq!(unchanged.due(at(9)), Due::No);
            let held = ReadingState { is_held: true, ..unchanged };
            assert_eq!((held.due(at(9)), held.due(at(10))), (Due::At(at(10)), Due::Now), "{kind:?}");
            let looked_at = ReadingState { look_again_at: Some(at(1)), ..unchanged };
            assert_eq!((looked_at.due(at(9)), looked_at.due(at(10))), (Due::At(at(10)), Due::Now), "{kind:?}");
        }
    }

    #[test]
    fn a_calendar_that_was_set_back_holds_no_playlist_up() {
        let failure = failure(FailureKind::Refused);
        let state = ReadingState { held_snapshot: None, failure: Some(&failure), ..LISTED };
        assert_eq!(state.due(at(10) - REST_MAX), Due::At(at(10)));
        assert_eq!(state.due(at(9) - REST_MAX), Due::Now);
    }

    #[test]
    fn failures_of_one_kind_are_counted_in_a_row() {
        let failed = |kind, rest| FailedReading {
            kind,
            reason: "404".into(),
            snapshot_id: Some("s1".into()),
            total: None,
            rest: Duration::from_secs(rest),
            is_unreadable: false,
        };
        let first = LastFailure::next(None, &failed(FailureKind::Refused, 0), at(1));
        assert_eq!((first.num_tries, first.since, first.next_try_at), (1, at(1), None));
        let second = LastFailure::next(Some(&first), &failed(FailureKind::Refused, 60), at(5));
        assert_eq!((second.num_tries, second.since, second.next_try_at), (2, at(1), Some(at(65))));
        let other = LastFailure::next(Some(&second), &failed(FailureKind::Miscounted, 0), at(9));
        assert_eq!((other.num_tries, other.since), (1, at(9)));
    }

    fn failure(kind: FailureKind) -> LastFailure {
        let snapshot_id = Some("s1".into());
        LastFailure { kind, num_tries: 2, since: at(0), snapshot_id, total: None, next_try_at: Some(at(10)) }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }
}
