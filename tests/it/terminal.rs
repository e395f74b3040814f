//! What a person sees on a terminal: `script` provides one for the real binary.

use super::support::{Backend, Database, Sandbox, Segno, needs};
use std::fs;

/// Gives a program a terminal; part of util-linux.
const TERMINAL: &str = "script";

const COLUMNS: usize = 80;

/// The lines that were drawn, over each other and over time, without the control sequences. A line as wide as the
/// terminal ends without a line break.
fn drawn(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // A control sequence ends with its first letter.
            '\u{1b}' => {
                let _ = letters.find(char::is_ascii_alphabetic);
            }
            '\r' | '\n' => lines.push(String::new()),
            letter => {
                if lines.last().is_some_and(|line| line.chars().count() == COLUMNS) {
                    lines.push(String::new());
                }
                lines.last_mut().expect("there is one").push(letter);
            }
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn on_a_terminal_bars_and_the_wait_are_drawn_and_stdout_stays_clean() {
    if !needs::has(TERMINAL) {
        return;
    }
    let database = Database::new(Backend::Sqlite);
    let sandbox = Sandbox::start(&["--tracks", "1200", "--latency", "60ms", "--rate", "25", "--window", "3s"]);
    let result = database.folder.path().join("result.json");
    let inner = format!("stty cols {COLUMNS} rows 40; exec \"$@\" > {}", result.display());
    // `script` takes a command line for the shell; this one passes the words on.
    let script = format!("printf -v line '%q ' bash -c '{inner}' bash \"$@\"; exec script -qec \"$line\" /dev/null");
    let segno =
        Segno::on(&database, &sandbox, &["sync", "--json"]).env("TERM", "xterm-256color").env("SHELL", "/bin/bash");
    let ended = segno.through(&script).succeed();

    let lines = drawn(&ended.stdout);
    let has = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        assert!(lines.iter().any(|line| is_it(line)), "no {what} in:\n{}", lines.join("\n"));
    };
    for entity in ["tracks", "artists", "albums", "playlists"] {
        has(&format!("bar of {entity}"), &|line| line.starts_with(entity) && line.contains('─'));
        has(&format!("end of {entity}"), &|line| line.starts_with(entity) && line.contains("━━ complete: "));
    }
    has("count and total", &|line| line.starts_with("tracks ") && line.contains(" / 1,200"));
    has("rate and time left", &|line| line.starts_with("tracks ") && line.contains("/s  eta "));
    has("playlist", &|line| line.starts_with("playlists ") && line.contains(" playlist ") && line.contains("/23"));
    has("wait", &|line| line.starts_with("waiting ") && line.contains(" s: rate limit, resumes "));
    let beginnings = [
        "shows ",
        "episodes ",
        "audiobooks ",
        "tracks ",
        "artists ",
        "albums ",
        "playlists ",
        "waiting ",
        "spreading requests",
        "signing in",
    ];
    for line in &lines {
        assert!(beginnings.iter().any(|begins| line.starts_with(begins)), "wrapped, or not ours: {line}");
    }
    ended.assert_calm();

    let result = fs::read_to_string(result).expect("stdout");
    let report: serde_json::Value = serde_json::from_str(&result).unwrap_or_else(|error| panic!("{error}: {result}"));
    assert_eq!(report["entities"][0]["state"], "complete");
    sandbox.library().assert_held_by(&database);
}

#[test]
fn a_terminal_that_cannot_draw_gets_plain_lines() {
    if !needs::has(TERMINAL) {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 5, 5, 2, 10));
    let script = "printf -v line '%q ' \"$@\"; exec script -qec \"$line\" /dev/null";
    for (term, args) in [("dumb", &["sync"][..]), ("xterm", &["sync", "--log-format", "json"])] {
        let ended =
            Segno::on(&database, &sandbox, args).env("TERM", term).env("SHELL", "/bin/bash").through(script).succeed();
        assert!(!ended.stdout.contains('\u{1b}') && !ended.stdout.contains('━'), "{}", ended.told());
        assert!(ended.stdout.contains("tracks     complete: "), "{}", ended.told());
    }
}

#[test]
fn a_service_without_an_account_signs_the_person_in_first() {
    if !needs::has(TERMINAL) {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let segno = Segno::on(&database, &sandbox, &["run"])
        .without_env("SEGNO_SPOTIFY_REFRESH_TOKEN")
        .env("SEGNO_LOGIN_TIMEOUT", "1s")
        .env("SHELL", "/bin/bash");
    let ended = segno.through("printf -v line '%q ' \"$@\"; exec script -qec \"$line\" /dev/null").run();
    assert_eq!(ended.code, Some(4), "nobody answers: {}", ended.told());
    assert!(ended.stdout.contains("nobody is signed in yet, so that comes first"), "{}", ended.told());
    assert!(ended.stdout.contains("/authorize?"), "{}", ended.told());
    ended.assert_calm();
}

#[test]
fn a_sign_in_without_an_application_asks_for_one_and_keeps_it() {
    if !needs::has(TERMINAL) {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let home = database.folder.path().join("home");
    fs::create_dir(&home).expect("a folder");
    let login = |answers: &str| {
        let script = format!(
            "printf -v line '%q ' \"$@\"; (printf '{answers}'; sleep 4) | exec script -qec \"$line\" /dev/null"
        );
        let segno = Segno::on(&database, &sandbox, &["login"]);
        let segno = segno.without_env("SEGNO_SPOTIFY_CLIENT_ID").env("SEGNO_LOGIN_TIMEOUT", "1s");
        let segno = segno.env("SHELL", "/bin/bash").env("HOME", home.to_str().expect("UTF-8"));
        segno.without_env("XDG_CONFIG_HOME").through(&script).run()
    };
    let file = home.join(".config/segno/segno.toml");

    let ended = login("\\n");
    assert!(ended.stdout.contains("developer.spotify.com/dashboard"), "{}", ended.told());
    assert!(ended.stdout.contains("no client ID was given"), "{}", ended.told());
    assert!(!file.exists());

    let ended = login("my app\\n9BA6080CC28D045635147E56048F1703\\n");
    assert!(ended.stdout.contains("that is no client ID"), "{}", ended.told());
    assert!(ended.stdout.contains("client_id=9ba6080cc28d045635147e56048f1703"), "{}", ended.told());
    let text = fs::read_to_string(&file).expect("it is kept");
    assert_eq!(text, "[spotify]\nclient_id = \"9ba6080cc28d045635147e56048f1703\"\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }

    let ended = login("");
    assert!(!ended.stdout.contains("developer.spotify.com"), "it is asked for once: {}", ended.told());
    ended.assert_calm();
}
