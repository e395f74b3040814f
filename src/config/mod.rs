//! The settings: a TOML file and environment variables, which take precedence.
//!
//! A [`Config`] that exists has been read in full: every value is inside its bounds, every key and every `SEGNO_`
//! variable is known. All problems are reported at once, one line each, with the file, line and key or the variable.
//! The names and defaults of all settings are in one table, [`settings`]. Nothing here reads the environment or looks
//! up the user's folders except [`Config::from_process`].

mod error;
mod keep;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod trust;
mod values;

pub use error::{ConfigError, Problem};
pub use keep::keep_client_id;
pub use sources::FILE_NAME;

use crate::model::{DailyCeilings, EntityType, EventKind, PlaylistChoice, zone::Zone};
use secrecy::{ExposeSecret, SecretString};
use settings::Setting;
use sources::Given;
use std::{
    ffi::OsString,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Name of the database file in the data folder.
const DATABASE_FILE: &str = "segno.db";

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Used if they are not given. At 72 s and more per track, no play is lost in an hour.
const PLAYBACK_MIN_INTERVAL: Duration = Duration::from_secs(5 * 60);
const PLAYBACK_MAX_INTERVAL: Duration = HOUR;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What a person should know about where the settings came from.
    pub warnings: Vec<String>,
    pub database_url: DatabaseUrlText,
    /// How long the service's own notes stay: of batches, and of gaps that are healed.
    pub keep_notes: Duration,
    /// How long the feed goes back.
    pub keep_feed: Duration,
    pub spotify: SpotifyConfig,
    pub login: LoginConfig,
    pub sync: SyncConfig,
    pub playback: PlaybackConfig,
    /// Where days begin and end; `None` uses the viewer's zone.
    pub time_zone: Option<Zone>,
    pub rate_limit: RateLimitConfig,
    pub web: WebConfig,
    pub notify: NotifyConfig,
    pub feed: FeedConfig,
    pub log: LogConfig,
}

#[derive(Debug, Clone)]
pub struct SpotifyConfig {
    pub client_id: Option<String>,
    /// From the environment only: signs a container in without a browser, once.
    pub refresh_token: Option<SecretString>,
    pub api_url: Url,
    pub accounts_url: Url,
    /// For a whole request, body included.
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginConfig {
    /// Port of the loopback address that the browser is sent back to; `None` takes a free one.
    pub port: Option<u16>,
    /// How long the person has.
    pub timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// Slots per transaction while a library is read for the first time.
    pub initial_batch_size: u32,
    /// The same once it is kept current.
    pub incremental_batch_size: u32,
    pub interval: Duration,
    /// How long the service may take to look at everything once.
    pub verify_every: Duration,
    /// How often the service reads the followed artists.
    pub artists_every: Duration,
    /// The share of an entity type, in percent, that one run may mark removed.
    pub removal_guard: u32,
    /// How much later another run has to miss the same items, if they are more than that.
    pub removal_wait: Duration,
    /// At least one, each once, in the order given.
    pub entities: Vec<EntityType>,
    /// The playlists whose items are read.
    pub playlists: PlaylistChoice,
}

#[derive(Debug, Clone)]
pub struct PlaybackConfig {
    /// Interval between polls of the listening history while there is something to hear.
    pub interval: Duration,
    /// Shortest and longest time between two polls, whatever is heard; on either side of `interval`.
    pub min_interval: Duration,
    pub max_interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// A ceiling; `None` leaves the rate to what the gate learns.
    pub requests: Option<u32>,
    pub window: Duration,
    /// Our own daily ceilings. The reserve is smaller than the ceiling on all families together.
    pub daily: DailyCeilings,
}

#[derive(Debug, Clone)]
pub struct WebConfig {
    /// `None` disables the page.
    pub listen: Option<SocketAddr>,
    /// Names by which browsers know it, besides loopback names and the address itself: those of a proxy.
    pub hosts: Vec<String>,
    /// The path of a proxy below which the page is: `/segno`, or empty for its root.
    pub base_path: String,
    /// From the environment only.
    pub token: Option<SecretString>,
}

/// Who is notified of events. The addresses may be secrets.
#[derive(Clone)]
pub struct NotifyConfig {
    pub webhooks: Vec<Url>,
    /// The kinds of events that they are sent, by their names in the feed.
    pub events: Vec<EventKind>,
    /// From the environment only: signs the notifications.
    pub secret: Option<SecretString>,
}

/// Where the feed is published. The addresses may hold secrets.
#[derive(Clone)]
pub struct FeedConfig {
    /// Servers of one NATS system; empty if it is not published.
    pub nats: Vec<Url>,
}

#[derive(Debug, Clone)]
pub struct LogConfig {
    /// One that [`crate::telemetry::init`] accepts.
    pub filter: String,
}

/// A database URL whose scheme is known; the store reads the rest. It may hold a password, so it prints without it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrlText {
    text: String,
    /// Where it was written; the default names both places.
    origin: String,
    default_folder: Option<PathBuf>,
}

/// The folders of this program in the user's home; `None` if there is no home.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirs {
    /// Where `segno.toml` is looked for.
    pub config: Option<PathBuf>,
    /// Where the default database lies.
    pub data: Option<PathBuf>,
}

impl Config {
    /// Reads the settings of this process: its environment, working directory and user.
    pub fn from_process(cli_path: Option<&Path>) -> Result<Config, ConfigError> {
        Config::load(cli_path, std::env::vars_os(), Path::new(""), &Dirs::of_user())
    }

    /// Reads `cli_path`, else `segno.toml` in `cwd`, else the one in the configuration folder, else no file; and `env`
    /// over it. A file given by name must exist; one found in a default place counts only if nobody else can have
    /// written it.
    pub fn load<K, V>(
        cli_path: Option<&Path>,
        env: impl IntoIterator<Item = (K, V)>,
        cwd: &Path,
        dirs: &Dirs,
    ) -> Result<Config, ConfigError>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut given = Given::default();
        let file = sources::find_file(cli_path, cwd, dirs, &mut given.warnings)?;
        if let Some(file) = &file {
            given.add_file(file);
        }
        given.add_env(env);
        let config = read(&mut given, dirs);
        match config {
            Some(config) if given.problems.is_empty() => {
                Ok(Config { file: file.map(|file| file.name), warnings: given.warnings, ..config })
            }
            _ => Err(ConfigError::Invalid(given.problems)),
        }
    }
}

impl Config {
    /// The file that was read, by its full path.
    pub fn file_shown(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()))
    }

    /// The settings that differ in `new` and that a running service cannot apply.
    pub fn needs_restart_for(&self, new: &Config) -> Vec<&'static str> {
        let (old_spotify, new_spotify) = (&self.spotify, &new.spotify);
        let is_other = |old: &Option<SecretString>, new: &Option<SecretString>| {
            let [old, new] = [old, new].map(|secret| secret.as_ref().map(ExposeSecret::expose_secret));
            old != new
        };
        let changed = [
            ("database.url", self.database_url != new.database_url),
            ("database.keep_notes", self.keep_notes != new.keep_notes),
            ("database.keep_feed", self.keep_feed != new.keep_feed),
            ("spotify.client_id", old_spotify.client_id != new_spotify.client_id),
            ("SEGNO_SPOTIFY_REFRESH_TOKEN", is_other(&old_spotify.refresh_token, &new_spotify.refresh_token)),
            ("spotify.api_url", old_spotify.api_url != new_spotify.api_url),
            ("spotify.accounts_url", old_spotify.accounts_url != new_spotify.accounts_url),
            ("spotify.timeout", old_spotify.timeout != new_spotify.timeout),
            ("listening.time_zone", self.time_zone != new.time_zone),
            ("rate_limit", self.rate_limit != new.rate_limit),
            ("login", self.login != new.login),
            ("web.listen", self.web.listen != new.web.listen),
            ("web.hosts", self.web.hosts != new.web.hosts),
            ("web.base_path", self.web.base_path != new.web.base_path),
            ("SEGNO_WEB_TOKEN", is_other(&self.web.token, &new.web.token)),
            ("notify.webhook", self.notify.webhooks != new.notify.webhooks),
            ("notify.events", self.notify.events != new.notify.events),
            ("SEGNO_NOTIFY_SECRET", is_other(&self.notify.secret, &new.notify.secret)),
            ("feed.nats_url", self.feed.nats != new.feed.nats),
        ];
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(setting, _)| setting).collect()
    }
}

/// Reads every setting before giving up, so that all problems are reported at once.
fn read(given: &mut Given, dirs: &Dirs) -> Option<Config> {
    let origin = given.origin(Setting::DatabaseUrl);
    let database_url = match given.optional(Setting::DatabaseUrl, values::database_url) {
        Some(Some(text)) => Some(DatabaseUrlText { text, origin, default_folder: None }),
        Some(None) => DatabaseUrlText::in_folder(given, dirs.data.as_deref()),
        None => None,
    };
    let keep_notes = given.required(Setting::DatabaseKeepNotes, values::duration(7 * DAY..=3650 * DAY));
    let keep_feed = given.required(Setting::DatabaseKeepFeed, values::duration(DAY..=3650 * DAY));
    let client_id = given.optional(Setting::SpotifyClientId, values::client_id);
    let refresh_token = given.optional(Setting::SpotifyRefreshToken, values::secret);
    let api_url = given.required(Setting::SpotifyApiUrl, values::api_url);
    let accounts_url = given.required(Setting::SpotifyAccountsUrl, values::api_url);
    let timeout = given.required(Setting::SpotifyTimeout, values::duration(Duration::from_secs(1)..=5 * MINUTE));
    let port = given.optional(Setting::LoginPort, values::port);
    let login_timeout = given.required(Setting::LoginTimeout, values::duration(Duration::from_secs(1)..=HOUR));
    let initial_batch_size = given.required(Setting::SyncInitialBatchSize, values::number(10..=1000));
    let incremental_batch_size = given.required(Setting::SyncIncrementalBatchSize, values::number(10..=1000));
    let sync_interval = given.required(Setting::SyncInterval, values::duration(MINUTE..=30 * DAY));
    let verify_every = given.required(Setting::SyncVerifyEvery, values::duration(HOUR..=365 * DAY));
    let artists_every = given.required(Setting::SyncArtistsEvery, values::duration(MINUTE..=30 * DAY));
    let removal_guard = given.required(Setting::SyncRemovalGuard, values::number(1..=100));
    let removal_wait = given.required(Setting::SyncRemovalWait, values::duration(Duration::ZERO..=30 * DAY));
    let entities = given.required(Setting::SyncEntities, values::entities);
    let playlists = given.optional(Setting::SyncPlaylists, values::playlists);
    let playback = read_playback(given);
    let time_zone = given.optional(Setting::ListeningTimeZone, values::time_zone);
    let requests = given.optional(Setting::RateLimitRequests, values::number(1..=1_000_000));
    let window = given.required(Setting::RateLimitWindow, values::duration(Duration::from_secs(1)..=10 * MINUTE));
    let daily = daily_ceilings(given);
    let listen = given.required(Setting::WebListen, values::address);
    let hosts = given.optional(Setting::WebHosts, values::host_names);
    let base_path = given.optional(Setting::WebBasePath, values::base_path);
    let token = given.optional(Setting::WebToken, values::web_token);
    let webhooks = given.optional(Setting::NotifyWebhook, values::webhooks);
    let events = given.required(Setting::NotifyEvents, values::events);
    let notify_secret = given.optional(Setting::NotifySecret, values::notify_secret);
    let nats = given.optional(Setting::FeedNatsUrl, values::nats_servers);
    let filter = given.required(Setting::LogFilter, values::log_filter);

    Some(Config {
        file: None,
        warnings: Vec::new(),
        database_url: database_url?,
        keep_notes: keep_notes?,
        keep_feed: keep_feed?,
        spotify: SpotifyConfig {
            client_id: client_id?,
            refresh_token: refresh_token?,
            api_url: api_url?,
            accounts_url: accounts_url?,
            timeout: timeout?,
        },
        login: LoginConfig { port: port?, timeout: login_timeout? },
        sync: SyncConfig {
            initial_batch_size: initial_batch_size?,
            incremental_batch_size: incremental_batch_size?,
            interval: sync_interval?,
            verify_every: verify_every?,
            artists_every: artists_every?,
            removal_guard: removal_guard?,
            removal_wait: removal_wait?,
            entities: entities?,
            playlists: playlists?.unwrap_or_default(),
        },
        playback: playback?,
        time_zone: time_zone?,
        rate_limit: RateLimitConfig { requests: requests?, window: window?, daily: daily? },
        web: WebConfig {
            listen: listen?,
            hosts: hosts?.unwrap_or_default(),
            base_path: base_path?.unwrap_or_default(),
            token: token?,
        },
        notify: NotifyConfig { webhooks: webhooks?.unwrap_or_default(), events: events?, secret: notify_secret? },
        feed: FeedConfig { nats: nats?.unwrap_or_default() },
        log: LogConfig { filter: filter? },
    })
}

/// The shortest and the longest interval follow the normal one if they are not given.
fn read_playback(given: &mut Given) -> Option<PlaybackConfig> {
    let [min_origin, max_origin] =
        [Setting::PlaybackMinInterval, Setting::PlaybackMaxInterval].map(|setting| given.origin(setting));
    let allowed = || values::duration(MINUTE..=24 * HOUR);
    let interval = given.required(Setting::PlaybackInterval, allowed());
    let min_interval = given.optional(Setting::PlaybackMinInterval, allowed());
    let max_interval = given.optional(Setting::PlaybackMaxInterval, allowed());
    let (interval, min_interval, max_interval) = (interval?, min_interval?, max_interval?);
    let mut refuse = |origin: String, value: Duration, than: &str| {
        let [value, interval] = [value, interval].map(values::in_units);
        given.problems.push(Problem { origin, message: format!("{value} is {than} playback.interval, {interval}") });
    };
    if let Some(min) = min_interval.filter(|min| *min > interval) {
        refuse(min_origin, min, "longer than");
    }
    if let Some(max) = max_interval.filter(|max| *max < interval) {
        refuse(max_origin, max, "shorter than");
    }
    Some(PlaybackConfig {
        interval,
        min_interval: min_interval.unwrap_or(PLAYBACK_MIN_INTERVAL.min(interval)),
        max_interval: max_interval.unwrap_or(PLAYBACK_MAX_INTERVAL.max(interval)),
    })
}

fn daily_ceilings(given: &mut Given) -> Option<DailyCeilings> {
    let reserve = given.required(Setting::RateLimitReserve, values::number(0..=1_000_000));
    let mut ceiling = |setting| given.optional(setting, values::number(1..=1_000_000));
    let tracks = ceiling(Setting::RateLimitDailyTracks);
    let albums = ceiling(Setting::RateLimitDailyAlbums);
    let artists = ceiling(Setting::RateLimitDailyArtists);
    let playlists = ceiling(Setting::RateLimitDailyPlaylists);
    let playlist_items = ceiling(Setting::RateLimitDailyPlaylistItems);
    let shows = ceiling(Setting::RateLimitDailyShows);
    let episodes = ceiling(Setting::RateLimitDailyEpisodes);
    let audiobooks = ceiling(Setting::RateLimitDailyAudiobooks);
    let player = ceiling(Setting::RateLimitDailyPlayer);
    let origin = given.origin(Setting::RateLimitDailyAll);
    let all = given.optional(Setting::RateLimitDailyAll, values::number(1..=1_000_000));
    if let (Some(Some(all)), Some(reserve)) = (all, reserve)
        && all <= reserve
    {
        let message = format!(
            "{all} leaves nothing for the sync, since rate_limit.reserve keeps {reserve} for the playback tracker; it \
             must be larger than that"
        );
        given.problems.push(Problem { origin, message });
    }
    Some(DailyCeilings {
        tracks: tracks?,
        albums: albums?,
        artists: artists?,
        playlists: playlists?,
        playlist_items: playlist_items?,
        shows: shows?,
        episodes: episodes?,
        audiobooks: audiobooks?,
        player: player?,
        all: all?,
        reserve: reserve?,
    })
}

impl DatabaseUrlText {
    /// The URL with its password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it was written, in the form used by messages: `segno.toml:2: database.url`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The folder of the default database, to be created if it is missing. `None` for a URL that was given: then a
    /// missing folder is a mistake worth reporting.
    pub fn folder_to_create(&self) -> Option<&Path> {
        self.default_folder.as_deref()
    }

    fn in_folder(given: &mut Given, data: Option<&Path>) -> Option<DatabaseUrlText> {
        let what = match data.map(|folder| (folder, folder.join(DATABASE_FILE))) {
            None => "is needed, because there is no home folder to keep a database in".to_owned(),
            Some((folder, file)) => match file.to_str() {
                Some(file) => {
                    return Some(DatabaseUrlText {
                        text: format!("sqlite:{file}"),
                        origin: Setting::DatabaseUrl.names(),
                        default_folder: Some(folder.to_owned()),
                    });
                }
                None => format!("is needed, because the name of the data folder {} is not UTF-8", folder.display()),
            },
        };
        given.problems.push(Problem { origin: Setting::DatabaseUrl.names(), message: what });
        None
    }
}

impl fmt::Debug for NotifyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<Option<&str>> = self.webhooks.iter().map(Url::host_str).collect();
        f.debug_struct("NotifyConfig").field("hosts", &hosts).field("events", &self.events).finish_non_exhaustive()
    }
}

impl fmt::Debug for FeedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<Option<&str>> = self.nats.iter().map(Url::host_str).collect();
        f.debug_struct("FeedConfig").field("nats", &hosts).finish()
    }
}

impl fmt::Display for DatabaseUrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&values::shown_url(&self.text))
    }
}

impl fmt::Debug for DatabaseUrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrlText({self})")
    }
}

impl Dirs {
    /// The folders that the platform names for the user of this process.
    pub fn of_user() -> Dirs {
        match directories::ProjectDirs::from("", "", "segno") {
            Some(dirs) => Dirs { config: Some(dirs.config_dir().to_owned()), data: Some(dirs.data_dir().to_owned()) },
            None => Dirs::default(),
        }
    }
}
