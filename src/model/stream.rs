//! The streams of a data export, and what is needed to find the same plays in the API's own history.

use super::ids::words;
use super::{ArtistRef, Play, PlayKey};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use utoipa::ToSchema;

words! {
    /// What was streamed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    StreamKind {
        Track = "track",
        Episode = "episode",
        /// A part of an audiobook.
        Chapter = "chapter",
        /// Missing in the export: local files, and rows whose names Spotify has lost.
        Unknown = "unknown",
    }
}

words! {
    /// Which of the two exports a stream comes from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    StreamOrigin {
        /// The extended streaming history: to the second, with ids.
        Extended = "extended",
        /// The account data: the last twelve months, to the minute, with names only.
        Account = "account",
    }
}

/// One row of an export, normalised. The address and the user agent that come with it are never read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// When Spotify logged it: the end, or, for an offline stream, when the device was next online.
    pub logged_at: DateTime<Utc>,
    /// Distinguishes rows of one second; the same row in another export has the same digest.
    pub digest: i64,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub ms_played: i64,
    pub kind: StreamKind,
    /// For a [`StreamKind::Track`] always `spotify:track:` and an id.
    pub uri: Option<String>,
    pub name: Option<String>,
    /// The album's artist, the author, or nobody.
    pub creator: Option<String>,
    /// The album, show or audiobook.
    pub collection: Option<String>,
    pub collection_uri: Option<String>,
    pub reason_start: Option<String>,
    pub reason_end: Option<String>,
    pub shuffle: Option<bool>,
    pub skipped: Option<bool>,
    pub offline: Option<bool>,
    pub incognito: Option<bool>,
    pub platform: Option<String>,
    pub country: Option<String>,
    pub origin: StreamOrigin,
}

impl Stream {
    /// Made of the fields that all generations of the export have in common; `known_start` in unix seconds, 0 if the
    /// row does not say.
    pub fn digest_with(&self, known_start: i64) -> i64 {
        let mut hash = Sha256::new();
        hash.update(self.ms_played.to_be_bytes());
        hash.update(known_start.to_be_bytes());
        match &self.uri {
            Some(uri) => hash.update(uri.as_bytes()),
            None => {
                hash.update(self.kind.as_str().as_bytes());
                for name in [&self.name, &self.creator, &self.collection] {
                    hash.update(name.as_deref().unwrap_or_default().as_bytes());
                    hash.update([0]);
                }
            }
        }
        let bytes: [u8; 32] = hash.finalize().into();
        i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))
    }

    /// The beginning according to the original row, and whether it contained the URI: the same for equal digests.
    pub fn as_written(&self) -> (Option<DateTime<Utc>>, bool) {
        let nameless = Stream { uri: None, ..self.clone() };
        for (written, has_uri) in [(self, true), (&nameless, false)] {
            for (seconds, start) in [(self.started_at.timestamp(), Some(self.started_at)), (0, None)] {
                if written.digest_with(seconds) == self.digest {
                    return (start, has_uri);
                }
            }
        }
        (Some(self.started_at), true)
    }
}

words! {
    /// What `played_at` of the API turns out to mean.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    Meaning {
        End = "end",
        Start = "start",
    }
}

/// Fingerprints that identify a recording: two that share any of them are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackKeys {
    pub uri: u64,
    pub isrc: Option<u64>,
    /// Title and the album's artist.
    pub names: Option<u64>,
    /// Title and the first artist, if the API gives one.
    pub other_names: Option<u64>,
}

impl TrackKeys {
    pub fn of_uri(uri: &str) -> u64 {
        fingerprint(uri)
    }

    pub fn of_isrc(isrc: &str) -> u64 {
        fingerprint(&isrc.to_ascii_uppercase())
    }

    /// Ignoring case and surrounding space. `None` if either is empty.
    pub fn of_names(title: &str, creator: &str) -> Option<u64> {
        let [title, creator] = [title, creator].map(|text| text.trim().to_lowercase());
        (!title.is_empty() && !creator.is_empty()).then(|| fingerprint(&(title, creator)))
    }
}

fn fingerprint(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A stream as the matcher sees it; times are unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardAt {
    /// The row in the database.
    pub id: i64,
    pub start: i64,
    pub end: i64,
    /// Some are less certain: the account data has minutes only, for offline streams the export does not say how long
    /// they were paused, and for some streams it contains only the end.
    pub earliest_start: i64,
    pub latest_start: i64,
    pub latest_end: i64,
    /// When it was logged.
    pub logged: i64,
    pub ms_played: i64,
    /// `None` if the export has lost its name.
    pub keys: Option<TrackKeys>,
}

impl HeardAt {
    /// A stream with both ends known to the second.
    pub fn exact(id: i64, start: i64, end: i64, keys: Option<TrackKeys>) -> HeardAt {
        let (earliest_start, latest_start, latest_end) = (start, start, end);
        HeardAt { id, start, end, earliest_start, latest_start, latest_end, logged: end, ms_played: end - start, keys }
    }

    /// Consecutive streams, ordered by their ends, bound each other if nothing else does: an offline stream lasts at
    /// most until the next one begins, and one whose end alone is known begins after the previous one. `offline` says
    /// which were offline.
    pub fn bound_each_other(heard: &mut [HeardAt], offline: impl Fn(&HeardAt) -> bool) {
        for at in 0..heard.len() {
            let (before, after) = (at.checked_sub(1).map(|at| heard[at].end), heard.get(at + 1).map(|next| next.start));
            let stream = &mut heard[at];
            if offline(stream) {
                stream.latest_end = after.unwrap_or(stream.end).clamp(stream.end, stream.logged.max(stream.end));
            } else if let Some(before) = before
                && stream.end - stream.start == stream.ms_played
            {
                stream.earliest_start = before.clamp(stream.start - LONGEST_PAUSE.num_milliseconds(), stream.start);
            }
        }
    }
}

/// A play as the API reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldAt {
    pub key: PlayKey,
    pub keys: TrackKeys,
}

impl ToldAt {
    pub fn of(play: &Play) -> ToldAt {
        let mut keys = TrackKeys { uri: TrackKeys::of_uri(&play.track_uri), ..TrackKeys::default() };
        if let Some(track) = &play.track {
            let first = |artists: &[ArtistRef]| artists.first().map(|artist| artist.name.clone()).unwrap_or_default();
            let album_artist = track.album.as_ref().map(|album| first(&album.artists)).unwrap_or_default();
            keys.isrc = track.isrc.as_deref().map(TrackKeys::of_isrc);
            keys.names = TrackKeys::of_names(&track.name, &album_artist);
            keys.other_names = TrackKeys::of_names(&track.name, &first(&track.artists));
        }
        ToldAt { key: play.key(), keys }
    }

    pub fn at(&self) -> i64 {
        self.key.0.timestamp_millis()
    }
}

/// A stream and a play that are the same listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPair {
    pub stream: i64,
    pub play: PlayKey,
    /// Milliseconds from the end of the stream to the moment that the API reports.
    pub offset_ms: i64,
    /// The same from the beginning.
    pub from_start_ms: i64,
}

/// Longest pause to allow for if the export contains only the end of a stream.
pub const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(12);

/// How far outside a stream its play may lie.
pub const BEFORE_START: TimeDelta = TimeDelta::seconds(15);
pub const AFTER_END: TimeDelta = TimeDelta::seconds(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_whatever_their_case_and_nothing_names_nothing() {
        assert_eq!(TrackKeys::of_names(" Glass Harbour", "THE TIN"), TrackKeys::of_names("glass harbour", "The Tin "));
        assert_ne!(TrackKeys::of_names("a", "bc"), TrackKeys::of_names("ab", "c"));
        assert_eq!([TrackKeys::of_names("", "x"), TrackKeys::of_names("x", " ")], [None, None]);
        assert_eq!(TrackKeys::of_isrc("zzaaa2500001"), TrackKeys::of_isrc("ZZAAA2500001"));
    }
}
