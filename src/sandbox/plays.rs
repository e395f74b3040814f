//! Listening: plays that happen now, many at once, and ones that appear late because a phone was offline.
//!
//! Everything ever played is kept, by the time it was played; the Web API shows the last fifty. So a late play appears
//! at its time, in the middle of what was shown before, or not at all if fifty are newer.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::applied::{ADD_MAX, Applied, applied};
use super::catalogue::TrackNo;
use super::library::{Library, PLAYS_MAX, Play};

/// Longest ago that a play can appear, and longest time between two of one edit.
const SPAN_MAX_S: u64 = 366 * 24 * 3600;

/// Plays of saved tracks, as described by an edit.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub count: usize,
    /// Seconds between the last of them and now. Without it they are the newest of all, regardless of the library's
    /// dates.
    pub ago_s: Option<u64>,
    /// Milliseconds between two of them.
    pub spacing_ms: u64,
}

/// Adds plays, and reports them newest first.
pub fn listen(library: &mut Library, wanted: Listening, now: DateTime<Utc>) -> Result<Applied, String> {
    let Listening { count, ago_s, spacing_ms } = wanted;
    let tracks: Vec<TrackNo> = library.tracks.iter().filter_map(|row| row.track).collect();
    if tracks.is_empty() {
        return Err("there is no saved track to listen to".to_owned());
    }
    if count > ADD_MAX || ago_s.is_some_and(|ago| ago > SPAN_MAX_S) || spacing_ms > SPAN_MAX_S * 1000 {
        return Err(format!("that is too long ago, or more than {ADD_MAX} plays"));
    }
    let (ago_s, spacing_ms, steps) =
        (ago_s.map(u64::cast_signed), spacing_ms.cast_signed(), count.cast_signed() as i64);
    let now = now.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(now);
    let first = match ago_s {
        Some(ago_s) => now - TimeDelta::seconds(ago_s) - TimeDelta::milliseconds(spacing_ms * (steps - 1).max(0)),
        None => {
            let head = library.plays.first().map(|play| play.played_at + TimeDelta::milliseconds(1));
            head.map_or(now, |head| head.max(now - TimeDelta::milliseconds(spacing_ms * (steps - 1).max(0))))
        }
    };
    let mut ids = Vec::new();
    for step in 0..steps {
        let track = tracks[library.rng.usize(..tracks.len())];
        library.hear(Play { played_at: first + TimeDelta::milliseconds(spacing_ms * step), track });
        ids.push(Some(library.catalogue[track].id.clone()));
    }
    ids.reverse();
    Ok(applied("play", ids))
}

impl Library {
    /// Inserts a play by its time. Two plays never share a millisecond, since the time identifies them.
    fn hear(&mut self, mut play: Play) {
        let place = |plays: &[Play], at| plays.partition_point(|known| known.played_at > at);
        let mut at = place(&self.plays, play.played_at);
        while self.plays.get(at).is_some_and(|known| known.played_at == play.played_at) {
            play.played_at += TimeDelta::milliseconds(1);
            at = place(&self.plays, play.played_at);
        }
        self.plays.insert(at, play);
    }

    /// The plays that the Web API shows.
    pub fn recent_plays(&self) -> &[Play] {
        &self.plays[..self.plays.len().min(PLAYS_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::config::LibrarySpec;
    use crate::sandbox::generate;

    #[test]
    fn sixty_at_once_push_the_oldest_out_of_sight() {
        let (mut library, now) = small();
        let newest_before = library.plays[0].played_at;
        let done =
            listen(&mut library, Listening { count: 60, ago_s: None, spacing_ms: 30_000 }, now).expect("possible");
        assert_eq!((done.ids.len(), library.plays.len(), library.recent_plays().len()), (60, 110, PLAYS_MAX));
        assert!(library.recent_plays().iter().all(|play| play.played_at > newest_before));
        assert!(library.plays.is_sorted_by(|a, b| a.played_at > b.played_at));
        assert_eq!(done.ids[0].as_deref(), Some(library.catalogue[library.plays[0].track].id.as_str()));
    }

    #[test]
    fn late_plays_stand_where_their_time_puts_them() {
        let (mut library, now) = small();
        listen(&mut library, Listening { count: 10, ago_s: None, spacing_ms: 60_000 }, now).expect("possible");
        let late = Listening { count: 2, ago_s: Some(90), spacing_ms: 60_000 };
        listen(&mut library, late, now).expect("possible");
        let seconds_ago = |at: usize| (now - library.plays[at].played_at).num_seconds();
        assert_eq!((0..6).map(seconds_ago).collect::<Vec<_>>(), [0, 60, 90, 120, 150, 180]);
    }

    #[test]
    fn what_comes_later_than_fifty_others_is_never_shown() {
        let (mut library, now) = small();
        let shown = library.recent_plays().len();
        let ancient = Listening { count: 1, ago_s: Some(300 * 24 * 3600), spacing_ms: 1 };
        let oldest = library.plays[49].played_at;
        listen(&mut library, ancient, oldest).expect("possible");
        assert_eq!((library.plays.len(), shown), (51, PLAYS_MAX));
        assert_eq!(library.recent_plays()[49].played_at, oldest);
        assert!(listen(&mut library, Listening { count: 1, ago_s: Some(u64::MAX), spacing_ms: 1 }, now).is_err());
    }

    /// With a moment after everything in it.
    fn small() -> (Library, DateTime<Utc>) {
        let library = generate::library(&LibrarySpec::exact(20, 5, 10, 3, 10), 3);
        let now = library.plays[0].played_at + TimeDelta::hours(3);
        (library, now)
    }
}
