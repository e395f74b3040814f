//! Every bad setting, flag, URL, file and key is refused in one clear line, with an exit code that shows who has to fix
//! it. And valid ones are found, in the documented order.

use super::support::{Backend, Database, Ended, Sandbox, Segno, both};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const USAGE: i32 = 2;

const ENTITIES: &str = "tracks, artists, albums, playlists";
const BATCH_SIZE: &str = "is not a whole number from 10 to 1000";
const DURATION: &str = "such as \"90s\", \"20m\" or \"6h\"";

/// A home folder, which is also the working directory.
struct House {
    folder: TempDir,
}

impl House {
    fn new() -> House {
        House { folder: tempfile::Builder::new().prefix("segno-it-").tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> House {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    fn segno(&self, args: &[&str]) -> Segno {
        Segno::new(self.folder.path(), args)
    }

    /// `segno status`, which reads all settings and little else.
    fn status(&self) -> Ended {
        self.segno(&["status"]).run()
    }

    /// `segno sync` into this database, signed in to an API that is not there.
    fn sync_into(&self, database_url: &str) -> Ended {
        let segno = self.segno(&["sync"]).env("SEGNO_DATABASE_URL", database_url);
        let nowhere = [("API_URL", "http://127.0.0.1:9/v1"), ("ACCOUNTS_URL", "http://127.0.0.1:9")];
        let signed_in = [("CLIENT_ID", "someone"), ("REFRESH_TOKEN", "something")];
        let all = nowhere.into_iter().chain(signed_in);
        all.fold(segno, |segno, (name, value)| segno.env(&format!("SEGNO_SPOTIFY_{name}"), value)).run()
    }
}

#[test]
fn a_bad_value_in_the_environment_is_refused_with_variable_value_and_what_is_allowed() {
    let house = House::new();
    for (name, value, parts) in [
        ("SEGNO_SYNC_INITIAL_BATCH_SIZE", "0", ["\"0\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INITIAL_BATCH_SIZE", "1000000", ["\"1000000\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INITIAL_BATCH_SIZE", "99999999999999999999999", ["\"99999999999999999999999\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", "-50", ["\"-50\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", "fifty", ["\"fifty\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", "", ["\"\"", BATCH_SIZE]),
        ("SEGNO_SYNC_INTERVAL", "soon", ["\"soon\" is not a duration from 1m to 30d", DURATION]),
        ("SEGNO_SYNC_INTERVAL", "6", ["\"6\" is not a duration from 1m to 30d", DURATION]),
        ("SEGNO_PLAYBACK_INTERVAL", "1s", ["\"1s\" is not a duration from 1m to 24h", DURATION]),
        ("SEGNO_RATE_LIMIT_WINDOW", "-30s", ["\"-30s\" is not a duration from 1s to 10m", DURATION]),
        ("SEGNO_RATE_LIMIT_REQUESTS", "0", ["\"0\"", "is not a whole number from 1 to 1000000"]),
        ("SEGNO_SPOTIFY_TIMEOUT", "1h", ["\"1h\" is not a duration from 1s to 5m", DURATION]),
        ("SEGNO_SYNC_ENTITIES", "tracks,songs", ["\"tracks,songs\"", ENTITIES]),
        ("SEGNO_SYNC_ENTITIES", "tracks,albums,tracks", ["\"tracks,albums,tracks\"", "each once"]),
        ("SEGNO_SYNC_ENTITIES", "", ["\"\"", "one or more entity types"]),
        ("SEGNO_WEB_LISTEN", "8370", ["\"8370\"", "is not an IP address and port, such as \"127.0.0.1:8370\""]),
        ("SEGNO_WEB_HOSTS", "segno.example.org:443", ["\"segno.example.org:443\"", "is not a list of host names"]),
        ("SEGNO_WEB_TOKEN", "ge heim", ["the value is not a token", "16 to 512 visible characters"]),
        ("SEGNO_LOG", "chatty", ["\"chatty\" is not a log filter", "off, error, warn, info, debug, trace"]),
        ("SEGNO_SPOTIFY_CLIENT_ID", "two words", ["\"two words\"", "is not a client id"]),
        ("SEGNO_SPOTIFY_API_URL", "api.spotify.com", ["\"api.spotify.com\"", "is not an https URL"]),
        ("SEGNO_SPOTIFY_API_URL", "ftp://api.spotify.com", ["\"ftp://api.spotify.com\"", "is not an https URL"]),
        ("SEGNO_SPOTIFY_API_URL", "http://example.com/v1", ["\"http://example.com/v1\"", "http only on a loopback"]),
        ("SEGNO_SPOTIFY_ACCOUNTS_URL", "http://192.168.1.1", ["\"http://192.168.1.1\"", "http only on a loopback"]),
        ("SEGNO_SPOTIFY_ACCOUNTS_URL", "https://me:geheim@h", ["\"https://me:***@h\"", "without user, password"]),
        ("SEGNO_SPOTIFY_REFRESH_TOKEN", "ge heim", ["the value is not a refresh token", "without spaces"]),
    ] {
        let ended = house.segno(&["status"]).env(name, value).run();
        ended.assert_refused(USAGE, &[&format!("segno: {name}: "), parts[0], parts[1]]);
        assert!(!ended.stderr.contains("heim"), "{}", ended.told());
    }
}

#[test]
fn a_bad_value_in_the_file_is_refused_with_file_line_and_key() {
    for (text, parts) in [
        ("[sync]\n\ninitial_batch_size = 0", ["segno.toml:3: sync.initial_batch_size: 0", BATCH_SIZE]),
        (
            "[sync]\nincremental_batch_size = 1_000_000",
            ["segno.toml:2: sync.incremental_batch_size: 1000000", BATCH_SIZE],
        ),
        ("sync.initial_batch_size = 'many'", ["segno.toml:1: sync.initial_batch_size: \"many\"", BATCH_SIZE]),
        ("[sync]\ninterval = 6", ["segno.toml:2: sync.interval: 6 is not a duration", DURATION]),
        ("[sync]\nentities = ['tracks', 'songs']", ["segno.toml:2: sync.entities: [\"tracks\", \"songs\"]", ENTITIES]),
        ("[sync]\nentities = ['tracks', 'tracks']", ["segno.toml:2: sync.entities:", "each once"]),
        ("[database]\nurl = 'mysql://me:geheim@h/d'", ["segno.toml:2: database.url: \"mysql://h/d\"", "sqlite:PATH"]),
        ("[database]\nurl = 'sqlite::memory:'", ["segno.toml:2: database.url: \"sqlite::memory:\"", "sqlite:PATH"]),
        ("[spotify]\napi_url = 'http://h/v1'", ["segno.toml:2: spotify.api_url: \"http://h/v1\"", "https"]),
        ("[spotify]\nrefresh_token = 'geheim'", ["segno.toml:2: spotify.refresh_token", "SEGNO_SPOTIFY_REFRESH_TOKEN"]),
        ("[sync]\nintervall = '6h'", ["segno.toml:2: sync.intervall: unknown key", "incremental_batch_size, interval"]),
        ("[sinc]\ninterval = '6h'", ["segno.toml:1: sinc: unknown table", "database, spotify, sync"]),
        ("interval = '6h'", ["segno.toml:1: interval: unknown table", "database, spotify, sync"]),
        ("[web]\nlisten = \"127.0.0.1:1\nmore", ["segno.toml:3: ", "expected"]),
    ] {
        let ended = House::new().with("segno.toml", text).status();
        ended.assert_refused(USAGE, &parts);
        assert!(!ended.stderr.contains("geheim"), "{}", ended.told());
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_one_that_was_meant() {
    let refused = |name| House::new().segno(&["status"]).env(name, "geheim").run();
    refused("SEGNO_DATABSE_URL").assert_refused(USAGE, &["SEGNO_DATABSE_URL: unknown variable", "SEGNO_DATABASE_URL?"]);
    refused("SEGNO_XYZ").assert_refused(USAGE, &["SEGNO_XYZ: unknown variable", "SEGNO_SYNC_ENTITIES"]);
}

#[test]
fn all_problems_are_told_at_once_a_line_each() {
    let house = House::new().with("segno.toml", "[sync]\ninterval = 'x'\nfrequency = 3\n");
    let ended = house.segno(&["sync"]).env("SEGNO_LOG", "loud").env("SEGNO_SYNC_INTERVAL", "y").run();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(USAGE), ""), "{}", ended.told());
    let places: Vec<&str> = ended.stderr.lines().map(|line| line.split(": ").nth(1).expect("a place")).collect();
    assert_eq!(places, ["segno.toml:3", "segno.toml:2", "SEGNO_SYNC_INTERVAL", "SEGNO_LOG"], "{}", ended.told());
    assert!(ended.stderr.lines().all(|line| line.starts_with("segno: ")), "{}", ended.told());
}

#[test]
fn a_database_of_another_kind_is_refused() {
    let house = House::new();
    for (url, parts) in [
        ("", ["\"\" is not a database URL", "sqlite:PATH or postgres://"]),
        ("mysql://me:geheim@h/d", ["\"mysql://h/d\" is not a database URL", "sqlite:PATH or postgres://"]),
        ("segno.db", ["\"segno.db\" is not a database URL", "sqlite:PATH or postgres://"]),
        ("/var/lib/segno.db", ["is not a database URL", "sqlite:PATH or postgres://"]),
        ("sqlite:", ["\"sqlite:\" is not a database URL", "sqlite:PATH"]),
        ("sqlite://", ["\"sqlite://\": the database URL names no file", "sqlite:PATH"]),
        ("sqlite::memory:", ["an in-memory database forgets the library", "sqlite:PATH"]),
        ("sqlite:segno.db?mode=ro", ["takes no options", "sqlite:PATH"]),
        ("postgres://me:geheim@h", ["\"postgres://h\": the database URL names no database", "postgres://USER@HOST"]),
        ("postgres:///segno", ["names no host", "postgres://USER@HOST"]),
        ("postgres://me:geheim@h:port/d", ["port", "postgres://USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("postgres://me:geheim@h/d?sslmode=perhaps", ["unknown sslmode", "verify-full"]),
    ] {
        for ended in [house.sync_into(url), house.segno(&["status"]).env("SEGNO_DATABASE_URL", url).run()] {
            ended.assert_refused(USAGE, &["segno: SEGNO_DATABASE_URL: ", parts[0], parts[1]]);
            assert!(!ended.stderr.contains("geheim"), "{}", ended.told());
        }
    }
    assert_eq!(fs::read_dir(house.folder.path()).expect("a folder").count(), 0, "nothing was created");
}

#[test]
fn a_database_file_that_cannot_be_one_is_refused_and_left_as_it_is() {
    let text = "Dear diary,\ntoday I listened to music.\n";
    let torn = b"SQLite format 3\0 but not for long".to_vec();
    let house = House::new().with("diary.txt", text).with("torn.db", &torn).with("folder/file", "");
    let mut photos = SqliteConnection::establish(&house.path("photos.db").display().to_string()).expect("opens");
    photos.batch_execute("CREATE TABLE photos (id INTEGER)").expect("a table");
    drop(photos);
    let of_photos = fs::read(house.path("photos.db")).expect("a file");
    for (url, parts) in [
        ("sqlite:nowhere/segno.db", ["/nowhere for the database does not exist", "create it"]),
        ("sqlite:folder", ["/folder is a folder, not a database file", "name a file"]),
        ("sqlite:diary.txt", ["/diary.txt is not a SQLite database", "left as it is"]),
        ("sqlite:torn.db", ["/torn.db is not a SQLite database", "left as it is"]),
        ("sqlite:diary.txt/segno.db", ["cannot write to", "Not a directory"]),
        ("sqlite:/dev/null", ["/dev/null is neither a file nor absent", "name a file in SEGNO_DATABASE_URL"]),
        (
            "sqlite:photos.db",
            ["/photos.db is the database of another program: it holds the table photos", "left as it is"],
        ),
    ] {
        house.sync_into(url).assert_refused(USAGE, &parts);
        let status = house.segno(&["status"]).env("SEGNO_DATABASE_URL", url).run();
        status.assert_refused(USAGE, &parts);
    }
    assert_eq!(fs::read(house.path("diary.txt")).expect("a file"), text.as_bytes());
    assert_eq!(fs::read(house.path("torn.db")).expect("a file"), torn);
    assert!(fs::read(house.path("photos.db")).expect("a file") == of_photos, "nothing was written");
    let mut names: Vec<_> =
        fs::read_dir(house.folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["diary.txt", "folder", "photos.db", "torn.db"], "nothing was created");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // Nobody can create files here, not even root.
    if Path::new("/proc/version").exists() {
        House::new()
            .sync_into("sqlite:/proc/segno.db")
            .assert_refused(USAGE, &["cannot write to /proc/segno.db", "check"]);
    }
    let house = House::new().with("locked/file", "");
    let locked = house.path("locked");
    if fs::metadata(&locked).expect("a folder").uid() == 0 {
        eprintln!("SKIPPED: root may write to a read-only folder; run as another user to test it");
        return;
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("our own folder");
    let ended = house.sync_into("sqlite:locked/segno.db");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).expect("our own folder");
    ended.assert_refused(USAGE, &["cannot write to", "/locked/segno.db", "check who owns the file and its folder"]);
}

#[test]
fn a_settings_file_that_was_asked_for_must_be_there_and_be_text() {
    let house =
        House::new().with("folder/file", "").with("latin1.toml", b"[web]\n# caf\xe9\n").with("letter.toml", "Dear!\n");
    for (file, parts) in [
        ("missing.toml", "the configuration file missing.toml does not exist"),
        ("folder", "the configuration file folder is a directory"),
        ("latin1.toml", "the configuration file latin1.toml is not UTF-8 text (line 2)"),
        ("letter.toml", "letter.toml:1: "),
    ] {
        for args in [["--config", file, "status"], ["status", "--config", file], ["sync", "--config", file]] {
            house.segno(&args).run().assert_refused(USAGE, &[parts]);
        }
    }
    for command in ["demo", "sandbox"] {
        let ended = house.segno(&[command, "--config", "letter.toml"]).run();
        ended.assert_refused(USAGE, &["--config: letter.toml would not be read"]);
    }
}

#[test]
fn a_command_line_that_cannot_be_understood_is_refused_in_one_line() {
    let house = House::new();
    for (line, parts) in [
        ("snyc", ["\"snyc\" is not a command", "did you mean sync?"]),
        (
            "xyz",
            [
                "\"xyz\" is not a command",
                "demo, login, run, sync, verify, status, ready, changes, export, listening, import, reset, logout, backup, purge, sandbox, completions, man",
            ],
        ),
        ("--frob", ["--frob is not an option", "see \"segno --help\""]),
        ("sync --frob", ["sync: --frob is not an option", "see \"segno sync --help\""]),
        ("sync --max-weit 5m", ["sync: --max-weit is not an option", "did you mean --max-wait?"]),
        ("sync songs", ["sync: \"songs\" is not an entity type", ENTITIES]),
        ("sync tracks albums tracks", ["sync: \"tracks\" is named twice", ENTITIES]),
        ("sync --max-wait soon", ["sync: --max-wait: \"soon\" is not a duration", "such as"]),
        ("sync --max-wait 5", ["sync: --max-wait: \"5\" is not a duration", "such as"]),
        ("sync --max-wait -5m", ["-5", "segno sync --help"]),
        ("sync --max-wait 9999999y", ["sync: --max-wait: \"9999999y\" is not a duration from 0s to 30days", "such as"]),
        ("sync --max-wait", ["sync: --max-wait <DURATION> needs a value", "segno sync --help"]),
        ("sync --log-format xml", ["sync: --log-format: \"xml\" is not one of", "human, json"]),
        ("status everything", ["status: \"everything\" is one word too many", "segno status --help"]),
        ("reset", ["reset: name what to forget", ENTITIES]),
        ("reset songs", ["reset: \"songs\" is not an entity type", ENTITIES]),
        ("reset tracks tracks", ["reset: \"tracks\" is named twice", ENTITIES]),
        ("reset --all tracks", ["reset: --all cannot be combined with", "ENTITY"]),
        ("demo --tracks many", ["demo: --tracks: \"many\" is not a whole number", "from 0 to 1000000"]),
        ("demo --tracks 1000001", ["demo: --tracks: \"1000001\" is not a whole number", "from 0 to 1000000"]),
        ("demo --rate 0", ["demo: --rate: \"0\" is not a whole number", "from 1 to 1000000"]),
        ("sandbox --listen here", ["sandbox: --listen: \"here\" is not an IP address and port", "such as"]),
        ("sandbox --tracks -1", ["-1", "segno sandbox --help"]),
        ("sandbox --tracks 99999999", ["sandbox: --tracks: \"99999999\" is not a whole number", "from 0 to 2000000"]),
        ("sandbox --latency 1", ["sandbox: --latency: \"1\" is not a duration", "such as"]),
        ("sandbox --window 0s", ["sandbox: --window: \"0s\" is not a duration", "such as"]),
        ("sandbox --token-ttl never", ["sandbox: --token-ttl: \"never\" is not a duration", "such as"]),
        ("sandbox --dialect old", ["sandbox: --dialect: \"old\" is not a dialect", "current or legacy"]),
        ("sandbox --quota tracks", ["sandbox: --quota: \"tracks\" is not FAMILY=NUMBER", "such as tracks=40"]),
        ("sandbox --quota songs=4", ["unknown family `songs`", "tracks, albums, artists, playlists"]),
        ("sandbox --playlists 2000 --playlist-items 2000", ["4000000 playlist items", "at most 2000000"]),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        house.segno(&words).run().assert_refused(USAGE, &parts);
    }
}

#[test]
fn a_sync_without_an_application_says_where_to_get_one() {
    let ended = House::new().segno(&["sync"]).run();
    ended.assert_refused(USAGE, &["SEGNO_SPOTIFY_CLIENT_ID", "spotify.client_id", "developer.spotify.com/dashboard"]);
}

#[test]
fn a_database_server_that_is_down_is_named_with_what_to_check_and_without_the_password() {
    let house = House::new();
    for command in ["sync", "status", "reset"] {
        let args: &[&str] = if command == "reset" { &["reset", "--all"] } else { &[command] };
        let segno = house.segno(args).env("SEGNO_DATABASE_URL", "postgres://segno:geheim@127.0.0.1:1/library");
        let ended = segno.env("SEGNO_SPOTIFY_CLIENT_ID", "someone").env("SEGNO_LOG", "trace").run();
        assert!(!ended.told().contains("geheim"), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(15), "{}", ended.told());
        ended.assert_refused(1, &["cannot reach PostgreSQL at 127.0.0.1:1/library", "check that the server runs"]);
    }
}

#[test]
fn a_database_that_the_server_does_not_have_is_named_with_how_to_create_it() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let database = Database::new(Backend::Postgres);
    let url = database.url();
    let (server, name) = url.split_at(url.rfind('/').expect("a database") + 1);
    let wrong = format!("{server}no_{name}");
    let ended = House::new().sync_into(&wrong);
    let name = name.split('?').next().expect("a name");
    ended.assert_refused(1, &[&format!("\"no_{name}\" does not exist"), &format!("createdb no_{name}")]);
}

/// Half a minute of patience: a router restarts, a laptop wakes up. Once at the sign-in, once in the middle of a run.
#[test]
fn an_api_that_cannot_be_reached_is_given_up_after_half_a_minute_with_what_to_check() {
    let (database, fresh) = (Database::new(Backend::Sqlite), Database::new(Backend::Sqlite));
    let sandbox = Sandbox::exact(20, 0, 0, 0, 0);
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    // Port 9 is discard; no machine of ours listens on it.
    let unreachable = |database: &Database| {
        let segno = Segno::on(database, &sandbox, &["sync", "tracks"]);
        let segno = segno.env("SEGNO_SPOTIFY_API_URL", "http://127.0.0.1:9/v1");
        segno.env("SEGNO_SPOTIFY_ACCOUNTS_URL", "http://127.0.0.1:9").spawn()
    };
    let (signed_in, not_yet) = (unreachable(&database), unreachable(&fresh));
    for ended in [signed_in.wait(), not_yet.wait()] {
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        assert!((15..=60).contains(&ended.took.as_secs()), "{}", ended.told());
        let last = ended.stderr.lines().last().expect("a line");
        assert!(last.starts_with("segno: "), "{}", ended.told());
        assert!(last.contains("check the network and SEGNO_SPOTIFY_API_URL, then run again"), "{}", ended.told());
        assert!(ended.stderr.contains("cannot connect to 127.0.0.1:9"), "{}", ended.told());
        ended.assert_calm();
    }
    let patient = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
    assert_eq!(patient.entity("tracks")["state"], "complete", "{}", patient.told());
}

#[test]
fn without_a_sign_in_the_exit_code_is_4_and_the_line_says_how_to_sign_in() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 0, 0, 0, 0));
    let sync = || Segno::on(&database, &sandbox, &["sync"]);
    sync()
        .without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
        .run()
        .assert_refused(4, &["nobody is signed in", "set SEGNO_SPOTIFY_REFRESH_TOKEN"]);
    sync()
        .env("SEGNO_SPOTIFY_REFRESH_TOKEN", "made-up")
        .run()
        .assert_refused(4, &["rejects the refresh token as invalid", "check SEGNO_SPOTIFY_REFRESH_TOKEN"]);
    // The token endpoint has been seen to say this about valid ones, too.
    let other = sync().env("SEGNO_SPOTIFY_CLIENT_ID", "another").env("SEGNO_FAULT_HASTE", "600").run();
    assert_eq!(other.code, Some(1), "{}", other.told());
    let told = ["client_id was refused", "developer.spotify.com/dashboard", "run again in a few minutes"];
    assert!(told.into_iter().all(|told| other.stderr.contains(told)), "{}", other.told());

    sync().succeed();
    let other = sync().env("SEGNO_SPOTIFY_CLIENT_ID", "another").run();
    other.assert_refused(4, &["belongs to the application", "not to another", "SEGNO_SPOTIFY_CLIENT_ID"]);
    // Once signed in, the token in the environment has done its work.
    sync().without_env("SEGNO_SPOTIFY_REFRESH_TOKEN").succeed();
}

#[test]
fn a_sign_in_that_is_withdrawn_later_ends_with_4_and_keeps_what_there_is() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(120, 0, 0, 0, 0));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.configure(serde_json::json!({ "revoke_refresh_token": true, "expire_access_tokens": true }));
    // A single refusal is not believed; minutes later it is.
    let doubted = Segno::on(&database, &sandbox, &["sync"]).run();
    assert_eq!(doubted.code, Some(1), "{}", doubted.told());
    assert!(doubted.stdout.contains("rejects the refresh token as invalid"), "{}", doubted.told());
    database.end_cooldowns();
    let ended = Segno::on(&database, &sandbox, &["sync"]).run();
    assert_eq!(ended.code, Some(4), "{}", ended.told());
    let last = ended.stderr.lines().last().expect("a line");
    assert!(last.starts_with("segno: ") && last.contains("sign in again: run \"segno login\""), "{last}");
    assert!(ended.stdout.contains("the refresh token was refused"), "{}", ended.told());
    assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 120);
}

#[test]
fn secrets_are_never_shown_however_much_is_logged() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 5, 5, 2, 10));
    for log_format in ["human", "json"] {
        let args = ["sync", "--log-format", log_format];
        let ended = Segno::on(&database, &sandbox, &args).env("SEGNO_LOG", "trace").succeed();
        assert!(ended.stderr.lines().count() > 10, "{}", ended.told());
        assert!(!ended.told().contains(&sandbox.env["SEGNO_SPOTIFY_REFRESH_TOKEN"]), "{}", ended.told());
        let stored = database.lines("SELECT access_token AS line FROM account_tokens");
        assert!(!ended.told().contains(&stored[0]), "{}", ended.told());
    }
}

/// The settings file in use shows in the database that `status` does not find.
#[test]
fn the_file_is_found_where_it_is_documented_and_the_environment_wins() {
    let house = House::new();
    let status = |house: &House, args: &[&str], env: &[(&str, &str)]| {
        let segno = house.segno(&[&["status"], args].concat());
        let ended = env.iter().fold(segno, |segno, (name, value)| segno.env(name, value)).run();
        assert_eq!(ended.code, Some(1), "{}", ended.told());
        ended
            .stderr
            .split("there is no database at ")
            .nth(1)
            .and_then(|rest| rest.split(" yet").next())
            .map(str::to_owned)
    };
    let at = |name: &str| Some(house.path(name).display().to_string());
    assert_eq!(status(&house, &[], &[]), at(".local/share/segno/segno.db"));
    let data = house.path("data").display().to_string();
    assert_eq!(status(&house, &[], &[("XDG_DATA_HOME", &data)]), at("data/segno/segno.db"));

    fs::create_dir_all(house.path(".config/segno")).expect("a folder");
    fs::write(house.path(".config/segno/segno.toml"), "[database]\nurl = 'sqlite:home.db'\n").expect("a file");
    assert_eq!(status(&house, &[], &[]), at("home.db"));
    fs::create_dir_all(house.path("xdg/segno")).expect("a folder");
    fs::write(house.path("xdg/segno/segno.toml"), "[database]\nurl = 'sqlite:xdg.db'\n").expect("a file");
    let xdg = house.path("xdg").display().to_string();
    assert_eq!(status(&house, &[], &[("XDG_CONFIG_HOME", &xdg)]), at("xdg.db"));

    fs::write(house.path("segno.toml"), "[database]\nurl = 'sqlite:here.db'\n").expect("a file");
    assert_eq!(status(&house, &[], &[("XDG_CONFIG_HOME", &xdg)]), at("here.db"));
    fs::write(house.path("my.toml"), "[database]\nurl = 'sqlite:mine.db'\n").expect("a file");
    assert_eq!(status(&house, &["--config", "my.toml"], &[]), at("mine.db"));
    let env = [("SEGNO_DATABASE_URL", "sqlite:env.db")];
    assert_eq!(status(&house, &["--config", "my.toml"], &env), at("env.db"));
}

#[test]
fn the_documented_example_holds_the_defaults_and_is_accepted() {
    let example =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/segno.example.toml")).expect("the example");
    House::new().with("segno.toml", example).status().assert_refused(1, &["there is no database at", "segno sync"]);
}

#[test]
fn without_settings_the_database_is_the_owners_alone_and_batches_have_their_documented_sizes() {
    let (house, sandbox) = (House::new(), Sandbox::exact(700, 0, 0, 0, 0));
    let sync = || {
        let segno = house.segno(&["sync", "tracks"]).env("SEGNO_RATE_LIMIT_REQUESTS", "100000");
        sandbox.env.iter().fold(segno, |segno, (name, value)| segno.env(name, value))
    };
    sync().succeed();
    let file = house.path(".local/share/segno/segno.db");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).expect("the default database").permissions().mode() & 0o777, 0o600);
    }
    // Four pages of 50, three of which share a slot with the previous page.
    assert_eq!(largest_batch(&file, "initial_sync"), 197);
    sandbox.edit(serde_json::json!([{ "op": "add_tracks", "count": 170 }]));
    sync().succeed();
    assert_eq!(largest_batch(&file, "incremental_sync"), 50);
}

/// One request in about four seconds: more were measured as too many for a new application.
#[test]
fn without_settings_requests_are_few() {
    let (house, sandbox) = (House::new(), Sandbox::exact(5000, 0, 0, 0, 0));
    let segno = sandbox.env.iter().fold(house.segno(&["sync"]), |segno, (name, value)| segno.env(name, value));
    let running = segno.spawn();
    std::thread::sleep(Duration::from_secs(6));
    let num_requests = sandbox.requests("*");
    running.kill();
    assert!((1..=3).contains(&num_requests), "{num_requests} requests in 6 s");
}

both! {
    fn settings_from_a_file_alone_are_enough(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 5, 5, 2, 10));
        let env = |name: &str| &sandbox.env[&format!("SEGNO_SPOTIFY_{name}")];
        let text = format!(
            "database.url = '{}'\n[spotify]\nclient_id = '{}'\napi_url = '{}'\naccounts_url = '{}'\n\
             [sync]\nentities = ['albums', 'tracks']\n[rate_limit]\nrequests = 1000\nwindow = '1s'\n",
            database.url(), env("CLIENT_ID"), env("API_URL"), env("ACCOUNTS_URL"),
        );
        let house = House::new().with("segno.toml", text);
        house.segno(&["sync"]).env("SEGNO_SPOTIFY_REFRESH_TOKEN", env("REFRESH_TOKEN")).succeed();
        assert_eq!((database.count("saved_tracks"), database.count("saved_albums")), (60, 5));
        assert_eq!(database.count("followed_artists"), 0);
        assert_eq!(sandbox.requests("artists"), 0);
    }
}

fn largest_batch(file: &Path, phase: &str) -> i64 {
    use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::BigInt};
    #[derive(QueryableByName)]
    struct Largest {
        #[diesel(sql_type = BigInt)]
        largest: i64,
    }
    let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("opens");
    let sql = format!("SELECT max(items_processed) AS largest FROM sync_batches WHERE phase = '{phase}'");
    sql_query(sql).get_result::<Largest>(&mut conn).expect("a number").largest
}
