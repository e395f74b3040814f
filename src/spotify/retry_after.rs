//! `Retry-After`: how long an answer asks to be left alone.

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// Longest `Retry-After` that is believed: the longest observed is a day. One answer that names a year costs a day of
/// plays, not all of them.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(25 * 3600);

/// Reads `Retry-After`: seconds, or a date, which is measured by the server's own clock if the answer contains it. The
/// longest of several. `None` if it is missing or malformed.
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    let server_now = || headers.get(DATE).and_then(|date| moment(date.to_str().ok()?));
    let wait = |value: &str| {
        let until = moment(value)?;
        Some((until - server_now().unwrap_or(now)).to_std().unwrap_or_default())
    };
    // A date has a comma of its own.
    let waits = values.flat_map(|value| match wait(value) {
        Some(wait) => vec![wait],
        None => value.split(',').filter_map(seconds).collect(),
    });
    waits.max().map(|wait| wait.min(RETRY_AFTER_CAP))
}

/// A number of seconds, perhaps with its unit.
fn seconds(value: &str) -> Option<Duration> {
    let value = value.trim();
    let number = value.strip_suffix('s').unwrap_or(value).trim_end();
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number too long for a u64 fails, and that is absurd in any unit.
        return Some(number.parse().map_or(RETRY_AFTER_CAP, Duration::from_secs));
    }
    let seconds = number.parse::<f64>().ok().filter(|seconds| seconds.is_finite())?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(RETRY_AFTER_CAP))
}

/// A date in any form that HTTP permits, or as elsewhere in the API.
fn moment(value: &str) -> Option<DateTime<Utc>> {
    let value = value.trim();
    let by_http = || httpdate::parse_http_date(value).ok().map(DateTime::<Utc>::from);
    let by_mail = || DateTime::parse_from_rfc2822(value).ok().map(|date| date.to_utc());
    by_http().or_else(by_mail).or_else(|| DateTime::parse_from_rfc3339(value).ok().map(|date| date.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn retry_after_is_read_in_every_form_and_never_believed_beyond_the_cap() {
        for (value, wait) in [
            ("0", Some(Duration::ZERO)),
            (" 7 ", Some(7 * SECOND)),
            ("1.2", Some(2 * SECOND)),
            ("86207", Some(86_207 * SECOND)),
            ("99999999", Some(RETRY_AFTER_CAP)),
            ("99999999999999999999999999", Some(RETRY_AFTER_CAP)),
            ("Sun, 22 Nov 2026 12:00:30 GMT", Some(30 * SECOND)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(Duration::ZERO)),
            ("Sun, 22 Nov 2099 12:00:00 GMT", Some(RETRY_AFTER_CAP)),
            ("", None),
            ("-5", None),
            ("-5, 7", Some(7 * SECOND)),
            ("30s", Some(30 * SECOND)),
            ("30 s", Some(30 * SECOND)),
            ("30, 40", Some(40 * SECOND)),
            ("2026-11-22T12:00:30Z", Some(30 * SECOND)),
            ("Sunday, 22-Nov-26 12:00:30 GMT", Some(30 * SECOND)),
            ("Sun Nov 22 12:00:30 2026", Some(30 * SECOND)),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after", value)]), now()), wait, "{value:?}");
        }
        assert_eq!(retry_after(&headers(&[]), now()), None);
    }

    #[test]
    fn a_dated_retry_after_is_measured_by_the_servers_clock() {
        let headers =
            headers(&[("retry-after", "Sun, 22 Nov 2026 14:00:10 GMT"), ("date", "Sun, 22 Nov 2026 14:00:00 GMT")]);
        assert_eq!(retry_after(&headers, now()), Some(10 * SECOND));
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }
}
