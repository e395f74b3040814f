//! Tokens and passwords are in the database and nowhere else: not in a log at any level, not in a message, not on a
//! command line, and the files that contain them are readable by their owner alone (G10).

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, side_by_side, wait_until};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt, path::Path};

/// Everything, and then the libraries by name, which are limited otherwise.
const LOUD: [&str; 2] = [
    "trace",
    "trace,actix=trace,deadpool=trace,diesel=trace,h2=trace,hyper=trace,mio=trace,reqwest=trace,rustls=trace,\
     tokio_postgres=trace,want=trace",
];

fn library() -> Sandbox {
    Sandbox::exact(260, 60, 60, 3, 60)
}

/// Every token known to the sandbox or the database.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn learn(&mut self, database: &Database, sandbox: &Sandbox) {
        self.0.push(sandbox.env["SEGNO_SPOTIFY_REFRESH_TOKEN"].clone());
        self.0.extend(database.lines("SELECT refresh_token AS line FROM account_tokens"));
        self.0.extend(database.lines("SELECT access_token AS line FROM account_tokens WHERE access_token IS NOT NULL"));
        self.0.sort();
        self.0.dedup();
        assert!(self.0.iter().all(|secret| secret.len() > 20), "tokens are long");
    }

    fn assert_none_in(&self, ended: &Ended) {
        for secret in &self.0 {
            // As text, and as libraries print what they send.
            let bytes = format!("{:?}", secret.as_bytes());
            let bytes = bytes.trim_matches(['[', ']']);
            for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
                let found = text.lines().find(|line| line.contains(secret.as_str()) || line.contains(bytes));
                assert_eq!(found, None, "a token on {stream}");
            }
        }
    }
}

both! {
    fn no_log_and_no_message_holds_a_token(backend) {
        side_by_side([(LOUD[0], "human"), (LOUD[0], "json"), (LOUD[1], "human")], |(filter, format)| {
            let (database, sandbox) = (Database::new(backend), library());
            sandbox.configure(json!({ "rotate_refresh_token": true }));
            let run = |args: &[&str]| {
                let args = [&["--log-format", format], args].concat();
                Segno::on(&database, &sandbox, &args).env("SEGNO_LOG", filter).run()
            };
            let (mut secrets, mut told) = (Secrets::default(), Vec::new());
            // Signs in; meets an expired token; is refused in words that repeat the token; may not sign in again.
            told.push(run(&["sync", "--json"]));
            secrets.learn(&database, &sandbox);
            sandbox.configure(json!({ "expire_access_tokens": true }));
            told.push(run(&["sync"]));
            secrets.learn(&database, &sandbox);
            let access = database.lines("SELECT access_token AS line FROM account_tokens")[0].clone();
            let refresh = database.lines("SELECT refresh_token AS line FROM account_tokens")[0].clone();
            let answer = |status: u16, body: String| json!({ "kind": "status", "status": status, "body": body });
            sandbox.rules(json!([
                { "family": "tracks", "do": answer(400, json!({ "error": { "message": format!("bad token {access}!") } }).to_string()) },
                { "family": "albums", "do": answer(403, format!("go away with your Bearer {access}")) },
                { "family": "artists", "do": answer(404, format!("<p>{access}</p>")) },
            ]));
            told.push(run(&["sync"]));
            sandbox.rules(json!([{ "family": "token", "do":
                answer(400, json!({ "error": "invalid_grant", "error_description": format!("{refresh} is void") }).to_string()) }]));
            sandbox.configure(json!({ "expire_access_tokens": true }));
            told.push(run(&["sync"]));
            database.end_cooldowns();
            told.push(run(&["sync"]));
            told.push(run(&["status"]));
            told.push(run(&["status", "--json"]));
            secrets.learn(&database, &sandbox);

            assert_eq!(told.iter().map(|ended| ended.code).collect::<Vec<_>>(), [0, 0, 1, 1, 4, 0, 0].map(Some));
            assert!(secrets.0.len() >= 4, "two of each kind");
            assert!(told[0].stderr.contains("TRACE") && told[0].stderr.len() > 4_000, "the log is loud: {}", told[0].told());
            told.iter().for_each(|ended| secrets.assert_none_in(ended));
        });
    }
}

both! {
    fn no_command_tells_a_token_however_loud_the_log_is(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let run = |args: &[&str]| Segno::on(&database, &sandbox, args).env("SEGNO_LOG", LOUD[1]).run();
        let (mut secrets, mut told) = (Secrets::default(), vec![run(&["sync"])]);
        secrets.learn(&database, &sandbox);
        let id = database.lines("SELECT spotify_id AS line FROM accounts")[0].clone();
        let service = Segno::on(&database, &sandbox, &["run"]).env("SEGNO_LOG", LOUD[1]).through("timeout -s TERM 3 \"$@\"");
        told.push(service.run());
        for args in [&["verify"][..], &["status"], &["changes"], &["reset", "--all"], &["sync", "--json"]] {
            told.push(run(args));
        }
        secrets.learn(&database, &sandbox);
        told.extend([run(&["logout"]), run(&["sync"])]);
        secrets.learn(&database, &sandbox);
        told.push(run(&["purge", "--yes", &id]));
        let failed: Vec<_> = told.iter().filter(|ended| !matches!(ended.code, Some(0 | 124))).map(Ended::told).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(told[0].stderr.contains("TRACE"), "it is loud");
        told.iter().for_each(|ended| secrets.assert_none_in(ended));
    }
}

#[test]
fn a_password_of_the_database_is_not_told() {
    let sandbox = library();
    let home = tempfile::tempdir().expect("a folder");
    for url in [
        "postgres://me:hunter2secret@127.0.0.1:1/db",
        "postgres://me:hunter2secret@/db",
        "mysql://me:hunter2secret@h/d",
    ] {
        for command in ["sync", "status"] {
            let mut segno =
                Segno::new(home.path(), &[command]).env("SEGNO_LOG", "trace").env("SEGNO_DATABASE_URL", url);
            for (name, value) in &sandbox.env {
                segno = segno.env(name, value);
            }
            let ended = segno.run();
            assert_ne!(ended.code, Some(0), "{}", ended.told());
            assert!(!ended.told().contains("hunter2secret"), "{}", ended.told());
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[test]
fn files_and_command_lines_are_nobody_elses() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), library());
    sandbox.configure(json!({ "latency_ms": 100 }));
    let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
    wait_until("a batch is committed", || database.num_batches() >= 1);
    for suffix in ["", "-wal", "-shm"] {
        let path = database.file().display().to_string() + suffix;
        assert_eq!(mode(Path::new(&path)), 0o600, "{path}");
    }
    let command_line = std::fs::read(format!("/proc/{}/cmdline", running.pid())).expect("it runs");
    let mut secrets = Secrets::default();
    secrets.learn(&database, &sandbox);
    let command_line = String::from_utf8_lossy(&command_line).into_owned();
    assert!(command_line.contains("sync"), "{command_line}");
    assert!(secrets.0.iter().all(|secret| !command_line.contains(secret.as_str())));
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(mode(&database.file()), 0o600);
}

/// The demo's file too, and the folder created for the default one.
#[test]
fn the_default_database_is_its_owners_alone() {
    let (home, sandbox) = (tempfile::tempdir().expect("a folder"), library());
    let mut segno = Segno::new(home.path(), &["sync", "artists"]);
    for (name, value) in &sandbox.env {
        segno = segno.env(name, value);
    }
    segno.succeed();
    let file = home.path().join(".local/share/segno/segno.db");
    assert_eq!(mode(&file), 0o600);
}
