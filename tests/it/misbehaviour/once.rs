//! One answer that is wrong in a way that fits: nothing in it contradicts itself. It costs requests at most.

use super::{ARTISTS, PLAYLISTS, TRACKS, Trial, always, by_offset, times};
use crate::support::{Backend, both};
use serde_json::json;

both! {
    fn a_cap_that_one_answer_names_does_not_make_a_request_for_each_row(backend) {
        for rows in [1, 2, 3] {
            for num_times in [1, 2] {
                let trial = Trial::of_one(backend, TRACKS, 1_000);
                trial.rules(json!([times("tracks", num_times, json!({ "kind": "cap", "rows": rows }))]));
                let ended = trial.sync_safely();
                assert_eq!(ended.code, Some(0), "{rows}, {num_times}: {}", ended.told());
                let asked = trial.sandbox.requests("tracks");
                assert!(asked <= 60, "{rows} rows, {num_times} times: {asked} requests: {}", ended.told());
                trial.heal();
            }
        }
    }

    fn listings_of_nothing_but_null_end_soon(backend) {
        for listing in by_offset() {
            let trial = Trial::of_one(backend, listing, 60);
            trial.sync_well();
            trial.rules(json!([always(listing.family, json!({ "kind": "patch_page", "with": { "items": [null] } }))]));
            for _ in 0..2 {
                trial.sync_safely();
            }
            trial.heal();
        }
    }

    fn followed_artists_are_asked_for_without_our_cursor_if_nothing_comes_after_it(backend) {
        let nothing = json!({ "kind": "patch_page",
            "with": { "items": [], "total": 0, "next": null, "cursors": { "after": null } } });
        let trial = Trial::of_one(backend, ARTISTS, 60);
        for _ in 0..3 {
            trial.rules(json!([times("artists", 1, nothing.clone())]));
            let ended = trial.sync_safely();
            assert_eq!((ended.code, trial.num_held(ARTISTS)), (Some(0), 60), "{}", ended.told());
            trial.sandbox.assert_rules_applied();
        }
        trial.heal();
    }

    fn a_playlist_that_is_never_counted_right_is_kept_current_all_the_same(backend) {
        let trial = Trial::of_items(backend, 30);
        trial.rules(json!([always("playlists", json!({ "kind": "count_items", "total": 0 }))]));
        trial.sync_safely();
        for added in 1..=4_u64 {
            trial.sandbox.edit(json!([{ "op": "playlist_insert", "index": 0, "position": 3, "count": 1 }]));
            trial.database.end_cooldowns();
            let ended = trial.sync_safely();
            assert_eq!(trial.num_items(), 30 + added, "{}", ended.told());
        }
        assert_eq!(trial.num_held(PLAYLISTS), 1);
        trial.heal();
    }

    fn an_item_in_the_place_of_another_does_not_stay_until_the_next_edit(backend) {
        let with = json!({ "item": { "id": "0123456789abcdefghijkl", "uri": "spotify:track:0123456789abcdefghijkl" } });
        for (length, place) in [(30, 4), (130, 40), (130, 120)] {
            let trial = Trial::of_items(backend, length);
            trial.sync_well();
            trial.sandbox.edit(json!([{ "op": "playlist_remove", "index": 0, "position": 1 },
                { "op": "playlist_insert", "index": 0, "position": 2, "count": 1 }]));
            let patch = json!({ "kind": "patch_rows", "places": [place], "with": with });
            trial.rules(json!([always("playlist_items", patch)]));
            let ended = trial.sync_well();
            let strays = "playlist_items WHERE track_id = '0123456789abcdefghijkl'";
            assert_eq!(trial.database.count(strays), 1, "{length} {place}: {}", ended.told());
            trial.heal();
            trial.sync_well();
            assert_eq!(trial.sandbox.requests("playlist_items"), 0, "{length} {place}: it is settled");
        }
    }
}
