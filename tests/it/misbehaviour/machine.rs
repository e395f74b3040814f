//! Two commands on one database: they share one limit and one pause, to the request.

use crate::support::{Backend, Database, Login, Running, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};

fn two_people(backend: Backend) -> (Database, Sandbox, Vec<String>) {
    let sizes = ["--tracks", "330", "--albums", "20", "--artists", "20", "--playlists", "4", "--playlist-items", "40"];
    let sandbox = Sandbox::start(&[&["--no-odd-rows", "--users", "2"], &sizes[..]].concat());
    let database = Database::new(backend);
    for user in [0, 1] {
        Login::complete(&database, &sandbox, user);
    }
    let users = sandbox.get("users").as_array().expect("users").clone();
    let ids = users.iter().map(|user| user["id"].as_str().expect("an id").to_owned()).collect();
    (database, sandbox, ids)
}

fn sync(database: &Database, sandbox: &Sandbox, account: &str, limit: &str) -> Running {
    let sync = Segno::on(database, sandbox, &["sync", "--account", account]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
    sync.env("SEGNO_RATE_LIMIT_REQUESTS", limit).env("SEGNO_RATE_LIMIT_WINDOW", "2s").spawn()
}

both! {
    /// Or the second is refused with the name of the first, and then runs alone.
    fn two_commands_for_two_accounts_share_one_limit(backend) {
        let (database, sandbox, ids) = two_people(backend);
        sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 2000 } }));
        // The requests of the sign-ins have left the window.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        sandbox.forget_requests();
        let both = ids.iter().map(|id| sync(&database, &sandbox, id, "12")).collect::<Vec<_>>();
        let ended = both.into_iter().map(Running::wait).collect::<Vec<_>>();
        let busiest = sandbox.stat("max_in_window");
        assert!(busiest <= 12, "{busiest} in two seconds: {}\n{}", ended[0].told(), ended[1].told());
        for (id, ended) in ids.iter().zip(ended) {
            if ended.code != Some(0) {
                assert!(ended.stderr.contains("segno sync (process "), "{}", ended.told());
                assert_eq!(sync(&database, &sandbox, id, "12").wait().code, Some(0));
            }
        }
        assert!(sandbox.stat("max_in_window") <= 12);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 660);
    }

    fn two_commands_for_two_accounts_share_one_pause(backend) {
        let (database, sandbox, ids) = two_people(backend);
        sandbox.configure(json!({ "latency_ms": 30 }));
        sandbox.rules(json!([{ "family": "*", "skip": 6, "times": 1, "do": { "kind": "rate_limited", "retry_after": "3" } }]));
        let both = ids.iter().map(|id| sync(&database, &sandbox, id, "100000")).collect::<Vec<_>>();
        let ended = both.into_iter().map(Running::wait).collect::<Vec<_>>();
        // Requests on their way when the pause was announced may still arrive, later if the machine is busier.
        let log = sandbox.get("log").as_array().expect("a log").clone();
        let at = |entry: &Value| entry["at_ms"].as_u64().expect("a time");
        let told_at = log.iter().find(|entry| entry["status"] == 429).map(at).expect("a refusal");
        let paused = told_at + 1000..told_at + 2950;
        let within: Vec<u64> = log.iter().map(at).filter(|at| paused.contains(at)).collect();
        assert!(within.is_empty(), "{within:?} after {told_at}: {}\n{}", ended[0].told(), ended[1].told());
        for (id, ended) in ids.iter().zip(ended) {
            if ended.code != Some(0) {
                assert!(ended.stderr.contains("segno sync (process "), "{}", ended.told());
                assert_eq!(sync(&database, &sandbox, id, "100000").wait().code, Some(0));
            }
        }
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 660);
    }

    fn a_sign_in_beside_a_service_keeps_to_its_limit(backend) {
        let (database, sandbox, _) = two_people(backend);
        sandbox.configure(json!({ "rate": { "max": 1000, "window_ms": 2000 } }));
        std::thread::sleep(std::time::Duration::from_millis(2100));
        sandbox.forget_requests();
        let run = Segno::on(&database, &sandbox, &["run"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
        let running = run.env("SEGNO_RATE_LIMIT_REQUESTS", "8").env("SEGNO_RATE_LIMIT_WINDOW", "2s").spawn();
        wait_until("the window is full", || sandbox.requests("*") >= 8);
        let login = Login::start_with(
            Segno::on(&database, &sandbox, &["login", "--json"])
                .env("SEGNO_RATE_LIMIT_REQUESTS", "8")
                .env("SEGNO_RATE_LIMIT_WINDOW", "2s"),
            &database,
        );
        login.agree(0);
        let ended = login.end();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        assert!(sandbox.stat("max_in_window") <= 8, "{}: {}", sandbox.stat("max_in_window"), ended.told());
        running.terminate();
        assert_eq!(running.wait().code, Some(0));
    }
}
