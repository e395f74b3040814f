//! `segno demo` and `segno sandbox`, for somebody who has nothing but the binary.

use super::support::{Backend, Database, Ended, Sandbox, Segno, block_on, browser::Browser, http, wait_until};
use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query};
use std::{fs, path::Path, thread::sleep, time::Duration};
use tempfile::TempDir;

/// The least that the default library costs: 103 for tracks, 4 for artists, 7 for albums, 63 for playlists, 4 for
/// spoken items, one for the signed-in user.
const COST: u64 = 182;

/// A small library, whose cost is mostly that of its playlists.
const SMALL: [&str; 2] = ["--tracks", "600"];

fn home() -> TempDir {
    tempfile::Builder::new().prefix("segno-it-").tempdir().expect("a temporary folder")
}

fn demo(home: &Path, args: &[&str]) -> Segno {
    Segno::new(home, &[&["demo"], args].concat())
}

#[test]
fn the_demo_needs_nothing_and_shows_what_it_stored_and_how_to_ask_for_it() {
    let home = home();
    let first = demo(home.path(), &[]).succeed();
    assert!(first.took < Duration::from_secs(20), "{}", first.told());
    let file = home.path().join(".local/share/segno/demo.db");
    for needed in [
        "4,996  saved tracks",
        "300  saved albums",
        "180  followed artists",
        "23  playlists with 2,212 items",
        "13  saved shows",
        "60  saved episodes",
        "9  saved audiobooks",
        "\nstored in ",
        &format!("\ndatabase  {}\n", file.display()),
        &format!("with: sqlite3 {}\n", file.display()),
        "Run \"segno demo\" again",
    ] {
        assert!(first.stdout.contains(needed), "{needed}: {}", first.told());
    }
    assert_eq!(num_requests(&first), COST, "{}", first.told());
    assert!(first.stderr.contains("tracks     complete: 4,996 new"), "{}", first.told());
    first.assert_calm();

    let queries = queries(&first.stdout);
    assert_eq!(queries.len(), 3, "{}", first.told());
    let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("opens");
    for query in &queries {
        let counted = format!("SELECT count(*) AS num FROM ({query})");
        let num =
            sql_query(&counted).get_result::<Num>(&mut conn).unwrap_or_else(|error| panic!("{query}: {error}")).num;
        assert!(num >= 10, "{num} rows: {query}");
    }
    assert!(first.stdout.lines().all(|line| line.chars().count() <= 80), "{}", first.told());

    // Whether other people's playlists are refused to us is checked once more, and then no longer.
    let second = demo(home.path(), &[]).succeed();
    assert!(num_requests(&second) <= 23, "{}", second.told());
    let again = demo(home.path(), &[]).succeed();
    assert!(num_requests(&again) <= 15, "{}", again.told());
    assert!(again.stderr.contains("again, in an incremental run"), "{}", again.told());
    assert!(again.stdout.contains("brought up to date in ") && again.stdout.contains(": 0 new, 0 updated, 0 removed"));
    assert!(again.stdout.contains("4,996  saved tracks"), "{}", again.told());
}

#[test]
fn fresh_starts_over_and_another_size_must_be_meant() {
    let home = home();
    demo(home.path(), &["--tracks", "60"]).succeed();
    let file = home.path().join(".local/share/segno/demo.db");
    let other = demo(home.path(), &["--tracks", "70"]).run();
    other.assert_refused(2, &["/demo.db holds a made-up library of 60 tracks, not of 70", "--tracks 60", "--fresh"]);

    let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("opens");
    conn.batch_execute("CREATE TABLE a_trace (id INTEGER)").expect("a table");
    drop(conn);
    let fresh = demo(home.path(), &["--tracks", "70", "--fresh"]).succeed();
    assert!(fresh.stdout.contains("\nstored in "), "{}", fresh.told());
    assert!(fresh.stdout.contains("Run \"segno demo --tracks 70\" again"), "{}", fresh.told());
    let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("opens");
    let traces = "SELECT count(*) AS num FROM sqlite_master WHERE name = 'a_trace'";
    assert_eq!(sql_query(traces).get_result::<Num>(&mut conn).expect("a number").num, 0);
}

#[test]
fn the_demo_goes_where_it_is_told_and_says_so() {
    let home = home();
    let ended = demo(home.path(), &["--tracks", "60", "--database", "my demo.db"]).succeed();
    assert!(home.path().join("my demo.db").exists());
    assert!(!home.path().join(".local/share/segno/demo.db").exists());
    assert!(ended.stdout.contains("\ndatabase  my demo.db\n"), "{}", ended.told());
    assert!(ended.stdout.contains("with: sqlite3 'my demo.db'\n"), "{}", ended.told());
    assert!(ended.stdout.contains("Run \"segno demo --tracks 60 --database 'my demo.db'\" again"), "{}", ended.told());
    // Settings are for real use: whatever they are, the demo works, and touches nothing they name.
    let segno = demo(home.path(), &["--tracks", "60", "--database", "my demo.db"]);
    segno.env("SEGNO_DATABASE_URL", "sqlite:real.db").env("SEGNO_SPOTIFY_API_URL", "nonsense").succeed();
    assert!(!home.path().join("real.db").exists());
}

#[test]
fn what_is_not_a_demos_database_is_neither_written_to_nor_removed() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    fs::write(at("letter.txt"), "Dear diary").expect("a file");
    fs::create_dir(at("folder")).expect("a folder");
    let mut conn = SqliteConnection::establish(&at("photos.db").display().to_string()).expect("opens");
    conn.batch_execute("CREATE TABLE photos (id INTEGER); INSERT INTO photos VALUES (1)").expect("a table");
    drop(conn);
    // Somebody's real library, as far as can be told.
    let (library, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 5, 5, 2, 10));
    Segno::on(&library, &sandbox, &["sync"]).succeed();
    library.execute("UPDATE account_tokens SET client_id = 'an application of their own'");
    let real = library.file().display().to_string();

    for (path, why) in [
        ("letter.txt", "letter.txt is not a SQLite database; it was left as it is; name"),
        ("photos.db", "photos.db is the database of another program; it was left as it is; name"),
        ("folder", "folder is a folder; name"),
        ("nowhere/demo.db", "nowhere/demo.db is in a folder that does not exist; name"),
        (real.as_str(), "holds the library of an account; it was left as it is; name"),
    ] {
        let before = fs::read(at(path)).ok();
        for args in [&["--database", path][..], &["--fresh", "--database", path]] {
            let ended = demo(home.path(), &[args, &["--tracks", "60"]].concat()).run();
            ended.assert_refused(2, &[why, "--database"]);
            assert_eq!(fs::read(at(path)).ok(), before, "{path}");
        }
    }
    assert_eq!(library.count("saved_tracks"), 60);
}

/// 79 requests, of which 50 may go at once and the others in steps of 150 ms.
#[test]
fn a_demo_under_a_limit_waits_and_is_not_refused() {
    let home = home();
    let ended = demo(home.path(), &[&SMALL[..], &["--rate", "200", "--database", "demo.db"]].concat()).succeed();
    let num_requests = num_requests(&ended);
    let least = Duration::from_millis(150) * u32::try_from(num_requests - 50).expect("more than went at once");
    assert!(ended.took >= least, "{num_requests} requests: {}", ended.told());
    let mut conn = SqliteConnection::establish(&home.path().join("demo.db").display().to_string()).expect("opens");
    let pauses = "SELECT count(*) AS num FROM rate_limits WHERE blocked_until IS NOT NULL";
    assert_eq!(sql_query(pauses).get_result::<Num>(&mut conn).expect("a number").num, 0, "{}", ended.told());
}

#[test]
fn a_demo_that_was_stopped_or_killed_carries_on() {
    let undisturbed = Database::new(Backend::Sqlite);
    let home = home();
    let run = |database: &Database, rate: &str| {
        let file = database.file().display().to_string();
        demo(home.path(), &["--tracks", "2000", "--rate", rate, "--database", &file])
    };
    let cost = num_requests(&run(&undisturbed, "600").succeed());
    // Another person's playlist whose items are refused counts as unreadable once a second run is refused them too.
    run(&undisturbed, "600").succeed();
    for signal in ["KILL", "INT"] {
        let database = Database::new(Backend::Sqlite);
        // 75 requests at once, and then ten in a second.
        let running = run(&database, "300").spawn();
        wait_until("some batches are committed", || database.num_batches() >= 8);
        running.signal(signal);
        let ended = running.wait();
        if signal == "INT" {
            assert_eq!(ended.code, Some(130), "{}", ended.told());
            assert!(ended.stderr.contains("running again carries on"), "{}", ended.told());
            assert!(ended.stdout.contains("stopped; the next run carries on"), "{}", ended.told());
        }
        ended.assert_calm();
        let num_before = database.count("saved_tracks");
        assert!(num_before > 0 && num_before < 1990, "{num_before} tracks before: {}", ended.told());

        let again = run(&database, "600").succeed();
        assert!(again.stderr.contains("carrying on with a made-up library"), "{}", again.told());
        assert!(again.took < Duration::from_secs(20), "the last server's window is gone with it: {}", again.told());
        assert!(num_requests(&again) < cost, "it did not start over: {} of {cost}", num_requests(&again));
        run(&database, "600").succeed();
        database.assert_same_library(&undisturbed);
    }
}

#[test]
fn the_sandbox_prints_the_settings_to_use_it_with() {
    let home = home();
    let running = Segno::new(home.path(), &["sandbox", "--tracks", "10"]).spawn();
    std::thread::sleep(Duration::from_millis(700));
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    let names: Vec<&str> = ended.stdout.lines().map(|line| line.split_once('=').expect("NAME=VALUE").0).collect();
    let expected =
        ["API_URL", "ACCOUNTS_URL", "CLIENT_ID", "REFRESH_TOKEN"].map(|name| format!("SEGNO_SPOTIFY_{name}"));
    assert_eq!(names, expected);
    assert!(ended.stderr.contains("the sandbox listens on 127.0.0.1:") && ended.stderr.contains("Ctrl-C"));
    ended.assert_calm();

    // Nothing else is needed.
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::start(&["--tracks", "10"]));
    let segno = Segno::new(home.path(), &["sync", "tracks"]).env("SEGNO_DATABASE_URL", &database.url());
    sandbox.env.iter().fold(segno, |segno, (name, value)| segno.env(name, value)).succeed();
    sandbox.library();
}

#[test]
fn a_sandbox_that_cannot_listen_says_where() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Segno::new(home().path(), &["sandbox", "--listen", &address]).run();
    ended.assert_refused(1, &[&format!("cannot listen on {address}"), "in use"]);
}

#[derive(diesel::QueryableByName)]
struct Num {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    num: i64,
}

/// The cost that the demo reports.
fn num_requests(ended: &Ended) -> u64 {
    let line =
        ended.stdout.lines().find(|line| line.starts_with("stored in ") || line.starts_with("brought up to date"));
    let words: Vec<&str> = line.expect("a line with the cost").split(' ').collect();
    let at = words.iter().position(|word| word.starts_with("request")).expect("requests");
    words[at - 1].replace(',', "").parse().expect("a number")
}

/// The SQL between "Try these" and "Run", one query each, as somebody would paste it.
fn queries(stdout: &str) -> Vec<String> {
    let shown = stdout.split("Try these").nth(1).and_then(|rest| rest.split("\nRun ").next()).expect("queries");
    let sql: String =
        shown.lines().skip(1).filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    sql.split(';').map(str::trim).filter(|query| !query.is_empty()).map(str::to_owned).collect()
}

/// With `SEGNO_TEST_SCREENSHOTS` set to a folder, screenshots are written there; those in `docs/screenshots` are made
/// this way.
#[test]
fn a_demo_that_stays_shows_a_library_that_changes_and_ends_when_told() {
    let home = home();
    let log = home.path().join("demo.log");
    let pictures = std::env::var_os("SEGNO_TEST_SCREENSHOTS");
    let tracks = if pictures.is_some() { "5000" } else { "300" };
    let running =
        demo(home.path(), &["--page", "--tracks", tracks]).env("PATH", "/nonexistent").conversing(&log).spawn();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let address = || {
        let text = said();
        let at = text.find("http://127.0.0.1:").filter(|_| text.contains("Ctrl-C ends it"))?;
        text[at..].split(';').next().map(str::to_owned)
    };
    wait_until("the address is told", || address().is_some());
    let base = address().expect("told");
    let count = |list: &str| {
        let url = format!("{base}/api/v1/{list}?limit=50");
        block_on(async {
            let answer = http::client().get(url).send().await.ok()?;
            let page: serde_json::Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
            page["items"].as_array().map(Vec::len)
        })
    };
    wait_until("the library is there", || count("playlists").is_some_and(|num| num > 20));
    wait_until("a play has come", || count("plays").is_some_and(|num| num > 0));
    if let Some(folder) = pictures {
        sleep(LIVED_IN);
        picture_views(&base, Path::new(&folder));
    }
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
    let file = home.path().join(".local/share/segno/demo.db");
    assert!(file.exists());
    // A one-off demo continues with this library, even if it has shrunk meanwhile.
    let mut conn = SqliteConnection::establish(&file.display().to_string()).expect("opens");
    let fewer = "UPDATE sync_states SET total_estimated = total_estimated - 1 WHERE entity_type = 'tracks'";
    conn.batch_execute(fewer).expect("written");
    drop(conn);
    demo(home.path(), &["--tracks", tracks]).succeed();
}

/// How long it has been running when the screenshots are taken: the limit has been hit by then.
const LIVED_IN: Duration = Duration::from_secs(70);

fn picture_views(base: &str, folder: &Path) {
    let browser = Browser::start().expect("a browser takes the pictures");
    for scheme in ["light", "dark"] {
        browser.prefer(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
        for (name, path) in [
            ("now", "/"),
            ("changes", "/changes"),
            ("library", "/library"),
            ("listening", "/listening"),
            ("activity", "/activity"),
        ] {
            browser.go(&format!("{base}{path}"));
            for (device, size) in [("desk", (1120, 860)), ("phone", (360, 760))] {
                browser.resize(size);
                wait_until(&format!("{name}, {scheme}, {device}: it is read"), || browser.text("#link") == "Live");
                sleep(Duration::from_secs(1));
                browser.picture(&folder.join(format!("{name}-{scheme}-{device}.png")));
            }
        }
    }
}
