//! One answer that is wrong in a way that fits: nothing in it contradicts itself. It costs requests at most.

use super::{ARTISTS, PLAYLISTS, TRACKS, Trial, always, by_offset, refuse, times};
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

    /// A look at what was left open came to nothing, or something else was listed before it was due.
    fn what_was_left_open_in_a_playlist_is_looked_for_until_it_is_found(backend) {
        let other_snapshot = json!({ "kind": "patch_rows", "with": { "snapshot_id": "another" } });
        let nothing = json!({ "kind": "patch_page", "with": { "items": [], "total": 0, "next": null } });
        for (is_due, rule) in [
            (true, times("playlist_items", 2, refuse("not_found"))),
            (true, times("playlist_items", 2, refuse("forbidden"))),
            (true, times("playlist_items", 6, nothing.clone())),
            (true, times("playlist_items", 9, json!({ "kind": "truncate", "bytes": 200 }))),
            (true, always("playlist_items", json!({ "kind": "hide", "places": [3, 30, 31] }))),
            (false, times("playlists", 1, other_snapshot.clone())),
            (false, times("playlists", 1, json!({ "kind": "count_items", "total": 42 }))),
        ] {
            let trial = Trial::of_items(backend, 40);
            trial.rules(json!([always("playlist_items", json!({ "kind": "hide", "places": [3] }))]));
            trial.sync_safely();
            if is_due {
                trial.database.end_cooldowns();
            }
            trial.rules(json!([rule]));
            let ended = trial.sync();
            trial.heal();
            let held = trial.database.count("held_removals");
            assert_eq!((trial.num_items_removed(), held), (0, 0), "{rule}: {}", ended.told());
        }
    }

    /// Two whole readings of one snapshot disagree: neither is believed for one answer.
    fn another_answer_for_the_same_snapshot_does_not_take_the_place_of_the_items(backend) {
        let copy = json!({ "item": { "id": "0123456789abcdefghijkl", "uri": "spotify:track:0123456789abcdefghijkl" } });
        for spoilt in [json!({ "kind": "patch_rows", "places": [20], "with": copy }),
            json!({ "kind": "patch_rows", "places": [20], "with": { "item": null, "added_at": null } })] {
            let trial = Trial::of_items(backend, 60);
            let null = json!({ "kind": "patch_rows", "places": [5], "with": { "item": null, "track": null } });
            trial.rules(json!([always("playlist_items", null.clone())]));
            trial.sync_well();
            trial.database.end_cooldowns();
            let once = json!({ "family": "playlist_items", "offset_to": 1, "times": 1, "do": spoilt });
            trial.rules(json!([always("playlist_items", null), once]));
            let ended = trial.sync();
            assert_eq!(trial.num_items_removed(), 0, "{spoilt}: {}", ended.told());
            trial.heal();
            assert_eq!(trial.num_items_removed(), 0, "{spoilt}");
        }
    }

    fn a_playlist_without_a_snapshot_is_read_once_in_each_run(backend) {
        let trial = Trial::of(backend, [0, 0, 0, 3, 100]);
        trial.rules(json!([always("playlists", json!({ "kind": "patch_rows", "with": { "snapshot_id": null } }))]));
        for run in 1..=3 {
            let ended = trial.sync_safely();
            assert_eq!(ended.code, Some(0), "{}", ended.told());
            assert_eq!(trial.sandbox.requests("playlist_items"), 6, "run {run}: {}", ended.told());
        }
        trial.heal();
    }

    /// The second page is from before an item was moved to the first, and the pages of such a playlist share no row.
    fn a_page_of_a_playlist_from_an_older_copy_is_noticed(backend) {
        for length in [100, 150, 200] {
            let trial = Trial::of_items(backend, length);
            trial.sandbox.begin_history();
            trial.sync_well();
            trial.sandbox.edit(json!([{ "op": "playlist_move", "index": 0, "from": length - 5, "to": 3 }]));
            trial.rules(json!([{ "family": "playlist_items", "offset_from": 50, "times": 1, "do": { "kind": "stale" } }]));
            let ended = trial.sync();
            assert_eq!(trial.num_items_removed(), 0, "{length}: {}", ended.told());
            trial.heal();
            assert_eq!(trial.num_items_removed(), 0, "{length}");
        }
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
