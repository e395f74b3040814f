//! The configuration of a sandbox: where it listens, which library it makes up, which dialect of the API it speaks and
//! how strict it is. Everything has a default, and the defaults are the demo.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::routes::Family;

/// Retry-After of an exhausted quota unless told otherwise: a value seen in the field, a little under 14 hours.
pub const QUOTA_RETRY_AFTER_S: u64 = 49_861;

/// Most rows that one part of a made-up library may have; beyond that the process would be tested, not the client.
pub const ROWS_MAX: usize = 2_000_000;

/// Most people that one sandbox makes up.
pub const USERS_MAX: usize = 1_000;

/// Longest delay of an answer.
pub const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Longest window, token lifetime and `Retry-After`, to keep clock arithmetic in range.
pub const SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// All that a sandbox needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Size and nature of the made-up library.
    pub library: LibrarySpec,
    /// Seed of the library and of the sign-in: the same seed gives the same library, client id and refresh token.
    pub seed: u64,
    /// Spelling of the answers.
    pub dialect: Dialect,
    /// Rate limit and quotas.
    pub limits: Limits,
    /// Time that every answer of the API and of the token endpoint takes.
    pub latency: Duration,
    /// People who can sign in. Each has a library of that kind, made up from a seed of its own.
    pub users: usize,
    /// Lifetime of an access token.
    pub access_token_ttl: Duration,
    /// Whether a refresh hands out a new refresh token and revokes the old one.
    pub rotate_refresh_token: bool,
    /// Whether the control API under `/_sandbox/` is served.
    pub control: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            library: LibrarySpec::default(),
            seed: 1,
            dialect: Dialect::default(),
            limits: Limits::default(),
            latency: Duration::ZERO,
            users: 1,
            access_token_ttl: Duration::from_secs(3600),
            rotate_refresh_token: false,
            control: true,
        }
    }
}

impl Config {
    /// Reports what is wrong with this configuration, in words for the person who wrote it.
    pub fn check(&self) -> Result<(), String> {
        let spec = &self.library;
        for (name, rows) in [
            ("tracks", spec.tracks),
            ("albums", spec.albums),
            ("artists", spec.artists),
            ("playlists", spec.playlists),
            ("shows", spec.shows),
            ("episodes", spec.episodes),
            ("audiobooks", spec.audiobooks),
            ("playlist items in all", spec.playlists.saturating_mul(spec.playlist_items)),
        ] {
            if rows > ROWS_MAX {
                return Err(format!("{rows} {name} is more than the sandbox makes up (at most {ROWS_MAX})"));
            }
        }
        if !(1..=USERS_MAX).contains(&self.users) {
            return Err(format!("{} people cannot share a sandbox (1 to {USERS_MAX} can)", self.users));
        }
        check_latency(self.latency)?;
        check_span("the life of an access token", self.access_token_ttl)?;
        self.limits.check()
    }
}

/// Checks that answers may take this long.
pub fn check_latency(latency: Duration) -> Result<(), String> {
    if latency <= LATENCY_MAX { Ok(()) } else { Err(format!("a latency of {latency:?} is over {LATENCY_MAX:?}")) }
}

/// Checks that a length of time is in range.
pub fn check_span(what: &str, span: Duration) -> Result<(), String> {
    match span {
        Duration::ZERO => Err(format!("{what} must be longer than no time at all")),
        span if span > SPAN_MAX => Err(format!("{what} must not be longer than a year")),
        _ => Ok(()),
    }
}

/// Size and nature of the made-up library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibrarySpec {
    /// Saved tracks.
    pub tracks: usize,
    /// Saved albums.
    pub albums: usize,
    /// Followed artists.
    pub artists: usize,
    /// Playlists in the person's list.
    pub playlists: usize,
    /// Items of a typical playlist; with `odd_rows` off, the exact number in each.
    pub playlist_items: usize,
    /// Saved shows.
    pub shows: usize,
    /// Saved episodes.
    pub episodes: usize,
    /// Saved audiobooks.
    pub audiobooks: usize,
    /// Whether the library contains what real ones contain: null rows, local files, episodes, takedowns, playlists of
    /// other people. If off, every row is whole and every playlist is owned. The totals are the same either way.
    pub odd_rows: bool,
}

impl Default for LibrarySpec {
    /// The demo: a well-used library.
    fn default() -> LibrarySpec {
        LibrarySpec {
            tracks: 5_000,
            albums: 300,
            artists: 180,
            playlists: 24,
            playlist_items: 80,
            shows: 14,
            episodes: 60,
            audiobooks: 9,
            odd_rows: true,
        }
    }
}

impl LibrarySpec {
    /// A library without surprises and without spoken items, whose cost in requests can be computed by hand.
    pub fn exact(tracks: usize, albums: usize, artists: usize, playlists: usize, playlist_items: usize) -> LibrarySpec {
        let (shows, episodes, audiobooks) = (0, 0, 0);
        LibrarySpec { tracks, albums, artists, playlists, playlist_items, shows, episodes, audiobooks, odd_rows: false }
    }

    /// The same with this many shows, episodes and audiobooks.
    pub fn with_spoken(self, shows: usize, episodes: usize, audiobooks: usize) -> LibrarySpec {
        LibrarySpec { shows, episodes, audiobooks, ..self }
    }

    /// A library with nothing in it.
    pub fn empty() -> LibrarySpec {
        LibrarySpec::exact(0, 0, 0, 0, 0)
    }
}

/// The two spellings of the Web API that are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Development mode since February 2026: `items` and `item`, fewer fields, fewer endpoints, and the contents of
    /// other people's playlists withheld.
    #[default]
    Current,
    /// Before that, and Extended Quota still: `tracks` and `track`, with popularity, markets and followers.
    Legacy,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Current => "current",
            Dialect::Legacy => "legacy",
        })
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Dialect, String> {
        match text {
            "current" => Ok(Dialect::Current),
            "legacy" => Ok(Dialect::Legacy),
            other => Err(format!("unknown dialect `{other}`: use current or legacy")),
        }
    }
}

/// The limits of the stand-in.
#[derive(Clone, Debug)]
pub struct Limits {
    /// At most this many requests in any window of this length; `None` admits any number.
    pub rate: Option<(u32, Duration)>,
    /// What a refusal by the rate limit says about retrying.
    pub retry_after: RetryAfter,
    /// At most this many requests of a family (by name) in 24 hours.
    pub quota: BTreeMap<String, u32>,
    /// Seconds that an exhausted family stays refused; afterwards it has its whole quota again.
    pub quota_retry_after_s: u64,
}

impl Default for Limits {
    /// No limit at all.
    fn default() -> Limits {
        Limits {
            rate: None,
            retry_after: RetryAfter::default(),
            quota: BTreeMap::new(),
            quota_retry_after_s: QUOTA_RETRY_AFTER_S,
        }
    }
}

impl Limits {
    /// A rate limit and no quota.
    pub fn rate(max: u32, window: Duration) -> Limits {
        Limits { rate: Some((max, window)), ..Limits::default() }
    }

    /// Adds a quota for one family.
    pub fn with_quota(mut self, family: &str, max: u32) -> Limits {
        self.quota.insert(family.to_owned(), max);
        self
    }

    /// Says what is wrong with these limits.
    pub fn check(&self) -> Result<(), String> {
        if let Some((_, window)) = self.rate {
            check_span("the window of a rate limit", window)?;
        }
        check_span("the Retry-After of a quota", Duration::from_secs(self.quota_retry_after_s))?;
        if let RetryAfter::Fixed(seconds) = self.retry_after {
            check_span("the Retry-After of a rate limit", Duration::from_secs(seconds))?;
        }
        for name in self.quota.keys() {
            if !Family::parse(name).is_some_and(Family::is_limited) {
                return Err(format!("unknown family `{name}`: use one of {}", Family::limited_names()));
            }
        }
        Ok(())
    }
}

/// What a refusal by the rate limit says about retrying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds until there is room again, rounded up.
    #[default]
    UntilRoom,
    /// Always this many seconds, and the refusals last as long.
    Fixed(u64),
    /// No header, as has been seen in the field.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn an_unknown_family_is_named() {
        let limits = Limits::default().with_quota("trakcs", 3);
        assert!(limits.check().is_err_and(|message| message.contains("trakcs") && message.contains("playlist_items")));
    }

    #[test]
    fn a_dialect_reads_back_what_it_prints() {
        for dialect in [Dialect::Current, Dialect::Legacy] {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert!("modern".parse::<Dialect>().is_err());
    }
}
