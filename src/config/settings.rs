//! The one table of settings: variable, key in the file, default. Both ways of giving a setting are read from it, so
//! they cannot drift apart.

/// Prefix of all variables of this program.
pub const ENV_PREFIX: &str = "SEGNO_";

/// The variable that corresponds to a key in the file. `log.filter` alone has a shorter one.
pub fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "_").to_uppercase())
}

macro_rules! settings {
    ($($name:ident: $env:literal, $key:expr, $default:expr;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Setting { $($name),+ }

        impl Setting {
            pub const ALL: &'static [Setting] = &[$(Setting::$name),+];

            /// The environment variable.
            pub const fn env(self) -> &'static str {
                match self { $(Setting::$name => $env),+ }
            }

            /// `table.key` in the file; `None` for what only the environment may hold.
            pub const fn key(self) -> Option<&'static str> {
                match self { $(Setting::$name => $key),+ }
            }

            /// As it would be written in the environment.
            pub const fn default(self) -> Option<&'static str> {
                match self { $(Setting::$name => $default),+ }
            }
        }
    };
}

settings! {
    // The default lies in the data folder, which is only known at run time.
    DatabaseUrl: "SEGNO_DATABASE_URL", Some("database.url"), None;
    DatabaseKeepNotes: "SEGNO_DATABASE_KEEP_NOTES", Some("database.keep_notes"), Some("180d");
    DatabaseKeepFeed: "SEGNO_DATABASE_KEEP_FEED", Some("database.keep_feed"), Some("30d");
    SpotifyClientId: "SEGNO_SPOTIFY_CLIENT_ID", Some("spotify.client_id"), None;
    // A secret, so never in a file that people share.
    SpotifyRefreshToken: "SEGNO_SPOTIFY_REFRESH_TOKEN", None, None;
    SpotifyApiUrl: "SEGNO_SPOTIFY_API_URL", Some("spotify.api_url"), Some("https://api.spotify.com/v1");
    SpotifyAccountsUrl: "SEGNO_SPOTIFY_ACCOUNTS_URL", Some("spotify.accounts_url"), Some("https://accounts.spotify.com");
    SpotifyTimeout: "SEGNO_SPOTIFY_TIMEOUT", Some("spotify.timeout"), Some("20s");
    SyncInitialBatchSize: "SEGNO_SYNC_INITIAL_BATCH_SIZE", Some("sync.initial_batch_size"), Some("200");
    SyncIncrementalBatchSize: "SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", Some("sync.incremental_batch_size"), Some("50");
    SyncInterval: "SEGNO_SYNC_INTERVAL", Some("sync.interval"), Some("6h");
    SyncVerifyEvery: "SEGNO_SYNC_VERIFY_EVERY", Some("sync.verify_every"), Some("7d");
    SyncArtistsEvery: "SEGNO_SYNC_ARTISTS_EVERY", Some("sync.artists_every"), Some("1d");
    // Percent.
    SyncRemovalGuard: "SEGNO_SYNC_REMOVAL_GUARD", Some("sync.removal_guard"), Some("20");
    SyncRemovalWait: "SEGNO_SYNC_REMOVAL_WAIT", Some("sync.removal_wait"), Some("1h");
    SyncEntities: "SEGNO_SYNC_ENTITIES", Some("sync.entities"), Some("tracks,artists,albums,playlists,shows,episodes,audiobooks");
    // None: all of them.
    SyncPlaylists: "SEGNO_SYNC_PLAYLISTS", Some("sync.playlists"), None;
    PlaybackInterval: "SEGNO_PLAYBACK_INTERVAL", Some("playback.interval"), Some("20m");
    // None: 5m and 1h, or the same as `interval` if that lies beyond.
    PlaybackMinInterval: "SEGNO_PLAYBACK_MIN_INTERVAL", Some("playback.min_interval"), None;
    PlaybackMaxInterval: "SEGNO_PLAYBACK_MAX_INTERVAL", Some("playback.max_interval"), None;
    // None: that of the browser, or of this machine.
    ListeningTimeZone: "SEGNO_LISTENING_TIME_ZONE", Some("listening.time_zone"), None;
    // None: the gate learns what is allowed.
    RateLimitRequests: "SEGNO_RATE_LIMIT_REQUESTS", Some("rate_limit.requests"), None;
    RateLimitWindow: "SEGNO_RATE_LIMIT_WINDOW", Some("rate_limit.window"), Some("30s");
    // A poll every 20 minutes, and some more.
    RateLimitReserve: "SEGNO_RATE_LIMIT_RESERVE", Some("rate_limit.reserve"), Some("100");
    // None: only the API's own limits. A family that reaches its own ceiling pauses before the API locks it out.
    RateLimitDailyTracks: "SEGNO_RATE_LIMIT_DAILY_TRACKS", Some("rate_limit.daily.tracks"), None;
    RateLimitDailyAlbums: "SEGNO_RATE_LIMIT_DAILY_ALBUMS", Some("rate_limit.daily.albums"), None;
    RateLimitDailyArtists: "SEGNO_RATE_LIMIT_DAILY_ARTISTS", Some("rate_limit.daily.artists"), None;
    RateLimitDailyPlaylists: "SEGNO_RATE_LIMIT_DAILY_PLAYLISTS", Some("rate_limit.daily.playlists"), None;
    RateLimitDailyPlaylistItems: "SEGNO_RATE_LIMIT_DAILY_PLAYLIST_ITEMS", Some("rate_limit.daily.playlist_items"), None;
    RateLimitDailyShows: "SEGNO_RATE_LIMIT_DAILY_SHOWS", Some("rate_limit.daily.shows"), None;
    RateLimitDailyEpisodes: "SEGNO_RATE_LIMIT_DAILY_EPISODES", Some("rate_limit.daily.episodes"), None;
    RateLimitDailyAudiobooks: "SEGNO_RATE_LIMIT_DAILY_AUDIOBOOKS", Some("rate_limit.daily.audiobooks"), None;
    RateLimitDailyPlayer: "SEGNO_RATE_LIMIT_DAILY_PLAYER", Some("rate_limit.daily.player"), None;
    RateLimitDailyAll: "SEGNO_RATE_LIMIT_DAILY_ALL", Some("rate_limit.daily.all"), None;
    // None: a free one.
    LoginPort: "SEGNO_LOGIN_PORT", Some("login.port"), None;
    LoginTimeout: "SEGNO_LOGIN_TIMEOUT", Some("login.timeout"), Some("5m");
    WebListen: "SEGNO_WEB_LISTEN", Some("web.listen"), Some("127.0.0.1:8370");
    // None: loopback names, and the address of the listener.
    WebHosts: "SEGNO_WEB_HOSTS", Some("web.hosts"), None;
    // None: the root.
    WebBasePath: "SEGNO_WEB_BASE_PATH", Some("web.base_path"), None;
    // A secret, so never in a file that people share.
    WebToken: "SEGNO_WEB_TOKEN", None, None;
    // None: nobody is notified.
    NotifyWebhook: "SEGNO_NOTIFY_WEBHOOK", Some("notify.webhook"), None;
    NotifyEvents: "SEGNO_NOTIFY_EVENTS", Some("notify.events"), Some("changes,removals_held,sign_in_ends,sync_failing");
    // A secret, so never in a file that people share. None: nothing is signed.
    NotifySecret: "SEGNO_NOTIFY_SECRET", None, None;
    // None: the feed is not published.
    FeedNatsUrl: "SEGNO_FEED_NATS_URL", Some("feed.nats_url"), None;
    LogFilter: "SEGNO_LOG", Some("log.filter"), Some("info");
}

impl Setting {
    pub fn by_env(name: &str) -> Option<Setting> {
        Setting::ALL.iter().copied().find(|setting| setting.env() == name)
    }

    pub fn by_key(key: &str) -> Option<Setting> {
        Setting::ALL.iter().copied().find(|setting| setting.key() == Some(key))
    }

    /// The setting that only the environment may hold, where `key` would be its name in a file.
    pub fn env_only(key: &str) -> Option<Setting> {
        Setting::by_env(&env_name(key)).filter(|setting| setting.key().is_none())
    }

    /// Both names, for a problem that is in neither place.
    pub fn names(self) -> String {
        match self.key() {
            Some(key) => format!("{} or {key}", self.env()),
            None => self.env().to_owned(),
        }
    }

    /// The tables of the file, in order; not those inside others.
    pub fn tables() -> Vec<&'static str> {
        let mut tables: Vec<_> =
            Setting::ALL.iter().filter_map(|s| s.key()?.split_once('.')).map(|(table, _)| table).collect();
        tables.dedup();
        tables
    }

    /// The keys of one table of the file, in order, including the tables inside it. `table` may be one of those:
    /// `rate_limit.daily`.
    pub fn keys_of(table: &str) -> Vec<&'static str> {
        let inside = |s: &Setting| s.key()?.strip_prefix(table)?.strip_prefix('.')?.split('.').next();
        let mut keys: Vec<_> = Setting::ALL.iter().filter_map(inside).collect();
        keys.dedup();
        keys
    }
}
