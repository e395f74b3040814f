//! The three intervals of playback have to agree.

use super::*;

/// `interval`, `min_interval` and `max_interval` in minutes.
fn minutes(lines: &str) -> [u64; 3] {
    let playback = House::new().file(&format!("[playback]\n{lines}")).load().unwrap().playback;
    [playback.interval, playback.min_interval, playback.max_interval].map(|interval| interval.as_secs() / 60)
}

#[test]
fn the_shortest_and_the_longest_interval_follow_the_normal_one() {
    assert_eq!(minutes(""), [20, 5, 60]);
    assert_eq!(minutes("interval = '2m'"), [2, 2, 60]);
    assert_eq!(minutes("interval = '90m'"), [90, 5, 90]);
    assert_eq!(minutes("interval = '10m'\nmin_interval = '10m'\nmax_interval = '10m'"), [10, 10, 10]);
}

#[test]
fn intervals_that_contradict_each_other_are_refused_where_they_stand() {
    let refusal = |lines: &str| House::new().file(&format!("[playback]\n{lines}")).refusal();
    assert_eq!(
        refusal("min_interval = '30m'"),
        "segno.toml:2: playback.min_interval: 30m is longer than playback.interval, 20m"
    );
    assert_eq!(
        refusal("interval = '2h'\nmax_interval = '90m'"),
        "segno.toml:3: playback.max_interval: 90m is shorter than playback.interval, 2h"
    );
    let house = House::new().env("SEGNO_PLAYBACK_INTERVAL", "1m").env("SEGNO_PLAYBACK_MIN_INTERVAL", "2m");
    assert_eq!(house.refusal(), "SEGNO_PLAYBACK_MIN_INTERVAL: 2m is longer than playback.interval, 1m");
}
