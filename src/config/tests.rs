//! Every way to give a setting, and every way to get one wrong.

mod files;
mod limits;
mod notify;
mod page;
mod playback;
mod web;

use super::{
    Config, ConfigError, Dirs,
    settings::{self, Setting},
};
use crate::model::EntityType;
use limits::text;
use secrecy::ExposeSecret;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../docs/segno.example.toml");

#[test]
fn without_file_and_environment_every_setting_has_its_default() {
    let config = House::new().load().unwrap();

    assert!(config.spotify.client_id.is_none() && config.spotify.refresh_token.is_none());
    assert_eq!(config.spotify.api_url.as_str(), "https://api.spotify.com/v1");
    assert_eq!(config.spotify.accounts_url.as_str(), "https://accounts.spotify.com/");
    assert_eq!(config.spotify.timeout, Duration::from_secs(20));
    assert_eq!((config.login.port, config.login.timeout), (None, Duration::from_secs(300)));
    assert_eq!(config.sync.initial_batch_size, 200);
    assert_eq!(config.sync.incremental_batch_size, 50);
    assert_eq!(config.sync.interval, Duration::from_secs(6 * 3600));
    assert_eq!(config.sync.verify_every, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.sync.artists_every, Duration::from_secs(24 * 3600));
    assert_eq!(config.sync.removal_guard, 20);
    assert_eq!(config.sync.removal_wait, Duration::from_secs(3600));
    assert_eq!(config.sync.entities, EntityType::ALL);
    assert_eq!(config.playback.interval, Duration::from_secs(20 * 60));
    assert_eq!(config.rate_limit.requests, None);
    assert_eq!(config.rate_limit.window, Duration::from_secs(30));
    assert_eq!(config.web.listen.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:8370"));
    assert!(config.web.hosts.is_empty() && config.web.token.is_none());
    assert_eq!(config.log.filter, "info");
}

#[test]
fn the_default_database_lies_in_the_data_folder_which_may_be_created() {
    let house = House::new();
    let config = house.load().unwrap();
    let data = house.dirs.data.as_deref().unwrap();
    assert_eq!(config.database_url.as_str(), format!("sqlite:{}/segno.db", data.display()));
    assert_eq!(config.database_url.folder_to_create(), Some(data));

    let config = house.env("SEGNO_DATABASE_URL", "sqlite:elsewhere/segno.db").load().unwrap();
    assert_eq!(config.database_url.as_str(), "sqlite:elsewhere/segno.db");
    assert_eq!(config.database_url.origin(), "SEGNO_DATABASE_URL");
    assert_eq!(config.database_url.folder_to_create(), None);
}

#[test]
fn without_a_home_folder_the_database_must_be_given() {
    let mut house = House::new();
    house.dirs = Dirs::default();
    assert_eq!(
        house.refusal(),
        "SEGNO_DATABASE_URL or database.url: is needed, because there is no home folder to keep a database in"
    );
    assert!(house.env("SEGNO_DATABASE_URL", "sqlite:a.db").load().is_ok());
}

#[test]
fn the_example_file_holds_the_defaults() {
    let defaults = House::new();
    let example = House { dirs: defaults.dirs.clone(), ..House::new() }.file(EXAMPLE);
    let config = Config { file: None, ..example.load().unwrap() };
    assert_eq!(format!("{config:?}"), format!("{:?}", defaults.load().unwrap()));
}

#[test]
fn the_example_file_names_every_key_and_variable_once() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for setting in Setting::ALL {
        let Some((_, key)) = setting.key().and_then(|key| key.rsplit_once('.')) else { continue };
        let named: Vec<usize> =
            (0..lines.len()).filter(|i| lines[*i].starts_with('#') && lines[*i].ends_with(setting.env())).collect();
        assert_eq!(named.len(), 1, "{}", setting.env());
        let next = lines[named[0] + 1].trim_start_matches('#');
        assert!(next.starts_with(&format!("{key} = ")), "{next}");
    }
    // With the optional ones filled in, they are all known.
    let full: Vec<String> = lines
        .iter()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => (*line).to_owned(),
        })
        .collect();
    let config = House::new().file(&full.join("\n")).load().unwrap();
    assert_eq!(config.database_url.as_str(), "sqlite:segno.db");
    assert_eq!(config.rate_limit.requests, Some(7));
    assert_eq!(config.spotify.client_id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
}

#[test]
fn names_in_the_environment_follow_from_those_in_the_file() {
    for setting in Setting::ALL {
        let Some(key) = setting.key() else { continue };
        let expected = match setting {
            Setting::LogFilter => "SEGNO_LOG".into(),
            _ => settings::env_name(key),
        };
        assert_eq!(setting.env(), expected);
    }
}

/// One good value for each setting, and a way to see that it was read.
#[test]
fn every_setting_is_read_from_the_file_and_from_the_environment() {
    type Shown = fn(&Config) -> String;
    let cases: [(Setting, &str, &str, Shown, &str); Setting::ALL.len()] = [
        (
            Setting::DatabaseUrl,
            "'postgres://me:pw@db/segno'",
            "postgres://me:pw@db/segno",
            |c| c.database_url.as_str().into(),
            "postgres://me:pw@db/segno",
        ),
        (Setting::DatabaseKeepNotes, "'30d'", "30d", |c| c.keep_notes.as_secs().to_string(), "2592000"),
        (Setting::DatabaseKeepFeed, "'2d'", "48h", |c| c.keep_feed.as_secs().to_string(), "172800"),
        (Setting::SpotifyClientId, "'abc'", "abc", |c| format!("{:?}", c.spotify.client_id), "Some(\"abc\")"),
        (
            Setting::SpotifyRefreshToken,
            "",
            "AQ-x_1",
            |c| c.spotify.refresh_token.as_ref().map_or("", |t| t.expose_secret()).into(),
            "AQ-x_1",
        ),
        (
            Setting::SpotifyApiUrl,
            "'http://[::1]:9/v1'",
            "http://[::1]:9/v1",
            |c| c.spotify.api_url.to_string(),
            "http://[::1]:9/v1",
        ),
        (
            Setting::SpotifyAccountsUrl,
            "'http://localhost:9'",
            "http://localhost:9",
            |c| c.spotify.accounts_url.to_string(),
            "http://localhost:9/",
        ),
        (Setting::SpotifyTimeout, "'5m'", "5m", |c| c.spotify.timeout.as_secs().to_string(), "300"),
        (Setting::SyncInitialBatchSize, "1_000", "1000", |c| c.sync.initial_batch_size.to_string(), "1000"),
        (Setting::SyncIncrementalBatchSize, "0xA", "10", |c| c.sync.incremental_batch_size.to_string(), "10"),
        (Setting::SyncInterval, "'30d'", "30d", |c| c.sync.interval.as_secs().to_string(), "2592000"),
        (Setting::SyncVerifyEvery, "'3d'", "72h", |c| c.sync.verify_every.as_secs().to_string(), "259200"),
        (Setting::SyncArtistsEvery, "'12h'", "720m", |c| c.sync.artists_every.as_secs().to_string(), "43200"),
        (Setting::SyncRemovalGuard, "50", "50", |c| c.sync.removal_guard.to_string(), "50"),
        (Setting::SyncRemovalWait, "'10m'", "600s", |c| c.sync.removal_wait.as_secs().to_string(), "600"),
        (
            Setting::SyncEntities,
            "['albums', 'tracks']",
            "albums, tracks",
            |c| format!("{:?}", c.sync.entities),
            "[Albums, Tracks]",
        ),
        (Setting::SyncPlaylists, "['!x']", "!x", |c| c.sync.playlists.wants("", "x", true).to_string(), "false"),
        (Setting::PlaybackInterval, "'1h 30m'", "90m", |c| c.playback.interval.as_secs().to_string(), "5400"),
        (Setting::PlaybackMinInterval, "'90s'", "90s", |c| c.playback.min_interval.as_secs().to_string(), "90"),
        (Setting::PlaybackMaxInterval, "'3h'", "3h", |c| c.playback.max_interval.as_secs().to_string(), "10800"),
        (Setting::ListeningTimeZone, "'Asia/Kolkata'", "Asia/Kolkata", |c| c.time_zone.unwrap().name(), "Asia/Kolkata"),
        (Setting::RateLimitRequests, "9", "9", |c| format!("{:?}", c.rate_limit.requests), "Some(9)"),
        (Setting::RateLimitWindow, "'1s'", "1s", |c| c.rate_limit.window.as_secs().to_string(), "1"),
        (Setting::RateLimitReserve, "7", "7", |c| c.rate_limit.daily.reserve.to_string(), "7"),
        (Setting::RateLimitDailyTracks, "901", "901", |c| text(c.rate_limit.daily.tracks), "901"),
        (Setting::RateLimitDailyAlbums, "902", "902", |c| text(c.rate_limit.daily.albums), "902"),
        (Setting::RateLimitDailyArtists, "903", "903", |c| text(c.rate_limit.daily.artists), "903"),
        (Setting::RateLimitDailyPlaylists, "904", "904", |c| text(c.rate_limit.daily.playlists), "904"),
        (Setting::RateLimitDailyPlaylistItems, "905", "905", |c| text(c.rate_limit.daily.playlist_items), "905"),
        (Setting::RateLimitDailyShows, "908", "908", |c| text(c.rate_limit.daily.shows), "908"),
        (Setting::RateLimitDailyEpisodes, "909", "909", |c| text(c.rate_limit.daily.episodes), "909"),
        (Setting::RateLimitDailyAudiobooks, "910", "910", |c| text(c.rate_limit.daily.audiobooks), "910"),
        (Setting::RateLimitDailyPlayer, "906", "906", |c| text(c.rate_limit.daily.player), "906"),
        (Setting::RateLimitDailyAll, "907", "907", |c| text(c.rate_limit.daily.all), "907"),
        (Setting::LoginPort, "49152", "49152", |c| c.login.port.unwrap().to_string(), "49152"),
        (Setting::LoginTimeout, "'2m'", "2m", |c| c.login.timeout.as_secs().to_string(), "120"),
        (Setting::WebListen, "'[::]:80'", "[::]:80", |c| format!("{:?}", c.web.listen), "Some([::]:80)"),
        (Setting::WebHosts, "['A.b', 'c']", "A.b, c", |c| c.web.hosts.join(" "), "a.b c"),
        (Setting::WebBasePath, "'/a/b/'", "/a/b", |c| c.web.base_path.clone(), "/a/b"),
        (Setting::WebToken, "", web::TOKEN, |c| web::token(c), web::TOKEN),
        (Setting::NotifyWebhook, "['http://h/x']", "http://h/x", |c| c.notify.webhooks[0].to_string(), "http://h/x"),
        (Setting::NotifyEvents, "['changes']", "changes", |c| format!("{:?}", c.notify.events), "[Changes]"),
        (Setting::NotifySecret, "", web::TOKEN, notify::secret, web::TOKEN),
        (Setting::FeedNatsUrl, "['nats://h']", "nats://h", |c| c.feed.nats[0].to_string(), "nats://h"),
        (Setting::LogFilter, "'warn,segno=debug'", "warn,segno=debug", |c| c.log.filter.clone(), "warn,segno=debug"),
    ];
    assert_eq!(cases.map(|case| case.0), Setting::ALL);
    for (setting, in_file, in_env, shown, expected) in cases {
        if let Some(key) = setting.key() {
            let config = House::new().file(&format!("{key} = {in_file}")).load().unwrap();
            assert_eq!(shown(&config), expected, "{key}");
        }
        let config = House::new().env(setting.env(), in_env).load().unwrap();
        assert_eq!(shown(&config), expected, "{}", setting.env());
    }
}

#[test]
fn every_bad_value_is_named_with_its_place_and_what_is_allowed() {
    let size = "a whole number from 10 to 1000";
    let url = "an https URL (http only on a loopback address) without user, password, query or fragment";
    let entities = &format!("a list of one or more entity types, each once, out of {}", EntityType::words());
    let duration = |from: &str, to: &str| format!("a duration from {from} to {to}, such as \"90s\", \"20m\" or \"6h\"");
    let filter = crate::telemetry::FILTER_SYNTAX;
    let token = "a refresh token: visible characters without spaces, at least one";
    let id = "a client id: 1 to 128 letters and digits without spaces";
    let database = "a database URL, sqlite:PATH or postgres://USER@HOST/NAME";
    let zone = "the name of a time zone, such as \"Europe/Amsterdam\" or \"UTC\"";
    let address = "an IP address and port, such as \"127.0.0.1:8370\" or \"[::1]:8370\", or \"off\"";
    let hosts = "a list of host names without ports, such as \"segno.example.org\"";
    let playlists = "a list of names, ids, patterns with \"*\" and \"?\", or \"owned\"; \"!\" in front leaves out";
    let path = "a path such as \"/segno\", of letters, digits, \"-\", \".\", \"_\" and \"~\"";
    let web_token = "a token: 16 to 512 visible characters without spaces, such as \"openssl rand -hex 32\" prints";

    // Setting, in the file (none: not possible there), in the environment, how it is shown (none: as written).
    let cases: &[(Setting, &str, &str, &str, &str)] = &[
        (Setting::DatabaseUrl, r#""""#, "", "", database),
        (Setting::DatabaseUrl, r#""segno.db""#, "segno.db", "", database),
        (Setting::DatabaseUrl, r#""sqlite:""#, "sqlite:", "", database),
        (Setting::DatabaseUrl, r#""mysql://u:secret@h/d""#, "mysql://u:secret@h/d", r#""mysql://h/d""#, database),
        (Setting::DatabaseUrl, r#""u:secret@h/d""#, "u:secret@h/d", "the value", database),
        (Setting::DatabaseUrl, r#""host=h password=secret""#, "host=h password=secret", "the value", database),
        (Setting::SpotifyClientId, r#""""#, "", "", id),
        (Setting::SpotifyClientId, r#""a b""#, "a b", "", id),
        (Setting::SpotifyRefreshToken, "", "", "the value", token),
        (Setting::SpotifyRefreshToken, "", "secret token", "the value", token),
        (Setting::SpotifyApiUrl, r#""api.spotify.com""#, "api.spotify.com", "", url),
        (Setting::SpotifyApiUrl, r#""ftp://h/v1""#, "ftp://h/v1", "", url),
        (Setting::SpotifyApiUrl, r#""http://h/v1""#, "http://h/v1", "", url),
        (Setting::SpotifyApiUrl, r#""https://h/v1?a=b""#, "https://h/v1?a=b", "", url),
        (Setting::SpotifyApiUrl, r#""https://h/v1#a""#, "https://h/v1#a", "", url),
        (Setting::SpotifyApiUrl, r#""https://h/ v1""#, "https://h/ v1", "", url),
        (Setting::SpotifyAccountsUrl, r#""https://u:secret@h""#, "https://u:secret@h", r#""https://u:***@h""#, url),
        (Setting::SpotifyAccountsUrl, r#""https://""#, "https://", "", url),
        (Setting::SpotifyTimeout, r#""0s""#, "0s", "", &duration("1s", "5m")),
        (Setting::SpotifyTimeout, r#""301s""#, "301s", "", &duration("1s", "5m")),
        (Setting::SyncInitialBatchSize, "9", "9", "9", size),
        (Setting::SyncInitialBatchSize, "1001", "1001", "1001", size),
        (Setting::SyncInitialBatchSize, "-200", "-200", "-200", size),
        (Setting::SyncInitialBatchSize, "200.0", "200.0", "200.0", size),
        (Setting::SyncInitialBatchSize, r#""many""#, "many", "", size),
        (
            Setting::SyncIncrementalBatchSize,
            "99999999999999999999",
            "99999999999999999999",
            "99999999999999999999",
            size,
        ),
        (Setting::SyncIncrementalBatchSize, "true", "true", "true", size),
        (Setting::DatabaseKeepNotes, r#""6d""#, "6d", "", &duration("7d", "3650d")),
        (Setting::SyncInterval, r#""59s""#, "59s", "", &duration("1m", "30d")),
        (Setting::SyncInterval, r#""31d""#, "31d", "", &duration("1m", "30d")),
        (Setting::SyncInterval, r#""6""#, "6", "", &duration("1m", "30d")),
        (Setting::SyncInterval, r#""often""#, "often", "", &duration("1m", "30d")),
        (Setting::SyncVerifyEvery, r#""59m""#, "59m", "", &duration("1h", "365d")),
        (Setting::SyncArtistsEvery, r#""31d""#, "31d", "", &duration("1m", "30d")),
        (Setting::SyncRemovalWait, r#""31d""#, "31d", "", &duration("0s", "30d")),
        (Setting::SyncRemovalGuard, "0", "0", "0", "a whole number from 1 to 100"),
        (Setting::SyncRemovalGuard, "101", "101", "101", "a whole number from 1 to 100"),
        (Setting::DatabaseKeepFeed, r#""23h""#, "23h", "", &duration("24h", "3650d")),
        (Setting::SyncPlaylists, r#"["a", "!"]"#, "a,!", r#"["a", "!"]"#, playlists),
        (Setting::SyncEntities, r#"["tracks", "songs"]"#, "tracks,songs", r#"["tracks", "songs"]"#, entities),
        (Setting::SyncEntities, r#"["tracks", "tracks"]"#, "tracks,tracks", r#"["tracks", "tracks"]"#, entities),
        (Setting::SyncEntities, "[]", "", "[]", entities),
        (Setting::SyncEntities, r#"["tracks", 1]"#, "tracks,1", r#"["tracks", 1]"#, entities),
        (Setting::SyncEntities, r#""Tracks""#, "Tracks", "", entities),
        (Setting::PlaybackInterval, r#""10s""#, "10s", "", &duration("1m", "24h")),
        (Setting::PlaybackInterval, r#""25h""#, "25h", "", &duration("1m", "24h")),
        (Setting::PlaybackMinInterval, r#""59s""#, "59s", "", &duration("1m", "24h")),
        (Setting::PlaybackMaxInterval, r#""1500m""#, "1500m", "", &duration("1m", "24h")),
        (Setting::ListeningTimeZone, r#""CET+1""#, "CET+1", "", zone),
        (Setting::RateLimitRequests, "0", "0", "0", "a whole number from 1 to 1000000"),
        (Setting::RateLimitWindow, r#""999ms""#, "999ms", "", &duration("1s", "10m")),
        (Setting::RateLimitWindow, r#""11m""#, "11m", "", &duration("1s", "10m")),
        (Setting::LoginPort, "0", "0", "0", "a whole number from 1 to 65535"),
        (Setting::LoginPort, "65536", "65536", "65536", "a whole number from 1 to 65535"),
        (Setting::LoginTimeout, r#""61m""#, "61m", "", &duration("1s", "1h")),
        (Setting::WebListen, r#""8370""#, "8370", "", address),
        (Setting::WebListen, r#""localhost:8370""#, "localhost:8370", "", address),
        (Setting::WebHosts, r#"["a:80"]"#, "a:80", r#"["a:80"]"#, hosts),
        (Setting::WebHosts, r#"["a", ""]"#, "a,", r#"["a", ""]"#, hosts),
        (Setting::WebBasePath, r#""segno""#, "segno", "", path),
        (Setting::WebBasePath, r#""/a/../b""#, "/a/../b", "", path),
        (Setting::WebToken, "", "fifteen-letters", "the value", web_token),
        (Setting::WebToken, "", "words with spaces in them", "the value", web_token),
        (Setting::LogFilter, r#""""#, "", "", filter),
        (Setting::LogFilter, r#""loud""#, "loud", "", filter),
        (Setting::LogFilter, r#""info,segno=loud""#, "info,segno=loud", "", filter),
    ];
    for (setting, in_file, in_env, shown, allowed) in cases {
        if let Some(key) = setting.key() {
            let shown = if shown.is_empty() { in_file } else { shown };
            let refusal = House::new().file(&format!("# first line\n{key} = {in_file}\n")).refusal();
            assert_eq!(refusal, format!("segno.toml:2: {key}: {shown} is not {allowed}"));
        }
        let shown = match *shown {
            "the value" => "the value".to_owned(),
            shown if shown.contains("***") || shown.contains("//h") => shown.to_owned(),
            _ => format!("{in_env:?}"),
        };
        let refusal = House::new().env(setting.env(), in_env).refusal();
        assert_eq!(refusal, format!("{}: {shown} is not {allowed}", setting.env()));
    }
    let elsewhere = [&limits::NUMBERS, notify::SETTINGS].concat();
    let is_tested = |setting| elsewhere.contains(setting) || cases.iter().any(|case| case.0 == *setting);
    assert!(Setting::ALL.iter().all(is_tested));
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    let refusal = |line: &str| House::new().file(line).refusal();
    assert!(refusal("sync.initial_batch_size = '200'").contains(r#""200" is not a whole number"#));
    assert!(refusal("sync.interval = 6").contains("6 is not a duration"));
    assert!(refusal("sync.interval = { hours = 6 }").contains("a table is not a duration"));
    assert!(refusal("sync.interval = 2026-01-01").contains("2026-01-01 is not a duration"));
    assert!(refusal("sync.entities = 'tracks,albums'").contains(r#""tracks,albums" is not a list"#));
    assert!(refusal("database.url = ['u:secret@h']").contains(": the value is not a database URL"));
    assert!(refusal("web.listen = ['a']").contains(r#"["a"] is not an IP address"#));
}

#[test]
fn the_environment_wins_over_the_file() {
    let house = House::new().file("[sync]\ninterval = '1h'\n[web]\nlisten = '127.0.0.1:1'");
    let config = house.env("SEGNO_SYNC_INTERVAL", "2h").load().unwrap();
    assert_eq!(config.sync.interval, Duration::from_secs(2 * 3600));
    assert_eq!(config.web.listen.map(|listen| listen.port()), Some(1));
}

#[test]
fn a_bad_value_in_the_file_is_told_even_where_the_environment_overrides_it() {
    let house = House::new().file("sync.interval = '1s'").env("SEGNO_SYNC_INTERVAL", "2h");
    assert!(house.refusal().starts_with("segno.toml:1: sync.interval: \"1s\" is not"));
}

#[test]
fn all_problems_are_told_at_once_each_on_a_line() {
    let house = House::new()
        .file("[sync]\ninterval = '1s'\nbatch = 3\nentities = [\"a\\nb\"]")
        .env("SEGNO_WEB_LISTEN", "x\ny")
        .env("SEGNO_WEB_PORT", "80");
    let refusal = house.load().unwrap_err().to_string();
    assert_eq!(refusal.lines().count(), 5, "{refusal}");
}

#[test]
fn unknown_tables_and_keys_are_refused_with_the_known_ones() {
    let refusal = |text: &str| House::new().file(text).refusal();
    let tables = "database, spotify, sync, playback, listening, rate_limit, login, web, notify, feed, log";
    assert_eq!(
        refusal("\n[sink]\ninterval = '6h'"),
        format!("segno.toml:2: sink: unknown table, expected one of {tables}")
    );
    assert_eq!(refusal("interval = '6h'"), format!("segno.toml:1: interval: unknown table, expected one of {tables}"));
    assert_eq!(
        refusal("[sync]\n\nintervall = '6h'"),
        "segno.toml:3: sync.intervall: unknown key, expected one of \
         initial_batch_size, incremental_batch_size, interval, verify_every, artists_every, removal_guard, removal_wait, \
         entities, playlists"
    );
    assert_eq!(refusal("web = 80"), "segno.toml:1: web: must be a table with keys out of listen, hosts, base_path");
    assert_eq!(
        refusal("[web]\n\"a\\nb\" = 1"),
        "segno.toml:2: web.\"a\\nb\": unknown key, expected one of listen, hosts, base_path"
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line_and_without_its_text() {
    let refusal = House::new().file("[database]\nurl = 'postgres://u:secret@h\n").refusal();
    assert!(refusal.starts_with("segno.toml:2: "), "{refusal}");
    assert!(!refusal.contains("secret"), "{refusal}");
    let refusal = House::new().file("[web]\nlisten = '[::1]:1'\nlisten = '[::1]:2'\n").refusal();
    assert!(refusal.starts_with("segno.toml:3: "), "{refusal}");
}

#[test]
fn unknown_variables_are_refused_with_the_nearest_known_one() {
    let refusal = |name: &str| House::new().env(name, "secret").refusal();
    assert_eq!(
        refusal("SEGNO_SYNC_INTERVALL"),
        "SEGNO_SYNC_INTERVALL: unknown variable; did you mean SEGNO_SYNC_INTERVAL?"
    );
    assert_eq!(refusal("SEGNO_DATABASE"), "SEGNO_DATABASE: unknown variable; did you mean SEGNO_DATABASE_URL?");
    assert_eq!(refusal("SEGNO_LOG_FILTER"), "SEGNO_LOG_FILTER: unknown variable; did you mean SEGNO_LOG?");
    assert!(refusal("SEGNO_XYZ").contains("unknown variable, expected one of SEGNO_DATABASE_URL, "));
    let refusal = refusal("SEGNO_THE_ANSWER_TO_EVERYTHING");
    assert!(refusal.contains("unknown variable, expected one of SEGNO_DATABASE_URL, "), "{refusal}");
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        ("PATH", "/bin"),
        ("SEGNOX", "1"),
        ("SEGNO_TEST_POSTGRES_URL", "postgres://h/d"),
        ("SEGNO_REQUIRE_SERVICES", "1"),
        ("SEGNO_SIMULATION_SEEDS", "9"),
        ("SEGNO_FAULTS", "gate"),
        ("SEGNO_SERVICE_HOST", "10.0.0.1"),
        ("SEGNO_PORT_8370_TCP_ADDR", "10.0.0.1"),
        ("SEGNO_PORT", "tcp://10.0.0.1:8370"),
    ];
    let house = others.into_iter().fold(House::new(), |house, (name, value)| house.env(name, value));
    assert!(house.load().is_ok());
    assert!(House::new().env("SEGNO_PORT", "8370").load().is_err());
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_text_are_refused_only_where_they_are_ours() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"6\xffh".to_vec());
    assert!(House::new().env("OTHER", odd.clone()).load().is_ok());
    assert_eq!(
        House::new().env("SEGNO_SYNC_INTERVAL", odd).refusal(),
        "SEGNO_SYNC_INTERVAL: the value is not UTF-8 text"
    );
}

#[test]
fn a_config_prints_without_its_secrets() {
    let urls = [
        ("postgres://u:secret@h/d", "postgres://h/d"),
        ("postgres://u:se@cret/secret?secret@h/d?x=1", "postgres://..."),
        ("postgres://u:se@cret@h/d", "postgres://..."),
        ("postgres://u:se/cret@h/d", "postgres://..."),
        ("postgres://u:secret/d", "postgres://..."),
        ("postgres://u@[::1]:5432/d", "postgres://[::1]/d"),
        ("postgres://u@h:5432/d?sslmode=require&pasword=secret", "postgres://h/d"),
        ("postgres://u@h:5432/d", "postgres://h/d"),
        ("sqlite:a@b:c.db", "sqlite:a@b:c.db"),
    ];
    for (url, shown) in urls {
        let house = House::new()
            .env("SEGNO_DATABASE_URL", url)
            .env("SEGNO_SPOTIFY_REFRESH_TOKEN", "secret")
            .env("SEGNO_WEB_TOKEN", "a-secret-for-the-page");
        let config = house.load().unwrap();
        assert_eq!(config.database_url.as_str(), url);
        assert_eq!(config.database_url.to_string(), shown);
        assert!(!format!("{config:?}").contains("secret"));
    }
}

/// A working directory, a configuration folder and an environment, all made up.
struct House {
    root: TempDir,
    dirs: Dirs,
    env: Vec<(OsString, OsString)>,
}

impl House {
    fn new() -> House {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        let dirs = Dirs { config: Some(root.path().join("config")), data: Some(root.path().join("data")) };
        House { root, dirs, env: Vec::new() }
    }

    fn file(self, text: &str) -> House {
        fs::write(self.root.path().join("work/segno.toml"), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: impl Into<OsString>) -> House {
        self.env.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(None, self.env.clone(), &self.root.path().join("work"), &self.dirs)
    }

    fn load_from(&self, path: &str) -> Result<Config, ConfigError> {
        Config::load(Some(Path::new(path)), self.env.clone(), &self.root.path().join("work"), &self.dirs)
    }

    /// The one line of a refusal.
    fn refusal(&self) -> String {
        let refusal = self.load().unwrap_err().to_string();
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
        refusal
    }
}
