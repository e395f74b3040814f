//! Misbehaviour seen from the real API, done on demand: wrong pages, old copies, floods and unprovoked refusals.

use serde_json::{Value, json};

use super::super::Config;
use super::{body, run, small};

#[test]
fn pages_can_be_other_than_what_was_asked_for() {
    run(small(), async |rig| {
        let state = rig.state().await;
        let hidden = state["tracks"][60]["id"].clone();
        rig.rules(json!([
            {"family": "tracks", "do": {"kind": "cap", "rows": 20}},
            {"family": "tracks", "do": {"kind": "hide", "ids": [hidden]}},
        ]))
        .await;
        let page = rig.json("/me/tracks?limit=50&offset=49").await;
        assert_eq!((rows(&page), &page["limit"], &page["total"]), (19, &json!(20), &json!(120)));
        assert!(page["next"].as_str().is_some_and(|next| next.contains("offset=69&limit=20")));
        rig.rules(json!([{"do": {"kind": "ignore_offset"}}])).await;
        assert_eq!(rig.json("/me/tracks?limit=50&offset=50").await["offset"], 0);
        let artists = rig.json("/me/following?type=artist&limit=5&after=9").await;
        assert_eq!(artists["artists"]["items"][0]["id"], state["artists"][0]["id"]);
        rig.rules(json!([{"offset_from": 100, "do": {"kind": "next", "says": "onward"}}])).await;
        assert!(rig.json("/me/tracks?limit=50&offset=50").await["next"].is_string());
        let last = rig.json("/me/tracks?limit=50&offset=100").await;
        assert!(last["next"].as_str().is_some_and(|next| next.ends_with("offset=150&limit=50")), "{last}");
        rig.rules(json!([{"do": {"kind": "totals", "values": [120, 119]}}])).await;
        let mut totals = Vec::new();
        for _ in 0..3 {
            totals.push(rig.json("/me/tracks").await["total"].clone());
        }
        assert_eq!(totals, [120, 119, 120]);
    });
}

#[test]
fn answers_can_come_from_the_past() {
    run(small(), async |rig| {
        let stale = json!([{"offset_from": 50, "do": {"kind": "stale"}}]);
        let answer = rig.client.post(rig.url("/_sandbox/rules")).body(stale.to_string()).send().await;
        assert_eq!(answer.expect("an answer").status(), 400, "there is no past yet");
        rig.control("history", json!({})).await;
        rig.control("edit", json!({"edits": [{"op": "remove_tracks", "offset": 0, "count": 9}]})).await;
        rig.control("edit", json!({"edits": [{"op": "remove_tracks", "offset": 0, "count": 1}]})).await;
        rig.rules(stale).await;
        let totals = [rig.json("/me/tracks?limit=50").await, rig.json("/me/tracks?limit=50&offset=50").await];
        assert_eq!(totals.map(|page| page["total"].clone()), [110, 111]);
        rig.rules(json!([{"do": {"kind": "stale", "back": 2}}])).await;
        assert_eq!(rig.json("/me/tracks").await["total"], 120);
    });
}

#[test]
fn a_page_may_be_a_flood_and_a_name_no_text() {
    run(small(), async |rig| {
        rig.rules(json!([{"do": {"kind": "flood", "rows": 400_000}}])).await;
        let answer = rig.get("/me/tracks?limit=50").await;
        assert!(answer.headers().get("content-length").is_none(), "it is unpacked on the way");
        assert_eq!(rows(&body(answer).await), 400_050);
        rig.rules(json!([{"do": {"kind": "raw", "places": [3], "at": "/track/name", "bytes": [65, 255]}}])).await;
        let bytes = rig.get("/me/tracks?limit=50").await.bytes().await.expect("a body");
        assert!(bytes.windows(4).any(|part| part == [b'"', 65, 255, b'"']) && std::str::from_utf8(&bytes).is_err());
    });
}

#[test]
fn a_good_token_is_refused_in_the_words_of_the_field() {
    run(small(), async |rig| {
        let refuse =
            |family: &str, like: &str| json!([{"family": family, "times": 1, "do": {"kind": "refuse", "like": like}}]);
        for (like, status) in [("unauthorized", 401), ("premium", 403), ("google_bad_request", 400), ("not_found", 404)]
        {
            rig.rules(refuse("*", like)).await;
            assert_eq!([rig.get("/me").await.status().as_u16(), rig.get("/me").await.status().as_u16()], [status, 200]);
        }
        for (like, status) in
            [("token_server_error", 400), ("invalid_grant", 400), ("redirect", 302), ("no_token", 200)]
        {
            rig.rules(refuse("token", like)).await;
            let answer = rig.refresh().await;
            assert_eq!((answer.status().as_u16(), rig.refresh().await.status().as_u16()), (status, 200), "{like}");
        }
    });
}

#[test]
fn a_shared_playlist_is_one_and_each_may_read_it_or_not() {
    run(Config { users: 2, ..small() }, async |rig| {
        let users = rig.look("users").await;
        let form = |user: usize| {
            let refresh_token = users[user]["refresh_token"].as_str().expect("a token").to_owned();
            [
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", rig.sandbox.client_id().to_owned()),
                ("refresh_token", refresh_token),
            ]
        };
        let token = async |user| {
            let answer = rig.client.post(rig.url("/api/token")).form(&form(user)).send().await.expect("an answer");
            body(answer).await["access_token"].as_str().expect("a token").to_owned()
        };
        let other = token(1).await;
        let ask = async |path: &str| rig.client.get(rig.api(path)).bearer_auth(&other).send().await.expect("an answer");
        rig.control("share", json!({"index": 0, "with": 1})).await;
        rig.control("share", json!({"index": 1, "with": 1, "collaborative": true})).await;
        let listed = body(ask("/me/playlists").await).await;
        let (withheld, open) = (listed["items"][5].clone(), listed["items"][6].clone());
        assert_eq!(listed["total"], 7);
        let items = |id: &Value| format!("/playlists/{}/items?limit=50", id.as_str().expect("an id"));
        assert_eq!(ask(&items(&withheld["id"])).await.status(), 403);
        assert_eq!(rows(&body(ask(&items(&open["id"])).await).await), 12);
        let edit = json!({"edits": [{"op": "playlist_insert", "index": 1, "position": 0}]});
        rig.control("edit", edit).await;
        let (ours, theirs) = (rig.json(&items(&open["id"])).await, body(ask(&items(&open["id"])).await).await);
        assert_eq!((rows(&theirs), &ours["items"][0]["item"]["uri"]), (13, &theirs["items"][0]["item"]["uri"]));
        rig.rules(json!([{"user": 1, "do": {"kind": "refuse", "like": "forbidden"}}])).await;
        assert_eq!((ask("/me").await.status().as_u16(), rig.get("/me").await.status().as_u16()), (403, 200));
    });
}

fn rows(page: &Value) -> usize {
    page["items"].as_array().map_or(0, Vec::len)
}
