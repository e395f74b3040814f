//! Names chosen to move a cursor, to pass for a line of the log, or to reverse the text beside them.

use super::{Backend, Database, Ended, Sandbox, Segno, both, wait_until};
use segno::model::text::is_unseen;

/// A line break, a terminal escape in both forms, direction marks, zero-width characters, further line breaks.
const NAME: &str = "Mi\nra\r\u{1b}[2J\u{9b}31m \u{202e}evil\u{2066}\u{200b}\u{200d}\u{feff}\u{2028}x\u{2029}\u{e0041}";

/// In SQL of both databases.
fn quoted(name: &str) -> String {
    format!("'{name}'")
}

fn assert_seen(ended: &Ended) {
    for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        let found = text.lines().find(|line| line.contains(is_unseen));
        assert_eq!(found, None, "{stream}");
        assert!(!text.lines().any(|line| line.starts_with("ra")), "a line of its own: {text}");
    }
}

both! {
    fn a_name_is_text_in_every_command_and_in_the_log(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(30, 5, 5, 2, 5));
        let run = |args: &[&str]| Segno::on(&database, &sandbox, args).env("SEGNO_LOG", "debug").run();
        assert_eq!(run(&["sync"]).code, Some(0));
        let name = quoted(NAME);
        database.execute(&format!("UPDATE accounts SET display_name = {name}"));
        for table in ["tracks", "albums", "artists", "playlists"] {
            database.execute(&format!("UPDATE {table} SET name = {name}"));
        }
        for args in [
            &["status"][..], &["status", "--json"], &["changes"], &["changes", "--json"], &["sync"], &["sync", "--json"],
            &["verify"], &["sync", "--account", "nobody"], &["--log-format", "json", "sync"], &["logout"],
        ] {
            let ended = run(args);
            assert_seen(&ended);
            if args.contains(&"status") {
                assert!(ended.stdout.contains("evil"), "{}", ended.told());
            }
        }
        // Programs get it unchanged.
        let status = run(&["status", "--json"]).json();
        assert_eq!(status["accounts"][0]["display_name"], NAME);
        let changes = run(&["changes", "--json", "--limit", "1"]);
        assert!(changes.json()["name"].is_string(), "{}", changes.told());
        let purged = run(&["purge", "--yes", status["accounts"][0]["spotify_id"].as_str().expect("an id")]);
        assert_eq!(purged.code, Some(0), "{}", purged.told());
        assert_seen(&purged);
    }
}

#[test]
fn a_name_is_text_in_the_log_of_a_service() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(30, 5, 5, 2, 5));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    database.execute(&format!("UPDATE accounts SET display_name = {}", quoted(NAME)));
    for format in ["human", "json"] {
        let log = database.folder.path().join("run.log");
        let segno = Segno::on(&database, &sandbox, &["--log-format", format, "run"]);
        let running = segno.conversing(&log).spawn();
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until("the account is named", || read().contains("kept current from here on"));
        running.signal("TERM");
        running.wait();
        let told = read();
        assert!(told.contains("evil") && !told.lines().any(|line| line.contains(is_unseen)), "{told}");
        assert!(told.lines().all(|line| line.starts_with("20") || line.starts_with('{')), "one line each: {told}");
    }
}
