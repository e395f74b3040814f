//! Refusals that pass: of a valid token, of an endpoint that worked a minute ago, of the token endpoint itself. They
//! cost minutes, and neither the sign-in nor a row.

use super::{Service, Trial, always, by_offset, listings, refuse, times};
use crate::support::{Backend, Segno, both, side_by_side, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longest time until a request that was refused once is tried again.
const MINUTES_AT_MOST: i64 = 10;

/// What an endpoint may answer for a while although the request is permitted.
const PASSING: [&str; 9] = [
    "unauthorized",
    "premium",
    "not_registered",
    "forbidden",
    "google_forbidden",
    "google_bad_request",
    "bad_request",
    "not_found",
    "bad_gateway",
];

/// What the token endpoint may answer for a while.
const ODD_TOKENS: [&str; 8] = [
    "token_server_error",
    "google_forbidden",
    "page",
    "redirect",
    "too_many",
    "bad_gateway",
    "no_token",
    "google_bad_request",
];

impl Trial {
    fn sign_in_state(&self) -> Value {
        self.status()["accounts"][0]["sign_in"]["state"].clone()
    }

    fn assert_signed_in(&self, of: &str) {
        let state = self.sign_in_state();
        assert!(state == "valid" || state == "ends_soon", "{of}: {state}: {}", self.status());
    }

    /// A service at its ordinary pace, which begins with a run of everything.
    fn slow_service(&self, env: &[(&str, &str)]) -> Service {
        self.service_with(&[env, &[("SEGNO_FAULT_HASTE", "1")]].concat())
    }

    /// Minutes until each listing and the plays are read again, once all of that is planned.
    fn minutes_to_next(&self) -> BTreeMap<String, i64> {
        let planned = || -> BTreeMap<String, i64> {
            let account = &self.status()["accounts"][0];
            let entities = account["entities"].as_array().cloned().unwrap_or_default();
            let of = |entity: &Value| {
                Some((entity["entity_type"].as_str()?.to_owned(), minutes_until(&entity["next_run_at"])?))
            };
            let poll = minutes_until(&account["playback"]["next_poll_at"]).map(|minutes| ("plays".to_owned(), minutes));
            entities.iter().filter_map(of).chain(poll).collect()
        };
        wait_until("everything is planned", || planned().len() == listings().count() + 1);
        planned()
    }

    /// Whether a listing has failed recently.
    fn has_failed(&self, entity: &str) -> bool {
        self.database.count(&format!("sync_states WHERE entity_type = '{entity}' AND failed_at IS NOT NULL")) > 0
    }
}

fn minutes_until(moment: &Value) -> Option<i64> {
    let moment: chrono::DateTime<chrono::Utc> = moment.as_str()?.parse().expect("a time");
    Some((moment - chrono::Utc::now()).num_minutes())
}

both! {
    fn one_refusal_of_a_listing_costs_at_most_a_run(backend) {
        side_by_side(PASSING, |like| {
            let trial = Trial::of(backend, [60, 20, 20, 1, 20]);
            let rules: Vec<Value> = listings().map(|listing| times(listing.family, 1, refuse(like))).collect();
            trial.rules(json!(rules));
            let ended = trial.sync_safely();
            assert_ne!(ended.code, Some(4), "{like}: {}", ended.told());
            trial.assert_signed_in(like);
            trial.heal();
        });
    }

    fn refusals_everywhere_leave_the_sign_in_and_cost_minutes(backend) {
        side_by_side(["unauthorized", "premium", "not_found", "forbidden"], |like| {
            let trial = Trial::of(backend, [60, 20, 20, 2, 20]);
            trial.sync_well();
            trial.sandbox.edit(json!([{ "op": "add_tracks", "count": 3 }]));
            trial.rules(json!([{ "do": refuse(like) }]));
            let service = trial.slow_service(&[]);
            wait_until("the listings have failed", || by_offset().all(|listing| trial.has_failed(listing.name)));
            let mut minutes = trial.minutes_to_next();
            // Read today, and not asked for.
            minutes.remove("artists");
            assert!(minutes.values().all(|minutes| (0..=MINUTES_AT_MOST).contains(minutes)), "{like}: {minutes:?}");
            trial.assert_signed_in(like);
            let log = service.stop();
            assert!(!log.contains("sign in again"), "{like}: {log}");
            trial.heal();
        });
    }

    fn each_endpoint_may_be_refused_in_its_own_way_for_a_while(backend) {
        let trial = Trial::of(backend, [60, 20, 20, 2, 20]);
        let refused = [("tracks", "premium"), ("albums", "bad_request"), ("artists", "not_found"),
            ("playlists", "unauthorized"), ("player", "forbidden"), ("shows", "premium"), ("episodes", "bad_request"),
            ("audiobooks", "not_found")];
        trial.rules(json!(refused.map(|(family, like)| always(family, refuse(like)))));
        let service = trial.slow_service(&[]);
        wait_until("all have failed", || trial.database.has_tables() && listings().all(|listing| trial.has_failed(listing.name)));
        let minutes = trial.minutes_to_next();
        assert!(minutes.values().all(|minutes| (0..=MINUTES_AT_MOST).contains(minutes)), "{minutes:?}");
        trial.assert_signed_in("mixed");
        service.stop();
        trial.heal();
    }

    /// Not only with the next regular run.
    fn what_waits_for_a_second_look_is_read_again_soon(backend) {
        let trial = Trial::of(backend, [60, 20, 20, 2, 20]);
        trial.sync_well();
        trial.sandbox.edit(json!([
            { "op": "playlist_insert", "index": 0, "position": 3, "count": 2 },
            { "op": "remove_tracks", "offset": 0, "count": 60 },
        ]));
        trial.rules(json!([always("playlist_items", refuse("not_found"))]));
        let service = trial.slow_service(&[("SEGNO_SYNC_REMOVAL_WAIT", "2h")]);
        wait_until("the playlist is refused", || trial.sandbox.requests("playlist_items") >= 2);
        let minutes = trial.minutes_to_next();
        assert!((1..=MINUTES_AT_MOST).contains(&minutes["playlists"]), "a playlist was refused: {minutes:?}");
        assert!((115..=120).contains(&minutes["tracks"]), "a removal is held back: {minutes:?}");
        assert!(minutes["albums"] > 300, "as always: {minutes:?}");
        service.stop();
        trial.heal();
    }

    /// The page of a load balancer says nothing about the person: it is tried again, ever more rarely.
    fn a_few_seconds_of_html_cost_a_few_requests(backend) {
        side_by_side(["google_forbidden", "google_bad_request"], |like| {
            let trial = Trial::of(backend, [60, 20, 20, 2, 20]);
            trial.sync_well();
            trial.rules(json!([{ "for_ms": 4000, "do": refuse(like) }]));
            let ended = trial.sync();
            assert_ne!(ended.code, Some(4), "{like}: {}", ended.told());
            let refused = trial.sandbox.get("rules")["rules"][0]["applied"].as_u64();
            // Six for each entity type.
            let most = 6 * crate::support::NUM_ENTITY_TYPES;
            assert!(refused.is_some_and(|times| (1..=most).contains(&times)), "{like}: {refused:?} requests in 4 s");
            trial.assert_signed_in(like);
            trial.heal();
        });
    }

    /// Only an endpoint that is gone by its own message rests for a day.
    fn a_missing_permission_rests_and_the_others_go_on(backend) {
        let trial = Trial::of(backend, [60, 20, 20, 2, 20]);
        trial.rules(json!([always("albums", refuse("scope"))]));
        let service = trial.service();
        wait_until("the others are complete", || trial.database.num_complete() == crate::support::NUM_ENTITY_TYPES - 1);
        wait_until("albums have failed", || trial.has_failed("albums"));
        let tracks = trial.sandbox.requests("tracks");
        wait_until("tracks are looked at again", || trial.sandbox.requests("tracks") > tracks);
        assert!(trial.sandbox.requests("albums") <= 2);
        service.stop();
    }

    fn one_refusal_for_the_items_of_an_own_playlist_makes_nothing_unreadable(backend) {
        side_by_side(["not_found", "forbidden", "google_forbidden", "bad_request", "unauthorized", "premium"], |like| {
            for skip in [0, 1] {
                let trial = Trial::of_items(backend, 120);
                trial.sync_well();
                trial.sandbox.edit(json!([
                    { "op": "playlist_insert", "index": 0, "position": 3, "count": 2 },
                    { "op": "playlist_remove", "index": 0, "position": 70 },
                ]));
                trial.rules(json!([{ "family": "playlist_items", "skip": skip, "times": 1, "do": refuse(like) }]));
                let ended = trial.sync();
                assert_ne!(ended.code, Some(4), "{like}: {}", ended.told());
                assert!(trial.num_items() >= 120, "{like}: {}", ended.told());
                assert_eq!(trial.database.count("playlists WHERE items_readable"), 1, "{like}: {}", ended.told());
                trial.sandbox.assert_rules_applied();
                trial.heal();
                assert_eq!(trial.num_items_removed(), 1, "{like}");
            }
        });
    }

    fn an_own_playlist_that_is_refused_for_long_keeps_its_items(backend) {
        side_by_side(["not_found", "forbidden", "google_forbidden"], |like| {
            let trial = Trial::of(backend, [0, 0, 0, 2, 60]);
            trial.sync_well();
            trial.sandbox.edit(json!([{ "op": "playlist_insert", "index": 0, "position": 3, "count": 2 }]));
            trial.rules(json!([always("playlist_items", refuse(like))]));
            for _ in 0..2 {
                let ended = trial.sync_safely();
                assert_eq!(trial.num_items(), 120, "{like}: {}", ended.told());
            }
            assert!(!trial.notes().is_empty(), "{like}: it is said");
            trial.heal();
            assert_eq!(trial.num_items(), 122, "{like}");
        });
    }

    fn a_first_sync_whose_playlist_is_refused_once_is_made_up_for(backend) {
        side_by_side(["not_found", "forbidden", "google_bad_request"], |like| {
            let trial = Trial::of(backend, [0, 0, 0, 2, 60]);
            trial.rules(json!([times("playlist_items", 1, refuse(like))]));
            trial.sync_safely();
            trial.heal();
        });
    }

    fn a_token_endpoint_that_answers_oddly_is_an_outage_of_its_own(backend) {
        side_by_side(ODD_TOKENS, |like| {
            let trial = Trial::of(backend, [60, 20, 20, 1, 20]);
            trial.sync_well();
            trial.sandbox.configure(json!({ "expire_access_tokens": true }));
            let refusal = json!({ "kind": "refuse", "like": like, "retry_after": (like == "too_many").then_some("1") });
            trial.rules(json!([times("token", 1, refusal)]));
            let ended = trial.sync_safely();
            assert_ne!(ended.code, Some(4), "{like}: {}", ended.told());
            trial.assert_signed_in(like);
            let paused = trial.database.lines("SELECT family AS line FROM rate_limits WHERE blocked_until IS NOT NULL \
                AND family IN ('*', 'me', 'tracks', 'albums', 'artists', 'playlists', 'playlist_items', 'player')");
            assert!(paused.is_empty(), "{like}: {paused:?}: {}", ended.told());
            trial.heal();
        });
    }

    fn a_service_sits_out_a_token_endpoint_that_is_away(backend) {
        side_by_side(["token_server_error", "google_forbidden", "too_many"], |like| {
            let trial = Trial::of(backend, [60, 20, 20, 1, 20]);
            let service = trial.settled_service();
            trial.rules(json!([always("token", refuse(like))]));
            trial.sandbox.configure(json!({ "expire_access_tokens": true }));
            let before = trial.sandbox.get("stats")["token_requests"].as_u64().expect("a count");
            let asked = || trial.sandbox.get("stats")["token_requests"].as_u64().expect("a count") - before;
            wait_until("a token was asked for", || asked() >= 1);
            std::thread::sleep(std::time::Duration::from_secs(3));
            assert!(asked() <= 12, "{like}: {} times in three seconds", asked());
            trial.assert_signed_in(like);
            let families = trial.database.lines("SELECT family AS line FROM rate_limits WHERE blocked_until IS NOT NULL \
                AND family IN ('*', 'me', 'tracks', 'albums', 'artists', 'playlists', 'playlist_items', 'player')");
            assert!(families.is_empty(), "{like}: {families:?}");
            let log = service.stop();
            assert!(!log.contains("sign in again"), "{like}: {log}");
            trial.heal();
        });
    }

    fn an_end_of_the_sign_in_that_is_not_true_is_asked_about_again(backend) {
        let trial = Trial::of(backend, [60, 20, 20, 1, 20]);
        let service = trial.settled_service();
        trial.rules(json!([times("token", 1, refuse("invalid_grant"))]));
        trial.sandbox.configure(json!({ "expire_access_tokens": true }));
        wait_until("the lie is told", || trial.sandbox.get("rules")["rules"][0]["applied"] == 1);
        std::thread::sleep(std::time::Duration::from_secs(2));
        trial.assert_signed_in("invalid_grant");
        let log = service.stop();
        assert!(!log.contains("sign in again"), "{log}");
        trial.sandbox.edit(json!([{ "op": "add_tracks", "count": 2 }]));
        trial.database.end_cooldowns();
        let sync = Segno::on(&trial.database, &trial.sandbox, &["sync"]).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
        let ended = sync.succeed();
        trial.sandbox.library().assert_held_by(&trial.database);
        assert_eq!(ended.code, Some(0));
    }

    /// While nothing at all is answered properly, no page is halved, and the waits grow.
    fn nothing_but_garbage_is_met_with_patience(backend) {
        // Half a minute each, so one on each database.
        let action = match backend {
            Backend::Sqlite => refuse("bad_gateway"),
            Backend::Postgres => json!({ "kind": "cut", "bytes": 700 }),
        };
        let trial = Trial::of(backend, [230, 60, 20, 1, 20]);
        trial.rules(json!([{ "skip": 6, "do": action }]));
        let ended = trial.sync();
        trial.sandbox.assert_rules_applied();
        let limits = trial.sandbox.log().iter().filter_map(|asked| asked.parameter("limit").map(str::to_owned)).collect::<Vec<_>>();
        assert!(limits.iter().all(|limit| limit == "50"), "{limits:?}: {}", ended.told());
        let log = trial.sandbox.get("log").as_array().expect("a log").clone();
        let arrivals: Vec<u64> = log.iter().filter_map(|entry| entry["at_ms"].as_u64()).collect();
        let last = arrivals.last().copied().unwrap_or(0);
        let late = arrivals.iter().filter(|at| **at + 5_000 > last).count();
        assert!(ended.took.as_secs() < 12 || late <= 8, "{late} in the last five seconds: {arrivals:?}");
        // Some seven tries of each page that was under way, over half a minute; a busy machine takes longer for them.
        let most = 50 + ended.took.as_secs().saturating_sub(35);
        assert!(arrivals.len() as u64 <= most, "{} requests: {arrivals:?}", arrivals.len());
        trial.assert_nothing_lost(&ended);
        trial.heal();
    }

    fn no_play_that_was_shown_is_lost_to_a_refusal(backend) {
        side_by_side(["unauthorized", "forbidden", "google_forbidden", "not_found"], |like| {
            let trial = Trial::of(backend, [60, 5, 5, 1, 5]);
            let service = trial.settled_service();
            wait_until("the plays are there", || trial.database.count("plays") == 50);
            trial.rules(json!([times("player", 2, refuse(like))]));
            wait_until("it is refused", || trial.sandbox.get("rules")["rules"][0]["applied"].as_u64() >= Some(1));
            trial.sandbox.edit(json!([{ "op": "play", "count": 7 }]));
            wait_until("the new plays are there", || trial.database.count("plays") == 57);
            service.stop();
        });
    }
}
