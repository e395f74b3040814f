//! One row of a history: its fields, and the stream that it describes.
//!
//! Of the extended history there are three generations (21, 19 and 23 keys); all of them are one set of optional
//! fields. `ts` is the end of a stream and `offline_timestamp` its beginning: in seconds or, for some years, in
//! milliseconds. Offline streams are logged when the device is online again, many rows in one second; such a stream's
//! end is its beginning plus how long it played.
//!
//! ```text
//! start = offline_timestamp, where it can be, else ts - ms_played
//! end   = offline_timestamp + ms_played, where the row says that it was offline, else ts
//! ```
//!
//! The address, the user agent and the user name are not fields here, so they are never read.

use crate::model::repair::repaired;
use crate::model::stream::{Stream, StreamKind, StreamOrigin};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::ops::Range;

/// Longest text that is kept whole.
const TEXT_LEN_MAX: usize = 1000;

/// Longest URI that is accepted.
const URI_LEN_MAX: usize = 255;

/// From this number on a timestamp is in milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Spotify did not exist before 2006, and no valid row is from 2100.
const SECONDS: Range<i64> = 1_136_073_600..4_102_444_800;

/// How long before it is logged a stream can have begun, and how long after, if clocks differ.
const LATE_MAX: TimeDelta = TimeDelta::days(30);
const EARLY_MAX: TimeDelta = TimeDelta::hours(1);

/// Longer than any single stream, even of a video podcast.
const MS_PLAYED_MAX: i64 = 7 * 24 * 3600 * 1000;

/// The wire type of a row: fields that may be missing, with their keys where those differ.
macro_rules! wires {
    ($(
        $(#[$about:meta])*
        struct $name:ident { $($field:ident: $held:ty $(= $key:literal)?,)+ }
    )+) => { $(
        $(#[$about])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[serde(rename = $key)])? $field: Option<$held>,)+ }

        impl $name {
            pub fn read(object: &[u8]) -> Result<$name, BadRow> {
                if let Ok(wire) = serde_json::from_slice(object) {
                    return Ok(wire);
                }
                // A field of the wrong type, or not text, costs the field.
                let mut row = Loose::read(object)?;
                Ok($name { $($field: row.take(wires!(@key $field $($key)?)),)+ })
            }
        }
    )+ };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

wires! {
    struct ExtendedWire {
        ts: String,
        platform: String,
        ms_played: i64,
        conn_country: String,
        master_metadata_track_name: String,
        master_metadata_album_artist_name: String,
        master_metadata_album_album_name: String,
        spotify_track_uri: String,
        episode_name: String,
        episode_show_name: String,
        spotify_episode_uri: String,
        audiobook_title: String,
        audiobook_uri: String,
        audiobook_chapter_uri: String,
        audiobook_chapter_title: String,
        reason_start: String,
        reason_end: String,
        shuffle: bool,
        skipped: bool,
        offline: bool,
        offline_timestamp: i64,
        incognito_mode: bool,
    }

    /// A row of the account data: music, podcasts and audiobooks have fields of their own.
    struct AccountWire {
        end_time: String = "endTime",
        artist_name: String = "artistName",
        track_name: String = "trackName",
        podcast_name: String = "podcastName",
        episode_name: String = "episodeName",
        audiobook_name: String = "audiobookName",
        author_name: String = "authorName",
        chapter_name: String = "chapterName",
        ms_played: i64 = "msPlayed",
    }
}

/// A row without a usable stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRow;

impl ExtendedWire {
    pub fn stream(self) -> Result<Stream, BadRow> {
        let logged_at = self.ts.as_deref().and_then(moment).ok_or(BadRow)?;
        let ms_played = self.ms_played.ok_or(BadRow)?.clamp(0, MS_PLAYED_MAX);
        let played = TimeDelta::milliseconds(ms_played);
        let known_start = self.offline_timestamp.and_then(|number| beginning(number, logged_at));
        let (started_at, ended_at) = match known_start {
            Some(start) if self.offline == Some(true) => (start, start + played),
            Some(start) => (start, logged_at),
            None => (logged_at - played, logged_at),
        };
        let About { kind, uri, name, creator, collection, collection_uri } = About::of(&self);
        let mut stream = Stream {
            logged_at,
            digest: 0,
            started_at,
            ended_at,
            ms_played,
            kind,
            uri,
            name,
            creator,
            collection,
            collection_uri,
            reason_start: word(self.reason_start),
            reason_end: word(self.reason_end),
            shuffle: self.shuffle,
            skipped: self.skipped,
            offline: self.offline,
            incognito: self.incognito_mode,
            platform: word(self.platform),
            country: word(self.conn_country),
            origin: StreamOrigin::Extended,
        };
        stream.digest = stream.digest_with(known_start.map_or(0, |start| start.timestamp()));
        Ok(stream)
    }
}

impl AccountWire {
    /// `uri_of` knows the URIs of some titles and artists.
    pub fn stream(self, uri_of: impl Fn(&str, &str) -> Option<String>) -> Result<Stream, BadRow> {
        let logged_at = self.end_time.as_deref().and_then(moment).ok_or(BadRow)?;
        let ms_played = self.ms_played.ok_or(BadRow)?.clamp(0, MS_PLAYED_MAX);
        let known = |text: Option<String>| word(text).filter(|text| !text.starts_with("Unknown "));
        let (kind, name, creator, collection) = if self.chapter_name.is_some() || self.audiobook_name.is_some() {
            (StreamKind::Chapter, word(self.chapter_name), word(self.author_name), word(self.audiobook_name))
        } else if self.episode_name.is_some() || self.podcast_name.is_some() {
            (StreamKind::Episode, word(self.episode_name), None, word(self.podcast_name))
        } else {
            match (known(self.track_name), known(self.artist_name)) {
                (None, None) => (StreamKind::Unknown, None, None, None),
                (name, artist) => (StreamKind::Track, name, artist, None),
            }
        };
        let uri = match (kind, &name, &creator) {
            (StreamKind::Track, Some(name), Some(creator)) => uri_of(name, creator),
            _ => None,
        };
        let mut stream = Stream {
            logged_at,
            digest: 0,
            started_at: logged_at - TimeDelta::milliseconds(ms_played),
            ended_at: logged_at,
            ms_played,
            kind,
            // The digest is made of names, whether or not an id is found for them.
            uri: None,
            name,
            creator,
            collection,
            collection_uri: None,
            reason_start: None,
            reason_end: None,
            shuffle: None,
            skipped: None,
            offline: None,
            incognito: None,
            platform: None,
            country: None,
            origin: StreamOrigin::Account,
        };
        stream.digest = stream.digest_with(0);
        stream.uri = uri;
        Ok(stream)
    }
}

/// The subject of a row.
struct About {
    kind: StreamKind,
    uri: Option<String>,
    name: Option<String>,
    creator: Option<String>,
    collection: Option<String>,
    collection_uri: Option<String>,
}

impl About {
    fn of(wire: &ExtendedWire) -> About {
        let text = |text: &Option<String>| text.as_deref().and_then(|text| word(Some(text.to_owned())));
        let uri = |uri: &Option<String>| uri.as_deref().filter(|uri| is_uri(uri)).map(str::to_owned);
        let nothing = About {
            kind: StreamKind::Unknown,
            uri: None,
            name: None,
            creator: None,
            collection: None,
            collection_uri: None,
        };
        let track_name = text(&wire.master_metadata_track_name);
        if wire.audiobook_chapter_uri.is_some() || wire.audiobook_uri.is_some() || wire.audiobook_title.is_some() {
            return About {
                kind: StreamKind::Chapter,
                uri: uri(&wire.audiobook_chapter_uri),
                name: text(&wire.audiobook_chapter_title),
                collection: text(&wire.audiobook_title),
                collection_uri: uri(&wire.audiobook_uri),
                ..nothing
            };
        }
        if wire.spotify_episode_uri.is_some() || (wire.spotify_track_uri.is_none() && wire.episode_name.is_some()) {
            return About {
                kind: StreamKind::Episode,
                uri: uri(&wire.spotify_episode_uri),
                name: text(&wire.episode_name),
                collection: text(&wire.episode_show_name),
                ..nothing
            };
        }
        let uri = uri(&wire.spotify_track_uri);
        let is_track = uri.as_deref().is_some_and(is_track_uri);
        About {
            // Names without an id still belong to a track.
            kind: if is_track || (uri.is_none() && track_name.is_some()) {
                StreamKind::Track
            } else {
                StreamKind::Unknown
            },
            uri,
            name: track_name,
            creator: text(&wire.master_metadata_album_artist_name),
            collection: text(&wire.master_metadata_album_album_name),
            collection_uri: None,
        }
    }
}

/// `spotify:track:` and an id.
pub fn is_track_uri(uri: &str) -> bool {
    uri.strip_prefix("spotify:track:").is_some_and(|id| id.len() == 22 && id.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_uri(uri: &str) -> bool {
    uri.len() <= URI_LEN_MAX && uri.starts_with("spotify:") && !uri.contains(|c: char| c.is_control() || c == ' ')
}

/// Non-empty text, of the length of a name.
fn word(text: Option<String>) -> Option<String> {
    let mut text = text?;
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
    if text.len() > TEXT_LEN_MAX {
        let end = (0..=TEXT_LEN_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
    }
    (!text.is_empty()).then_some(text)
}

/// `2025-03-02T18:04:31Z`, `2025-03-02 18:04:31` and `2025-03-02 18:04`, all of them UTC. Fractions of a second are
/// dropped; a UTC offset, should there ever be one, is applied.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let number = |range: Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is_at = |at: usize, any: &[u8]| text.as_bytes().get(at).is_some_and(|byte| any.contains(byte));
    if !(is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"T ") && is_at(13, b":")) {
        return None;
    }
    let second = if is_at(16, b":") { number(17..19)? } else { 0 };
    let day = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)?).ok()?, number(5..7)?, number(8..10)?)?;
    // A leap second counts as the one before it.
    let time = day.and_hms_opt(number(11..13)?, number(14..16)?, second.min(59))?;
    let at = time.and_utc().checked_sub_signed(distance(text.get(16..)?)?)?;
    SECONDS.contains(&at.timestamp()).then_some(at)
}

/// `+02:00` at the end of a moment.
fn distance(rest: &str) -> Option<TimeDelta> {
    let Some((_, words)) = rest.rsplit_once(['+', '-']) else { return Some(TimeDelta::zero()) };
    let (hours, minutes) = words.split_once(':').or_else(|| words.split_at_checked(2))?;
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<u8>().ok()? };
    let minutes = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes);
    Some(TimeDelta::minutes(if rest.contains('-') { -minutes } else { minutes }))
}

fn beginning(number: i64, logged_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let start = match number {
        0 => None,
        ms if ms > MILLISECONDS_FROM => DateTime::from_timestamp_millis(ms),
        seconds => DateTime::from_timestamp(seconds, 0),
    }?;
    let is_possible =
        SECONDS.contains(&start.timestamp()) && start >= logged_at - LATE_MAX && start <= logged_at + EARLY_MAX;
    is_possible.then_some(start)
}

/// A row with an odd field.
struct Loose(serde_json::Map<String, Value>);

impl Loose {
    fn read(object: &[u8]) -> Result<Loose, BadRow> {
        let text = repaired(object).ok_or(BadRow)?;
        serde_json::from_str(&text).map(Loose).map_err(|_| BadRow)
    }

    fn take<T: Held>(&mut self, name: &str) -> Option<T> {
        T::of(self.0.remove(name)?)
    }
}

/// The type of a field.
trait Held: Sized {
    fn of(value: Value) -> Option<Self>;
}

impl Held for String {
    fn of(value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl Held for i64 {
    fn of(value: Value) -> Option<i64> {
        match value {
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Held for bool {
    fn of(value: Value) -> Option<bool> {
        match value {
            Value::Bool(truth) => Some(truth),
            Value::Number(number) => [0, 1].contains(&number.as_i64()?).then_some(number.as_i64() == Some(1)),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
