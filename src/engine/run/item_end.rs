//! How a reading of a playlist's items ends, and when it is tried again if it came to nothing.
//!
//! | what | own playlist | another's |
//! |---|---|---|
//! | refused | asked again in the same run; then with the next run, after 10 min, 1 h, 6 h, a day | with the next run; refused again, it is unreadable and rests for 7 days |
//! | not served | with the next run, after 10 min, 1 h, 6 h, a day | the same |
//! | does not match its count | the listing is looked at again in the same run; then as above | the same |
//! | kept changing, or came in pages of one item, which cannot be linked | as above | the same |
//!
//! A reading that differs from what the listing counts does not count as the listed snapshot. If nothing is known yet
//! it is kept all the same. Otherwise two readings that agree, an hour apart, are believed, and the playlist stays due.
//! So is a reading after three that did not match either, of whatever snapshot, and one of a playlist whose count is
//! zero: then it is the listing that miscounts.

use crate::model::{FailedReading, FailureKind, REST_MAX, StalePlaylist, batch::PlaylistEnd};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// How long an account leaves a playlist alone after this many failed tries.
const RESTS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Readings that differ from what the listing counts, after which the next one is believed. With their rests that is
/// more than an hour.
const MISCOUNTS_MIN: u32 = 3;

/// A failure, following those of earlier runs.
pub fn failed(playlist: &StalePlaylist, kind: FailureKind, reason: String, total: Option<u32>) -> FailedReading {
    let num_before = num_before(playlist, kind);
    let is_unreadable = kind == FailureKind::Refused && !playlist.is_own && num_before > 0;
    let rest = if is_unreadable {
        REST_MAX.to_std().unwrap_or_default()
    } else {
        RESTS[usize::try_from(num_before).unwrap_or(usize::MAX).min(RESTS.len() - 1)]
    };
    FailedReading { kind, reason, snapshot_id: playlist.snapshot_id.clone(), total, rest, is_unreadable }
}

fn num_before(playlist: &StalePlaylist, kind: FailureKind) -> u32 {
    playlist.failure.as_ref().filter(|failure| failure.kind == kind).map_or(0, |failure| failure.num_tries)
}

/// A reading to the end of a playlist, at a single moment as far as can be seen.
#[derive(Debug, Default)]
pub struct Reading {
    pub total: u32,
    /// In pages that could not be linked.
    pub is_unproven: bool,
    /// Gaps of earlier readings that it has read.
    pub healed: Vec<(u32, u32)>,
}

/// What such a reading comes to.
pub fn complete(playlist: &StalePlaylist, reading: Reading, wait: Duration, now: DateTime<Utc>) -> PlaylistEnd {
    let Reading { total, is_unproven, healed } = reading;
    let snapshot_id = playlist.snapshot_id.clone();
    let (kind, reason) = match playlist.total_items {
        Some(listed) if listed != total => {
            (FailureKind::Miscounted, format!("{listed} items are listed, and {total} are there"))
        }
        _ if is_unproven => {
            (FailureKind::Unsteady, "pages that do not link up, or count differently, prove nothing".to_owned())
        }
        _ => return PlaylistEnd::Complete { snapshot_id, total, failure: None, healed },
    };
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
    let is_confirmed = playlist.failure.as_ref().is_some_and(|before| {
        before.kind == kind
            && before.total == Some(total)
            && before.snapshot_id == playlist.snapshot_id
            && now.signed_duration_since(before.since) >= wait
    });
    let is_miscounting = kind == FailureKind::Miscounted
        && (playlist.total_items == Some(0) || num_before(playlist, kind) >= MISCOUNTS_MIN);
    let failed = failed(playlist, kind, reason, Some(total));
    if playlist.num_held.is_none() || is_confirmed || is_miscounting {
        PlaylistEnd::Complete { snapshot_id: None, total, failure: Some(failed), healed }
    } else {
        PlaylistEnd::Failed(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LastFailure;

    const HOUR: Duration = Duration::from_secs(3600);

    fn linked(total: u32) -> Reading {
        Reading { total, ..Reading::default() }
    }

    #[test]
    fn what_is_as_it_is_listed_is_that_snapshot() {
        for total_items in [Some(12), None] {
            let playlist = StalePlaylist { total_items, ..playlist(None) };
            let snapshot_id = Some("s1".to_owned());
            let end = PlaylistEnd::Complete { snapshot_id, total: 12, failure: None, healed: Vec::new() };
            assert_eq!(complete(&playlist, linked(12), HOUR, at(0)), end);
        }
    }

    #[test]
    fn what_is_not_as_it_is_listed_is_believed_when_an_hour_later_it_is_the_same() {
        let failure = |total, seconds| Some(tried(FailureKind::Miscounted, 1, total, seconds));
        for (failure, is_taken) in [
            (None, false),
            (failure(10, 1), false),
            (failure(9, -3600), false),
            (failure(10, -3600), true),
            (Some(tried(FailureKind::Unsteady, 1, 10, -3600)), false),
        ] {
            let end = complete(&StalePlaylist { failure, ..playlist(Some(12)) }, linked(10), HOUR, at(0));
            match &end {
                PlaylistEnd::Complete { snapshot_id, failure, .. } => {
                    assert!(is_taken && snapshot_id.is_none() && failure.is_some(), "{end:?}");
                }
                PlaylistEnd::Failed(_) => assert!(!is_taken, "{end:?}"),
                PlaylistEnd::GapFilled => panic!("{end:?}"),
            }
        }
    }

    #[test]
    fn a_count_that_is_always_wrong_does_not_keep_a_playlist_as_it_was() {
        let other = |num_tries| {
            let failure = tried(FailureKind::Miscounted, num_tries, 9, -60);
            Some(LastFailure { snapshot_id: Some("s0".into()), ..failure })
        };
        for (listed, failure, is_taken) in [
            (Some(0), None, true),
            (Some(13), None, false),
            (Some(13), other(1), false),
            (Some(13), other(2), false),
            (Some(13), other(3), true),
        ] {
            let playlist = StalePlaylist { total_items: listed, failure, ..playlist(Some(11)) };
            let end = complete(&playlist, linked(12), HOUR, at(0));
            let is_complete = matches!(&end, PlaylistEnd::Complete { snapshot_id: None, failure: Some(_), .. });
            assert_eq!(is_complete, is_taken, "{listed:?}: {end:?}");
        }
    }

    #[test]
    fn pages_of_one_item_prove_no_snapshot() {
        for (num_held, failure, is_taken) in [
            (None, None, true),
            (Some(12), None, false),
            (Some(12), Some(tried(FailureKind::Unsteady, 1, 12, -3600)), true),
            (Some(12), Some(tried(FailureKind::Unsteady, 1, 11, -3600)), false),
        ] {
            let unlinked = Reading { is_unproven: true, ..linked(12) };
            let end = complete(&StalePlaylist { failure, ..playlist(num_held) }, unlinked, HOUR, at(0));
            match &end {
                PlaylistEnd::Complete { snapshot_id: None, failure: Some(_), .. } => assert!(is_taken, "{end:?}"),
                PlaylistEnd::Failed(failed) if failed.kind == FailureKind::Unsteady => assert!(!is_taken, "{end:?}"),
                PlaylistEnd::Complete { .. } | PlaylistEnd::Failed(_) | PlaylistEnd::GapFilled => panic!("{end:?}"),
            }
        }
    }

    #[test]
    fn where_nothing_is_known_what_came_is_kept_without_a_snapshot() {
        let end = complete(&playlist(None), linked(10), HOUR, at(0));
        assert!(matches!(end, PlaylistEnd::Complete { snapshot_id: None, total: 10, failure: Some(_), .. }), "{end:?}");
    }

    #[test]
    fn an_own_playlist_is_never_unreadable_and_tried_less_and_less_often() {
        let minutes = [0, 10, 60, 360, 1440, 1440, 1440];
        for (num_tries, minutes) in (0..).zip(minutes) {
            let failure = (num_tries > 0).then(|| tried(FailureKind::Refused, num_tries, 0, 0));
            let own = StalePlaylist { is_own: true, failure, ..playlist(Some(1)) };
            let failed = failed(&own, FailureKind::Refused, "404".into(), None);
            assert_eq!((failed.rest.as_secs() / 60, failed.is_unreadable), (minutes, false), "try {num_tries}");
        }
    }

    #[test]
    fn anothers_playlist_is_unreadable_once_a_second_run_is_refused_too() {
        let refused =
            |failure| failed(&StalePlaylist { failure, ..playlist(None) }, FailureKind::Refused, "403".into(), None);
        let first = refused(None);
        assert_eq!((first.rest, first.is_unreadable), (Duration::ZERO, false));
        let other = refused(Some(tried(FailureKind::Miscounted, 4, 1, 0)));
        assert_eq!((other.rest, other.is_unreadable), (Duration::ZERO, false));
        let second = refused(Some(tried(FailureKind::Refused, 1, 0, 0)));
        assert_eq!((second.rest, second.is_unreadable), (Duration::from_secs(7 * 24 * 3600), true));
    }

    fn playlist(num_held: Option<u32>) -> StalePlaylist {
        let (snapshot_id, total_items) = (Some("s1".into()), Some(12));
        StalePlaylist { id: "p".into(), snapshot_id, total_items, num_held, ..StalePlaylist::default() }
    }

    fn tried(kind: FailureKind, num_tries: u32, total: u32, seconds: i64) -> LastFailure {
        let (snapshot_id, since) = (Some("s1".into()), at(seconds));
        LastFailure { kind, num_tries, since, snapshot_id, total: Some(total), next_try_at: None }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }
}
