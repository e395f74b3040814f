//! Parses words of the command line. Each error contains what is allowed, to follow "is not".

use crate::{model::EntityType, sandbox::Dialect};
use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longest pause that a person can mean to sit out; it also keeps clock arithmetic in range.
pub const LONGEST_WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub fn entity(word: &str) -> Result<EntityType, String> {
    word.parse().map_err(|_| format!("an entity type: one of {}", entities()))
}

/// All of them, for messages.
pub fn entities() -> String {
    EntityType::ALL.iter().map(|entity| entity.as_str()).collect::<Vec<_>>().join(", ")
}

pub fn number<T: TryFrom<u64>>(allowed: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |word| {
        let number =
            word.parse().ok().filter(|number| allowed.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("a whole number from {} to {}", allowed.start(), allowed.end()))
    }
}

pub fn duration(allowed: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |word| {
        humantime::parse_duration(word).ok().filter(|duration| allowed.contains(duration)).ok_or_else(|| {
            let [min, max] = [allowed.start(), allowed.end()].map(|end| humantime::format_duration(*end).to_string());
            format!("a duration from {min} to {max}, such as \"50ms\", \"90s\" or \"20m\"")
        })
    }
}

/// How long an answer may be delayed.
pub fn latency() -> impl Fn(&str) -> Result<Duration, String> + Clone {
    duration(Duration::ZERO..=600 * SECOND)
}

/// A window, or the lifetime of a token.
pub fn some_time() -> impl Fn(&str) -> Result<Duration, String> + Clone {
    duration(Duration::from_millis(1)..=366 * DAY)
}

pub fn address(word: &str) -> Result<SocketAddr, String> {
    word.parse().map_err(|_| "an IP address and port, such as 127.0.0.1:8080 or [::1]:8080".into())
}

pub fn dialect(word: &str) -> Result<Dialect, String> {
    word.parse().map_err(|_| "a dialect: current or legacy".into())
}

/// The sandbox checks the names of the families.
pub fn quota(word: &str) -> Result<(String, u32), String> {
    let quota = word.split_once('=').and_then(|(family, max)| Some((family.to_owned(), max.parse().ok()?)));
    quota.ok_or_else(|| "FAMILY=NUMBER, such as tracks=40".into())
}
