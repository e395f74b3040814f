//! Drives a running sandbox over HTTP, as its users do.

mod misbehaving;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Config, Dialect, LibrarySpec, Limits, Sandbox};

#[test]
fn paging_through_everything_gives_the_truth() {
    run(small(), async |rig| {
        let truth = rig.state().await;
        let tracks = rig.walk("/me/tracks", 25).await;
        assert_eq!(tracks.len(), 120);
        let ids = |rows: &[Value], path: &str| rows.iter().map(|row| row.pointer(path).cloned()).collect::<Vec<_>>();
        let expected = truth["tracks"].as_array().expect("a list");
        assert_eq!(ids(&tracks, "/track/id"), ids(expected, "/id"));
        assert_eq!(ids(&tracks, "/added_at"), ids(expected, "/added_at"));
        let albums = rig.walk("/me/albums", 50).await;
        assert_eq!(ids(&albums, "/album/id"), ids(truth["albums"].as_array().expect("a list"), "/id"));
        let playlists = rig.walk("/me/playlists", 2).await;
        assert_eq!(
            ids(&playlists, "/snapshot_id"),
            ids(truth["playlists"].as_array().expect("a list"), "/snapshot_id")
        );
        let id = playlists[1]["id"].as_str().expect("an id");
        let items = rig.walk(&format!("/playlists/{id}/items"), 50).await;
        let expected = truth["playlists"][1]["items"].as_array().expect("a list");
        assert_eq!(ids(&items, "/item/uri"), ids(expected, "/uri"));
        assert_eq!(items.len(), 12);
    });
}

#[test]
fn the_cursor_leads_through_all_followed_artists_and_offsets_do_not() {
    run(small(), async |rig| {
        let (mut ids, mut after) = (Vec::new(), None::<String>);
        loop {
            let cursor = after.map_or_else(String::new, |after| format!("&after={after}"));
            let page = rig.json(&format!("/me/following?type=artist&limit=7&offset=7{cursor}")).await;
            let page = &page["artists"];
            assert_eq!(page["total"], 20);
            ids.extend(page["items"].as_array().expect("rows").iter().map(|artist| artist["id"].clone()));
            match page["cursors"]["after"].as_str() {
                Some(cursor) => after = Some(cursor.to_owned()),
                None => break,
            }
        }
        let truth = rig.state().await;
        let expected: Vec<Value> =
            truth["artists"].as_array().expect("a list").iter().map(|artist| artist["id"].clone()).collect();
        assert_eq!(ids, expected);
        assert_eq!(rig.get("/me/following").await.status(), 400);
    });
}

#[test]
fn next_never_points_back_at_the_sandbox() {
    run(small(), async |rig| {
        let page = rig.json("/me/tracks?limit=50&offset=50").await;
        assert_eq!(page["next"], "https://api.spotify.com/v1/me/tracks?offset=100&limit=50");
        assert_eq!(page["previous"], "https://api.spotify.com/v1/me/tracks?offset=0&limit=50");
    });
}

#[test]
fn a_request_without_a_live_token_is_turned_away() {
    let config = Config { access_token_ttl: Duration::from_millis(40), ..small() };
    run(config, async |rig| {
        let answer = rig.client.get(rig.api("/me")).send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert!(answer.headers()["www-authenticate"].to_str().is_ok_and(|value| value.contains("missing_token")));
        assert_eq!(message(answer).await, "No token provided");
        let answer = rig.client.get(rig.api("/me")).bearer_auth("made-up").send().await.expect("an answer");
        assert_eq!(message(answer).await, "Invalid access token");
        while rig.get("/me").await.status() == 200 {
            tokio::task::yield_now().await;
        }
        let answer = rig.get("/me").await;
        assert_eq!(message(answer).await, "The access token expired");
    });
}

#[test]
fn signing_in_with_pkce_gives_tokens_that_work() {
    run(small(), async |rig| {
        let verifier = "v".repeat(64);
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let redirect = "http://127.0.0.1:4/callback";
        let consent = |extra: &str| {
            format!(
                "{}/authorize?client_id={}&response_type=code&redirect_uri={redirect}&state=s1\
                 &scope=user-library-read&code_challenge_method=S256&code_challenge={challenge}{extra}",
                rig.sandbox.accounts_url(),
                rig.sandbox.client_id()
            )
        };
        let page = rig.client.get(consent("")).send().await.expect("an answer");
        assert_eq!(page.status(), 200);
        assert!(page.text().await.expect("a page").contains("sandbox_user=0"));
        let answer = rig.client.get(consent("&sandbox_deny=1")).send().await.expect("an answer");
        assert_eq!(answer.headers()["location"], "http://127.0.0.1:4/callback?error=access_denied&state=s1");
        let answer = rig.client.get(consent("&sandbox_user=0")).send().await.expect("an answer");
        assert_eq!(answer.status(), 302);
        let location = Url::parse(answer.headers()["location"].to_str().expect("text")).expect("a URL");
        let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", rig.sandbox.client_id()),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", &verifier),
        ];
        let tokens = body(rig.token(&form).await).await;
        assert!(tokens["refresh_token"].is_string());
        let token = tokens["access_token"].as_str().expect("a token");
        let get = |path: &str| rig.client.get(rig.api(path)).bearer_auth(token).send();
        assert_eq!(get("/me/tracks").await.expect("an answer").status(), 200);
        let answer = get("/me/playlists").await.expect("an answer");
        assert_eq!(message(answer).await, "Insufficient client scope");
        assert_eq!(body(rig.token(&form).await).await["error"], "invalid_grant");
        let answer = rig.token(&[("grant_type", "password")]).await;
        assert_eq!(
            (answer.status().as_u16(), body(answer).await["error"].clone()),
            (400, json!("unsupported_grant_type"))
        );
    });
}

#[test]
fn over_the_limit_everything_waits_and_the_impatient_are_counted() {
    run(Config { limits: Limits::rate(3, Duration::from_secs(60)), ..small() }, async |rig| {
        for _ in 0..3 {
            assert_eq!(rig.get("/me").await.status(), 200);
        }
        let answer = rig.get("/me/tracks").await;
        assert_eq!(answer.status(), 429);
        assert!((50..=60).contains(&retry_after(&answer)));
        assert_eq!(message(answer).await, "API rate limit exceeded");
        tokio::time::sleep(super::limits::CROSSING_GRACE).await;
        assert_eq!(rig.get("/me/albums").await.status(), 429);
        let stats = rig.sandbox.stats();
        assert_eq!((stats.requests, stats.refused, stats.early, stats.max_in_window), (5, 2, 1, 5));
        assert_eq!((stats.token_refreshes, stats.window_ms), (1, 60_000));
        rig.control("config", json!({"rate": null})).await;
        assert_eq!(rig.get("/me/albums").await.status(), 200);
    });
}

#[test]
fn an_exhausted_quota_shuts_its_family_alone() {
    run(Config { limits: Limits::default().with_quota("tracks", 1), ..small() }, async |rig| {
        assert_eq!(rig.get("/me/tracks").await.status(), 200);
        let answer = rig.get("/me/tracks").await;
        assert_eq!((answer.status().as_u16(), retry_after(&answer)), (429, 49_861));
        assert_eq!(body(answer).await["error"]["reason"], "QUOTA_EXCEEDED");
        assert_eq!(rig.get("/me/albums").await.status(), 200);
        rig.control("config", json!({"clear_limits": true})).await;
        assert_eq!(rig.get("/me/tracks").await.status(), 200);
    });
}

#[test]
fn removed_endpoints_are_forbidden_and_unknown_ones_are_not_there() {
    run(small(), async |rig| {
        assert_eq!(message(rig.get("/tracks?ids=a,b").await).await, "Forbidden");
        assert_eq!(rig.get("/nonsense").await.status(), 404);
        assert_eq!(rig.get("/me/player/currently-playing").await.status(), 204);
        let answer = rig.client.put(rig.api("/me/tracks")).bearer_auth(&rig.token).send().await.expect("an answer");
        assert_eq!(answer.status(), 405);
        rig.control("config", json!({"dialect": "legacy"})).await;
        assert!(rig.json("/me").await["product"].is_string());
    });
}

#[test]
fn canned_answers_come_whole_and_begin_a_pause_where_they_say_so() {
    run(small(), async |rig| {
        rig.rules(json!([{"family": "tracks", "skip": 1, "times": 1, "do": {
            "kind": "status", "status": 503, "body": "<html>no</html>", "content_type": "text/html",
            "headers": {"Retry-After": "7"}
        }}]))
        .await;
        assert_eq!(rig.get("/me/tracks").await.status(), 200);
        let answer = rig.get("/me/tracks").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (503, &"text/html".parse().expect("a value"))
        );
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.text().await.expect("text"), "<html>no</html>");
        assert_eq!(rig.get("/me/tracks").await.status(), 200);
        let stats = rig.sandbox.stats();
        assert_eq!(stats.early + stats.crossed, 1);

        rig.rules(json!([{"times": 1, "do": {"kind": "rate_limited", "retry_after": "30"}}])).await;
        assert_eq!(rig.get("/me").await.status(), 429);
        assert!((20..=30).contains(&retry_after(&rig.get("/me").await)));
        rig.rules(json!([{"family": "me", "do": {"kind": "quota", "retry_after": null}}])).await;
        let answer = rig.get("/me").await;
        assert!(answer.headers().get("retry-after").is_none());
        assert_eq!(body(answer).await["error"]["reason"], "QUOTA_EXCEEDED");
        rig.rules(json!([])).await;
        assert_eq!(rig.get("/me").await.status(), 200);
    });
}

#[test]
fn broken_answers_break_in_their_own_ways() {
    run(small(), async |rig| {
        rig.rules(json!([{"do": {"kind": "cut", "bytes": 100}}])).await;
        let answer = rig.get("/me/tracks").await;
        assert!(answer.content_length().is_some_and(|length| length > 10_000));
        assert!(answer.bytes().await.is_err());

        rig.rules(json!([{"do": {"kind": "truncate", "bytes": 100}}])).await;
        let text = rig.get("/me/tracks").await.text().await.expect("it is whole");
        assert_eq!(text.len(), 100);
        assert!(serde_json::from_str::<Value>(&text).is_err());

        rig.rules(json!([{"do": {"kind": "hang"}}])).await;
        let has_arrived = async {
            while !rig.sandbox.stats().by_status.contains_key(&0) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = rig.get("/me/tracks") => panic!("it was answered"),
            () = has_arrived => {}
        }

        rig.rules(json!([{"do": {"kind": "unauthorized"}}])).await;
        assert_eq!(message(rig.get("/me").await).await, "The access token expired");

        rig.rules(json!([{"do": {"kind": "forbidden", "body": "Active premium subscription required"}}])).await;
        let answer = rig.get("/me").await;
        assert_eq!(answer.status(), 403);
        assert!(answer.headers()["content-type"].to_str().is_ok_and(|value| value.starts_with("text/plain")));

        rig.rules(json!([{"do": {"kind": "delay", "ms": 60}}])).await;
        let before = Instant::now();
        assert_eq!(rig.get("/me").await.status(), 200);
        assert!(before.elapsed() >= Duration::from_millis(60));
    });
}

#[test]
fn answers_can_be_made_untrue() {
    run(small(), async |rig| {
        rig.rules(json!([{"times": 1, "do": {"kind": "lie_total", "delta": -3}}])).await;
        assert_eq!(rig.json("/me/tracks").await["total"], 117);
        assert_eq!(rig.json("/me/tracks").await["total"], 120);
        rig.rules(json!([{"do": {"kind": "drop_fields", "fields": ["track.name", "external_ids"]}}])).await;
        let page = rig.json("/me/tracks").await;
        assert!(
            page["items"][0]["track"].get("name").is_none() && page["items"][0]["track"]["album"]["name"].is_string()
        );
        rig.rules(json!([{"do": {"kind": "replace_row", "index": 1, "with": {"odd": [1]}}}])).await;
        assert_eq!(rig.json("/me/tracks").await["items"][1], json!({"odd": [1]}));
    });
}

#[test]
fn edits_strike_in_the_middle_of_a_walk() {
    run(small(), async |rig| {
        let edit = |when: &str| {
            json!([{"offset_from": 50, "offset_to": 51, "times": 1, "do": {
                "kind": "edit", "when": when, "edits": [{"op": "remove_tracks", "offset": 0, "count": 10}]
            }}])
        };
        rig.rules(edit("before")).await;
        assert_eq!(rig.json("/me/tracks?limit=50").await["total"], 120);
        assert_eq!(rig.json("/me/tracks?limit=50&offset=50").await["total"], 110);
        rig.rules(edit("after")).await;
        assert_eq!(rig.json("/me/tracks?limit=50&offset=50").await["total"], 110);
        assert_eq!(rig.json("/me/tracks?limit=50&offset=50").await["total"], 100);
        assert_eq!(rig.counts().await, json!([{"matched": 1, "applied": 1}]));
        rig.rules(json!([{"times": 1, "do": {"kind": "edit", "edits": [{"op": "unfollow", "index": 900}]}}])).await;
        assert_eq!(rig.get("/me").await.status(), 200);
        assert_eq!(rig.sandbox.stats().failed_edits, 1);
    });
}

#[test]
fn the_control_api_edits_and_says_what_it_did() {
    run(small(), async |rig| {
        let answer = rig.control("edit", json!({"edits": [{"op": "add_tracks", "count": 3}, {"op": "play"}]})).await;
        assert_eq!(answer["applied"][0]["ids"].as_array().map(Vec::len), Some(3));
        let page = rig.json("/me/tracks?limit=4").await;
        assert_eq!((&page["total"], &page["items"][0]["track"]["id"]), (&json!(123), &answer["applied"][0]["ids"][0]));
        let plays = rig.json("/me/player/recently-played?limit=1").await;
        assert_eq!(plays["items"][0]["track"]["id"], answer["applied"][1]["ids"][0]);
        let log = rig.look("log").await;
        let requests = log.as_array().expect("a list");
        assert_eq!((&requests[0]["family"], &requests[1]["query"]), (&json!("token"), &json!("limit=4")));
        assert_eq!(requests.len(), 3);
    });
}

#[test]
fn every_library_that_ever_was_is_remembered() {
    run(small(), async |rig| {
        assert_eq!(rig.look("history").await, Value::Null, "nobody asked for it");
        let mut expected = vec![rig.state().await];
        rig.control("history", json!({})).await;
        let edits = [json!({ "op": "add_tracks", "count": 2 }), json!({ "op": "remove_tracks", "offset": 1 })];
        rig.control("edit", json!({ "edits": edits })).await;
        expected.push(rig.state().await);
        let edit = json!({ "kind": "edit", "edits": [{ "op": "remove_tracks", "offset": 0 }] });
        rig.rules(json!([{ "family": "tracks", "times": 1, "do": edit }])).await;
        rig.json("/me/tracks").await;
        expected.push(rig.state().await);
        assert_eq!(rig.look("history").await, json!(expected));
        assert_eq!(rig.control("history", json!({})).await, json!(expected[2..]), "it begins anew");
    });
}

#[test]
fn a_spelled_out_library_replaces_the_made_up_one() {
    run(small(), async |rig| {
        rig.control(
            "library",
            json!({"tracks": [{"id": "t1", "name": "Uno"}], "playlists": [{"id": "p", "name": "P", "items": ["t1"]}]}),
        )
        .await;
        let page = rig.json("/me/tracks").await;
        assert_eq!((&page["total"], &page["items"][0]["track"]["name"]), (&json!(1), &json!("Uno")));
        assert_eq!(rig.json("/playlists/p/items").await["items"][0]["item"]["id"], "t1");
        assert_eq!(rig.json("/me/following?type=artist").await["artists"]["total"], 0);
        rig.control("edit", json!({"edits": [{"op": "add_albums", "count": 2}]})).await;
        assert_eq!(rig.json("/me/albums").await["total"], 2);
    });
}

#[test]
fn control_input_is_read_strictly() {
    run(small(), async |rig| {
        for (path, input, expected) in [
            ("edit", json!({"edits": [{"op": "explode"}]}), "unknown variant `explode`"),
            ("edit", json!({"edits": [{"op": "remove_tracks", "offset": 999}]}), "edit 0: there is no track at 999"),
            ("rules", json!([{"family": "songs", "do": {"kind": "hang"}}]), "unknown family `songs`"),
            ("config", json!({"rate": {"max": 3}}), "missing field `window_ms`"),
            ("config", json!({"quota": {"songs": 3}}), "unknown family `songs`"),
            ("config", json!({"latency": 3}), "unknown field `latency`"),
            ("config", json!({"latency_ms": u64::MAX}), "is over 600s"),
            ("config", json!({"access_token_ttl_ms": 0}), "must be longer than no time at all"),
            ("config", json!({"quota_retry_after_s": u64::MAX}), "must not be longer than a year"),
            ("library", json!({"tracks": [{"id": "", "name": ""}]}), "is not an id"),
        ] {
            let answer = rig.client.post(rig.url(&format!("/_sandbox/{path}"))).body(input.to_string()).send().await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 400, "{path}");
            let error = body(answer).await["error"].as_str().expect("a text").to_owned();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(rig.client.get(rig.url("/_sandbox/edit")).send().await.expect("an answer").status(), 405);
        assert_eq!(rig.client.get(rig.url("/_sandbox/nope")).send().await.expect("an answer").status(), 404);
    });
}

#[test]
fn tokens_can_be_taken_back_at_run_time() {
    run(small(), async |rig| {
        rig.control("config", json!({"expire_access_tokens": true})).await;
        assert_eq!(message(rig.get("/me").await).await, "The access token expired");
        rig.control("config", json!({"rotate_refresh_token": true, "access_token_ttl_ms": 1500})).await;
        let tokens = body(rig.refresh().await).await;
        assert!(tokens["refresh_token"].is_string() && tokens["expires_in"] == 2);
        let answer = body(rig.refresh().await).await;
        assert_eq!(answer, json!({"error": "invalid_grant", "error_description": "Refresh token revoked"}));
        rig.rules(json!([{"family": "token", "do": {"kind": "status", "status": 500}}])).await;
        assert_eq!(rig.refresh().await.status(), 500);
        assert_eq!(rig.get("/me").await.status(), 401);
    });
}

#[test]
fn a_stopped_sandbox_is_gone_and_the_control_api_may_be_left_out() {
    actix_rt::System::new().block_on(async {
        let sandbox = Sandbox::start(Config { control: false, ..small() }).await.expect("it starts");
        let url = format!("{}/_sandbox/state", sandbox.accounts_url());
        assert_eq!(client().get(&url).send().await.expect("an answer").status(), 404);
        sandbox.stop().await;
        assert!(client().get(&url).send().await.is_err());
        let bad = Config { limits: Limits::default().with_quota("songs", 1), ..small() };
        assert!(Sandbox::start(bad).await.is_err_and(|error| error.to_string().contains("songs")));
    });
}

/// A sandbox, and a user who is signed in to it.
struct Rig {
    sandbox: Sandbox,
    client: Client,
    token: String,
}

fn small() -> Config {
    Config { library: LibrarySpec::exact(120, 30, 20, 5, 12), dialect: Dialect::Current, ..Config::default() }
}

fn client() -> Client {
    // The client requires it, though nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("the options are sound")
}

fn run(config: Config, test: impl AsyncFnOnce(&Rig)) {
    actix_rt::System::new().block_on(async {
        let sandbox = Sandbox::start(config).await.expect("it starts");
        let mut rig = Rig { sandbox, client: client(), token: String::new() };
        rig.token = body(rig.refresh().await).await["access_token"].as_str().expect("a token").to_owned();
        test(&rig).await;
        rig.sandbox.stop().await;
    });
}

async fn body(answer: Response) -> Value {
    let text = answer.text().await.expect("a whole answer");
    serde_json::from_str(&text).expect("JSON")
}

fn retry_after(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds")
}

async fn message(answer: Response) -> String {
    body(answer).await["error"]["message"].as_str().expect("a message").to_owned()
}

impl Rig {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.accounts_url())
    }

    fn api(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.api_url())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.api(path)).bearer_auth(&self.token).send().await.expect("an answer")
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        body(answer).await
    }

    async fn token(&self, form: &[(&str, &str)]) -> Response {
        self.client.post(self.url("/api/token")).form(form).send().await.expect("an answer")
    }

    async fn refresh(&self) -> Response {
        let (client_id, refresh_token) = (self.sandbox.client_id(), self.sandbox.refresh_token());
        self.token(&[("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh_token)]).await
    }

    async fn control(&self, path: &str, input: Value) -> Value {
        let request = self.client.post(self.url(&format!("/_sandbox/{path}"))).body(input.to_string());
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        body(answer).await
    }

    async fn look(&self, path: &str) -> Value {
        body(self.client.get(self.url(&format!("/_sandbox/{path}"))).send().await.expect("an answer")).await
    }

    async fn rules(&self, rules: Value) {
        self.control("rules", rules).await;
    }

    async fn counts(&self) -> Value {
        self.look("rules").await["rules"].clone()
    }

    async fn state(&self) -> Value {
        self.look("state").await
    }

    /// All rows of a listing, page by page.
    async fn walk(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        loop {
            let page = self.json(&format!("{path}?limit={limit}&offset={}", rows.len())).await;
            rows.extend(page["items"].as_array().expect("rows").iter().cloned());
            if page["next"].is_null() {
                return rows;
            }
        }
    }
}
