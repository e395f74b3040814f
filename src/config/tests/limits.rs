//! The daily ceilings: a table inside a table, and a reserve that must leave something.

use super::{House, Setting};

pub const NUMBERS: [Setting; 11] = [
    Setting::RateLimitReserve,
    Setting::RateLimitDailyTracks,
    Setting::RateLimitDailyAlbums,
    Setting::RateLimitDailyArtists,
    Setting::RateLimitDailyPlaylists,
    Setting::RateLimitDailyShows,
    Setting::RateLimitDailyEpisodes,
    Setting::RateLimitDailyAudiobooks,
    Setting::RateLimitDailyPlaylistItems,
    Setting::RateLimitDailyPlayer,
    Setting::RateLimitDailyAll,
];

pub fn text(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

#[test]
fn a_bad_number_is_named_with_its_place_and_what_is_allowed() {
    for setting in NUMBERS.into_iter().chain([Setting::RateLimitRequests]) {
        let (bad, least) = if setting == Setting::RateLimitReserve { ("-1", 0) } else { ("0", 1) };
        for bad in [bad, "1000001"] {
            let key = setting.key().unwrap();
            let allowed = format!("a whole number from {least} to 1000000");
            let refusal = House::new().file(&format!("{key} = {bad}")).refusal();
            assert_eq!(refusal, format!("segno.toml:1: {key}: {bad} is not {allowed}"));
            let refusal = House::new().env(setting.env(), bad).refusal();
            assert_eq!(refusal, format!("{}: {bad:?} is not {allowed}", setting.env()));
        }
    }
}

#[test]
fn a_table_inside_a_table_is_checked_like_any_other() {
    let refusal = |text: &str| House::new().file(text).refusal();
    let daily = "tracks, albums, artists, playlists, playlist_items, shows, episodes, audiobooks, player, all";
    assert_eq!(
        refusal("[rate_limit.daily]\nfilms = 1"),
        format!("segno.toml:2: rate_limit.daily.films: unknown key, expected one of {daily}")
    );
    assert_eq!(
        refusal("[rate_limit]\ndaily = 100"),
        format!("segno.toml:2: rate_limit.daily: must be a table with keys out of {daily}")
    );
    assert!(House::new().file("rate_limit.daily.tracks = 5").load().is_ok());
}

#[test]
fn the_reserve_leaves_something_for_the_sync() {
    assert_eq!(
        House::new().file("rate_limit.daily.all = 90").refusal(),
        "segno.toml:1: rate_limit.daily.all: 90 leaves nothing for the sync, since rate_limit.reserve keeps 100 for the \
         playback tracker; it must be larger than that"
    );
    let house = House::new().file("rate_limit.daily.all = 90").env("SEGNO_RATE_LIMIT_RESERVE", "89");
    assert_eq!(house.load().unwrap().rate_limit.daily.reserve, 89);
}
