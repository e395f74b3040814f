//! A family paused by a limit is left alone: no process sends it a single request until the pause is over, and then the
//! sync carries on.

use super::support::{Backend, Database, Sandbox, Segno, both, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

both! {
    fn resume_after_rate_limit(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 60, 60, 4, 60));
        sandbox.rules(json!([{ "family": "tracks", "skip": 6, "times": 1,
            "do": { "kind": "rate_limited", "retry_after": "8" } }]));
        let sync = ["sync", "--json", "--max-wait", "1s"];

        let ended = Segno::on(&database, &sandbox, &sync).run();
        assert_eq!(ended.code, Some(3), "{}", ended.told());
        let until = time(&ended.entity("tracks")["resume_at"]);
        assert_eq!(ended.entity("tracks")["state"], "paused", "{}", ended.told());
        assert_eq!(sandbox.stat("early"), 0, "what waited was not sent");
        let status = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        assert_eq!(status["limits"].as_array().map(Vec::len), Some(1), "{status}");
        assert_eq!((&status["limits"][0]["family"], &status["limits"][0]["class"]), (&json!("*"), &json!("rate")));
        assert_eq!(time(&status["limits"][0]["blocked_until"]), until);
        let entities = status["accounts"][0]["entities"].as_array().expect("entities");
        let tracks = entities.iter().find(|entity| entity["entity_type"] == "tracks").expect("tracks");
        assert_eq!((&tracks["state"], time(&tracks["resume_at"])), (&json!("paused"), until), "{status}");
        let place = tracks["offset"].as_u64().expect("an offset");
        assert!(place > 0 && place < 730, "{status}");

        // While the pause lasts, trying costs nothing: not one request is sent.
        let sent = sandbox.get("stats");
        let again = Segno::on(&database, &sandbox, &["sync", "--max-wait", "0s"]).run();
        assert_eq!(again.code, Some(3), "{}", again.told());
        assert!(again.stdout.contains("paused by the rate limit until"), "{}", again.told());
        assert!(again.stdout.contains("running again then carries on"), "{}", again.told());
        assert!(chrono::Utc::now() < until, "the machine is too slow for this test");
        assert_eq!(sandbox.get("stats"), sent);

        wait_until("the pause is over", || chrono::Utc::now() > until);
        let ended = Segno::on(&database, &sandbox, &sync).succeed();
        assert_eq!(ended.entity("tracks")["resumed_from"].as_u64(), Some(place));
        assert_eq!((sandbox.stat("early"), sandbox.stat("refused")), (0, 1 + sandbox.stat("crossed")));
        let status = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
        assert_eq!(status["limits"], json!([]));
        assert_eq!(database.count("sync_states WHERE rate_limit_reset_at IS NOT NULL"), 0);
        sandbox.library().assert_held_by(&database);
    }

    fn a_short_pause_is_sat_out(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 60, 60, 4, 60));
        sandbox.rules(json!([{ "family": "albums", "skip": 1, "times": 1,
            "do": { "kind": "rate_limited", "retry_after": "2" } }]));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.assert_rules_applied();
        assert!(ended.took >= Duration::from_secs(2), "{}", ended.told());
        assert!(ended.stderr.contains("rate limit"), "it says what it waits for: {}", ended.told());
        assert_eq!((sandbox.stat("early"), sandbox.stat("refused")), (0, 1 + sandbox.stat("crossed")));
        sandbox.library().assert_held_by(&database);
    }

    fn a_quota_stops_its_family_only(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(730, 60, 60, 4, 60));
        sandbox.rules(json!([{ "family": "tracks", "skip": 5, "times": 1,
            "do": { "kind": "quota", "retry_after": "49861" } }]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!(ended.code, Some(3), "{}", ended.told());
        assert!(ended.took < Duration::from_secs(20), "{}", ended.told());
        for entity in ["artists", "albums", "playlists"] {
            assert_eq!(ended.entity(entity)["state"], "complete", "{}", ended.told());
        }
        let hours = (time(&ended.entity("tracks")["resume_at"]) - chrono::Utc::now()).num_hours();
        assert_eq!((&ended.entity("tracks")["state"], hours), (&json!("paused"), 13), "{}", ended.told());
        sandbox.forget_requests();
        let again = Segno::on(&database, &sandbox, &["sync", "--json"]).run();
        assert_eq!((again.code, sandbox.requests("tracks"), sandbox.stat("early")), (Some(3), 0, 0), "{}", again.told());
        assert_eq!(again.entity("albums")["state"], "complete", "{}", again.told());
    }
}

fn time(value: &Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}
