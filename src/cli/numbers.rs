//! Numbers and times as people read them.

use chrono::{DateTime, Local, TimeDelta, Utc};
use std::time::Duration;

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `2 requests`.
pub fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Coarser with length: `0.4 s`, `8 s`, `12 s`, `3 min 20 s`, `13 h 51 min`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 if span.subsec_nanos() > 0 => format!("{:.1} s", span.as_secs_f64()),
        0..10 => format!("{seconds} s"),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A length of time in three or four letters, for a column: `8s`, `99s`, `12m`, `3h`.
pub fn brief(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..100 => format!("{seconds}s"),
        seconds @ 100..6000 => format!("{}m", (seconds + 30) / 60),
        seconds => format!("{}h", seconds.saturating_add(1800) / 3600),
    }
}

/// `1,111/s`, `4.2/s`.
pub fn per_second(rate: f64) -> String {
    if rate < 9.95 { format!("{rate:.1}/s") } else { format!("{}/s", grouped(rate.round() as u64)) }
}

/// The local time of day; with its date if that differs from the day of `now`.
pub fn time_of_day(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (at, now) = (at.with_timezone(&Local), now.with_timezone(&Local));
    if at.date_naive() == now.date_naive() {
        at.format("%H:%M:%S").to_string()
    } else {
        at.format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// The local day.
pub fn day(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d").to_string()
}

/// An approximate time of day.
pub fn minute_of_day(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let text = time_of_day(at, now);
    text[..text.len() - ":00".len()].to_owned()
}

/// Whole seconds from `now` to `at`, rounded up, at least one.
pub fn seconds_until(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    let left = at - now + TimeDelta::milliseconds(999);
    Duration::from_secs(left.num_seconds().max(1).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([0, 1, 5000].map(|n| counted(n, "request")), ["0 requests", "1 request", "5,000 requests"]);
    }

    #[test]
    fn spans_are_as_fine_as_they_need_to_be() {
        assert_eq!(span(Duration::from_millis(430)), "0.4 s");
        assert_eq!(span(Duration::from_secs(8)), "8 s");
        assert_eq!(span(Duration::from_secs(12)), "12 s");
        assert_eq!(span(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(span(Duration::from_secs(49_861)), "13 h 51 min");
    }

    #[test]
    fn columns_stay_narrow() {
        assert_eq!([0, 99, 100, 5999, 6000].map(|s| brief(Duration::from_secs(s))), ["0s", "99s", "2m", "100m", "2h"]);
        assert_eq!([0.04, 4.21, 9.96, 1111.4].map(per_second), ["0.0/s", "4.2/s", "10/s", "1,111/s"]);
    }

    #[test]
    fn a_countdown_never_says_zero() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(seconds_until(now, now), Duration::from_secs(1));
        assert_eq!(seconds_until(now + TimeDelta::milliseconds(11_200), now), Duration::from_secs(12));
    }
}
