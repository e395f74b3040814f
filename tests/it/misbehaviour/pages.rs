//! Pages that are not what was requested: rows that are counted but not given, caps, false ends, old copies, cursors
//! that go round, wrong counts, and floods.

use super::{ALBUMS, ARTISTS, Listing, PLAYLISTS, TRACKS, Trial, always, by_offset, listings, times};
use crate::support::{Backend, Ended, Segno, both};
use serde_json::{Value, json};

fn hide(ids: &[String]) -> Value {
    json!({ "kind": "hide", "ids": ids })
}

/// A page that stops after this many rows of the listing, and claims that this is the end.
fn stop_after(family: &str, rows: usize, total: usize, times: Option<u32>) -> Vec<Value> {
    let places: Vec<usize> = (rows..total).collect();
    let rule = |action: Value| {
        let mut rule = json!({ "family": family, "offset_from": rows, "offset_to": rows + 1, "do": action });
        if let Some(times) = times {
            rule["times"] = json!(times);
        }
        rule
    };
    vec![rule(json!({ "kind": "hide", "places": places })), rule(json!({ "kind": "next", "says": "null" }))]
}

/// An edit that every listing can show: something new at the head, so that there is something to read.
fn touch(listing: Listing) -> Value {
    match listing.name {
        "tracks" => json!({ "op": "add_tracks", "count": 1 }),
        "albums" => json!({ "op": "add_albums", "count": 1 }),
        "artists" => json!({ "op": "follow", "count": 1 }),
        _ => json!({ "op": "add_playlist", "items": 1 }),
    }
}

pub(super) fn remove(listing: Listing, place: usize, count: usize) -> Value {
    match listing.name {
        "tracks" => json!({ "op": "remove_tracks", "offset": place, "count": count }),
        "albums" => json!({ "op": "remove_albums", "offset": place, "count": count }),
        "artists" => json!({ "op": "unfollow", "index": place, "count": count }),
        "playlists" => json!({ "op": "remove_playlist", "index": place }),
        spoken => json!({ "op": "unsave", "what": spoken, "offset": place, "count": count }),
    }
}

fn insert(position: usize, count: usize) -> Value {
    json!({ "op": "playlist_insert", "index": 0, "position": position, "count": count })
}

/// Whether a run claims to be complete.
fn claims_completeness(ended: &Ended, trial: &Trial) -> bool {
    ended.code == Some(0) && trial.notes().is_empty()
}

both! {
    fn items_that_are_counted_and_not_given_are_noted_once_and_cost_nothing(backend) {
        for places in [vec![20], vec![49], vec![99, 100], vec![0], vec![229], vec![3, 120, 121]] {
            let trial = Trial::of_items(backend, 230);
            let hidden: Vec<String> = places.iter().map(|place| trial.uri(*place)).collect();
            // The same track may occur twice.
            let num_given = || trial.uris().iter().filter(|uri| !hidden.contains(uri)).count() as u64;
            let given = num_given();
            trial.rules(json!([always("playlist_items", hide(&hidden))]));
            let ended = trial.sync_safely();
            assert_eq!((ended.code, trial.num_items()), (Some(0), given), "{places:?}: {}", ended.told());
            assert!(!trial.notes().is_empty() || ended.stdout.contains("not returned"), "{places:?}: {}", ended.told());
            for _ in 0..2 {
                let again = trial.sync_safely();
                assert!(trial.sandbox.requests("*") <= 10, "{places:?}: a cheap run: {}", again.told());
                assert_eq!(trial.num_items(), given, "{places:?}: {}", again.told());
            }
            trial.sandbox.edit(json!([{ "op": "playlist_remove", "index": 0, "position": 150 }]));
            let ended = trial.sync();
            assert_eq!((trial.num_items(), trial.num_items_removed()), (num_given(), 1), "{places:?}: {}", ended.told());
            trial.sync_well();
            assert_eq!(trial.num_items_removed(), 1, "{places:?}: found once");
        }
    }

    fn an_item_that_is_hidden_in_the_place_of_another_is_not_removed(backend) {
        for (length, one, other) in [(30, 4, 20), (130, 20, 90), (130, 90, 20)] {
            let trial = Trial::of_items(backend, length);
            let [one, other] = [one, other].map(|place| trial.uri(place));
            trial.rules(json!([always("playlist_items", hide(&[one]))]));
            trial.sync_safely();
            trial.rules(json!([always("playlist_items", hide(&[other]))]));
            trial.sandbox.edit(json!([insert(7, 1)]));
            trial.sync_safely();
            trial.heal();
            assert_eq!(trial.num_items_removed(), 0, "{length}");
        }
    }

    fn rows_that_are_counted_and_not_given_are_noted_once_and_hide_no_removal(backend) {
        let edges = listings().map(|listing| (listing, vec![vec![49, 50]]));
        for (listing, places) in edges.chain([(TRACKS, vec![vec![20], vec![129]])]) {
            for places in places {
                let trial = Trial::of_one(backend, listing, 130);
                let hidden: Vec<String> = places.iter().map(|place| trial.id(listing, *place)).collect();
                let given = 130 - places.len() as u64;
                trial.rules(json!([always(listing.family, hide(&hidden))]));
                let ended = trial.sync_safely();
                assert_eq!((ended.code, trial.num_held(listing)), (Some(0), given), "{listing:?} {places:?}: {}", ended.told());
                trial.sync_safely();
                let again = trial.sync_safely();
                assert!(trial.sandbox.requests("*") <= 11, "{listing:?} {places:?}: a cheap run: {}", again.told());
                trial.sandbox.edit(json!([remove(listing, 70, 1)]));
                let first = trial.sync();
                let second = trial.sync();
                assert_eq!((trial.num_held(listing), trial.num_removed(listing)), (given - 1, 1),
                    "{listing:?} {places:?}: {}\n{}", first.told(), second.told());
            }
        }
    }

    fn a_removal_in_the_run_that_hides_another_row_is_found_when_that_is_given(backend) {
        for listing in listings() {
            for runs in [1, 2, 5] {
                let trial = Trial::of_one(backend, listing, 130);
                trial.sync_well();
                let hidden = trial.id(listing, 100);
                trial.sandbox.edit(json!([remove(listing, 40, 1)]));
                trial.rules(json!([always(listing.family, hide(&[hidden]))]));
                (0..runs).for_each(|_| drop(trial.sync_safely()));
                trial.heal();
                assert_eq!(trial.num_removed(listing), 1, "{listing:?} after {runs}");
            }
        }
    }

    fn rows_that_a_first_sync_was_not_given_come_after_a_while(backend) {
        for listing in by_offset() {
            let trial = Trial::of_one(backend, listing, 130);
            let hidden = [trial.id(listing, 49), trial.id(listing, 129)];
            trial.rules(json!([always(listing.family, hide(&hidden))]));
            trial.sync_safely();
            trial.heal();
            assert_eq!(trial.num_removed(listing), 0, "{listing:?}");
        }
    }

    fn a_cap_on_rows_is_learned_and_everything_comes(backend) {
        for (listing, rows, caps) in [(TRACKS, 130, &[20, 10][..]), (ALBUMS, 70, &[20]), (ARTISTS, 70, &[10]), (PLAYLISTS, 60, &[20])] {
            for cap in caps.iter().copied() {
                let trial = Trial::of_one(backend, listing, rows);
                trial.rules(json!([always(listing.family, json!({ "kind": "cap", "rows": cap }))]));
                let ended = trial.sync_safely();
                assert_eq!(ended.code, Some(0), "{listing:?} {cap}: {}", ended.told());
                trial.sandbox.library().assert_held_by(&trial.database);
                let (asked, pages) = (trial.sandbox.requests(listing.family), u64::from(rows.div_ceil(cap - 1)));
                assert!(asked <= 2 * pages + 6, "{listing:?} {cap}: {asked} for {pages} pages: {}", ended.told());
                let again = trial.sync_safely();
                assert_eq!(again.code, Some(0), "{listing:?} {cap}: {}", again.told());
                trial.sandbox.edit(json!([remove(listing, 30, 1), touch(listing)]));
                trial.sync_well();
                trial.sandbox.library().assert_held_by(&trial.database);
            }
        }
    }

    fn a_cap_on_items_of_playlists_is_learned_and_everything_comes(backend) {
        for cap in [20, 49, 3] {
            let trial = Trial::of(backend, [0, 0, 0, 2, 100]);
            trial.rules(json!([always("playlist_items", json!({ "kind": "cap", "rows": cap }))]));
            let ended = trial.sync_safely();
            assert_eq!(ended.code, Some(0), "{cap}: {}", ended.told());
            trial.sandbox.library().assert_held_by(&trial.database);
            let again = trial.sync_safely();
            assert!(trial.sandbox.requests("*") <= 10, "{cap}: {}", again.told());
            trial.sandbox.edit(json!([{ "op": "playlist_remove", "index": 0, "position": 60 }, insert(7, 2)]));
            trial.sync_well();
            trial.sandbox.library().assert_held_by(&trial.database);
        }
    }

    /// A page of fifty is followed by pages of twenty, and the answer still says fifty.
    fn a_cap_that_comes_in_the_middle_or_is_not_said_loses_nothing(backend) {
        for unsaid in [false, true] {
            let trial = Trial::of(backend, [130, 0, 0, 1, 130]);
            let caps = |family: &str| {
                let mut rules = vec![json!({ "family": family, "skip": 1, "do": { "kind": "cap", "rows": 20 } })];
                if unsaid {
                    rules.push(json!({ "family": family, "do": { "kind": "patch_page", "with": { "limit": 50 } } }));
                }
                rules
            };
            trial.rules(json!([caps("tracks"), caps("playlist_items")].concat()));
            let ended = trial.sync_safely();
            trial.sandbox.library().assert_held_by(&trial.database);
            assert_eq!(ended.code, Some(0), "{unsaid}: {}", ended.told());
        }
    }

    fn an_end_that_comes_too_early_is_no_end(backend) {
        for once in [Some(1), None] {
            let trial = Trial::of_items(backend, 40);
            trial.sync_well();
            trial.sandbox.edit(json!([insert(3, 1)]));
            trial.rules(json!(stop_after("playlist_items", 25, 41, once)));
            let ended = trial.sync_safely();
            assert!(trial.num_items() >= 40, "{once:?}: {}", ended.told());
            assert!(once.is_some() || !claims_completeness(&ended, &trial), "{}", ended.told());
            trial.heal();
        }
    }

    fn a_first_sync_that_is_told_of_the_end_too_early_is_not_complete(backend) {
        for listing in by_offset() {
            let trial = Trial::of_one(backend, listing, 130);
            trial.rules(json!(stop_after(listing.family, 75, 130, None)));
            let ended = trial.sync_safely();
            assert!(!claims_completeness(&ended, &trial), "{listing:?}: {}", ended.told());
            trial.heal();
            let trial = Trial::of_one(backend, listing, 130);
            trial.rules(json!(stop_after(listing.family, 75, 130, Some(1))));
            trial.sync_safely();
            trial.heal();
        }
    }

    fn followed_artists_whose_cursor_ends_too_early_stay(backend) {
        for once in [Some(1), None] {
            let trial = Trial::of_one(backend, ARTISTS, 130);
            trial.sync_well();
            let mut rule = json!({ "family": "artists", "offset_from": 50, "offset_to": 51,
                "do": { "kind": "next", "says": "null" } });
            if let Some(times) = once {
                rule["times"] = json!(times);
            }
            trial.rules(json!([rule]));
            let ended = trial.sync_safely();
            assert_eq!(trial.num_held(ARTISTS), 130, "{once:?}: {}", ended.told());
            trial.sync_safely();
            trial.heal();
        }
    }

    fn a_next_page_behind_the_end_is_not_there(backend) {
        let trial = Trial::of(backend, [130, 60, 70, 3, 60]);
        trial.rules(json!([{ "do": { "kind": "next", "says": "onward" } }]));
        let ended = trial.sync_safely();
        trial.sandbox.library().assert_held_by(&trial.database);
        let (asked, least) = (trial.sandbox.requests("*"), trial.sandbox.library().least_requests());
        assert!(ended.code == Some(0) && asked <= least + 12, "{asked} where {least} would do: {}", ended.told());
    }

    fn a_next_that_is_missing_or_odd_changes_nothing(backend) {
        for says in ["absent", "odd"] {
            let trial = Trial::of(backend, [130, 60, 70, 2, 60]);
            trial.rules(json!([{ "do": { "kind": "next", "says": says } }]));
            let ended = trial.sync_safely();
            trial.sandbox.library().assert_held_by(&trial.database);
            assert_eq!(ended.code, Some(0), "{says}: {}", ended.told());
        }
    }

    /// Page one is fresh, and the pages after it are as before an edit: for ever, or every other time.
    fn later_pages_from_an_older_copy_end_the_run_and_lose_nothing(backend) {
        for (edits, turns) in [(2, "x"), (12, "x."), (1, "xx.")] {
            let trial = Trial::of(backend, [230, 0, 0, 1, 230]);
            trial.sync_well();
            trial.sandbox.begin_history();
            trial.sandbox.edit(json!([
                { "op": "add_tracks", "count": edits }, insert(0, edits),
            ]));
            let stale = |family: &str| json!({ "family": family, "offset_from": 50, "turns": turns, "do": { "kind": "stale" } });
            trial.rules(json!([stale("tracks"), stale("playlist_items")]));
            trial.sync_safely();
            trial.sync_safely();
            trial.heal();
        }
    }

    fn a_removal_behind_an_older_copy_is_found_once_the_copy_is_gone(backend) {
        for listing in by_offset() {
            let trial = Trial::of_one(backend, listing, 130);
            trial.sync_well();
            trial.sandbox.begin_history();
            trial.sandbox.edit(json!([remove(listing, 3, 1)]));
            trial.rules(json!([{ "family": listing.family, "offset_from": 50, "do": { "kind": "stale" } }]));
            let ended = trial.sync();
            trial.assert_within_budget(&ended);
            assert!(trial.num_removed(listing) <= 1, "{listing:?}: {}", ended.told());
            trial.heal();
            assert_eq!(trial.num_removed(listing), 1, "{listing:?}");
        }
    }

    fn a_whole_listing_from_an_older_copy_brings_nothing_back_and_takes_nothing(backend) {
        let trial = Trial::of(backend, [130, 60, 60, 3, 60]);
        trial.sync_well();
        trial.sandbox.begin_history();
        trial.sandbox.edit(json!([
            { "op": "add_tracks", "count": 5 }, { "op": "add_albums", "count": 5 }, { "op": "follow", "count": 5 },
            insert(10, 5), { "op": "add_playlist", "items": 3 },
        ]));
        trial.sync_well();
        trial.rules(json!([{ "times": 3, "do": { "kind": "stale" } }]));
        trial.sync();
        trial.rules(json!([]));
        trial.heal();
        assert_eq!([TRACKS, ALBUMS, ARTISTS, PLAYLISTS].map(|listing| trial.num_held(listing)), [135, 65, 65, 4]);
    }

    fn an_offset_that_is_ignored_ends_the_run_and_is_said(backend) {
        for listing in listings() {
            let trial = Trial::of_one(backend, listing, 130);
            trial.rules(json!([always(listing.family, json!({ "kind": "ignore_offset" }))]));
            let ended = trial.sync_safely();
            assert!(!claims_completeness(&ended, &trial), "{listing:?}: {}", ended.told());
            assert!(trial.num_held(listing) <= 50, "{listing:?}: {}", ended.told());
            trial.heal();
        }
    }

    fn an_offset_that_is_ignored_in_a_playlist_doubles_no_item(backend) {
        for says_asked in [false, true] {
            let trial = Trial::of_items(backend, 120);
            let mut rules = vec![always("playlist_items", json!({ "kind": "ignore_offset" }))];
            if says_asked {
                rules.push(json!({ "family": "playlist_items", "offset_from": 50, "do": { "kind": "patch_page", "with": { "offset": 49 } } }));
            }
            trial.rules(json!(rules));
            let ended = trial.sync_safely();
            assert!(!claims_completeness(&ended, &trial), "{says_asked}: {}", ended.told());
            trial.heal();
            // And with one that was read whole.
            trial.sandbox.edit(json!([insert(70, 1)]));
            trial.rules(json!(rules));
            let ended = trial.sync_safely();
            assert!(!claims_completeness(&ended, &trial), "{says_asked}: {}", ended.told());
            trial.heal();
        }
    }

    fn a_total_that_alternates_is_safe_and_costs_less_each_time(backend) {
        for (listing, totals) in [(TRACKS, [230, 229]), (TRACKS, [230, 231]), (ALBUMS, [230, 229]), (PLAYLISTS, [230, 229])] {
            let trial = Trial::of_one(backend, listing, 230);
            trial.rules(json!([always(listing.family, json!({ "kind": "totals", "values": totals }))]));
            let costs = [0; 4].map(|_| {
                let ended = trial.sync_safely();
                assert_eq!(trial.num_held(listing), 230, "{listing:?}: {}", ended.told());
                trial.sandbox.requests(listing.family)
            });
            // Which total comes first differs from run to run.
            let (early, late) = (costs[0].max(costs[1]), costs[2].max(costs[3]));
            assert!(late <= early && late <= 12, "{listing:?}: {costs:?}");
            trial.heal();
        }
    }

    fn a_cursor_that_turns_or_stands_still_ends_the_run_and_is_said(backend) {
        // Starting where, and back to which place.
        for (from, to) in [(50, 49), (100, 49), (50, 0), (0, 10)] {
            let trial = Trial::of_one(backend, ARTISTS, 130);
            let after = trial.id(ARTISTS, to);
            trial.rules(json!([{ "family": "artists", "offset_from": from, "offset_to": from + 1,
                "do": { "kind": "cursor", "after": after } }]));
            let ended = trial.sync_safely();
            // On the last page it no longer matters.
            let is_whole = trial.num_held(ARTISTS) == 130;
            assert!(is_whole || !claims_completeness(&ended, &trial), "{from} to {to}: {}", ended.told());
            trial.heal();
            // And with a library that was read whole.
            trial.rules(json!([{ "family": "artists", "offset_from": from, "offset_to": from + 1,
                "do": { "kind": "cursor", "after": after } }]));
            let ended = trial.sync_safely();
            assert_eq!(trial.num_held(ARTISTS), 130, "{from} to {to}: {}", ended.told());
            trial.heal();
        }
    }

    fn a_cursor_that_leaps_over_artists_removes_none(backend) {
        let trial = Trial::of_one(backend, ARTISTS, 130);
        trial.sync_well();
        let after = trial.id(ARTISTS, 90);
        trial.rules(json!([{ "family": "artists", "offset_to": 1, "do": { "kind": "cursor", "after": after } }]));
        trial.sync_safely();
        assert_eq!(trial.num_held(ARTISTS), 130);
        trial.heal();
    }

    fn a_listing_that_miscounts_items_deletes_none(backend) {
        for (total, is_edited) in [(0, false), (0, true), (60, false), (119, true), (500, false), (500, true)] {
            let trial = Trial::of_items(backend, 120);
            trial.sync_well();
            if is_edited {
                trial.sandbox.edit(json!([insert(3, 1)]));
            }
            trial.rules(json!([times("playlists", 1, json!({ "kind": "count_items", "total": total }))]));
            let ended = trial.sync_safely();
            assert!(trial.num_items() >= 120, "{total} {is_edited}: {}", ended.told());
            trial.heal();
            let again = trial.sync_well();
            assert!(trial.sandbox.requests("*") <= 10, "{total} {is_edited}: {}", again.told());
        }
    }

    fn a_listing_that_always_miscounts_items_costs_little_and_deletes_none(backend) {
        for total in [0, 119, 500] {
            let trial = Trial::of_items(backend, 120);
            trial.rules(json!([always("playlists", json!({ "kind": "count_items", "total": total }))]));
            trial.sync_safely();
            trial.sync_safely();
            trial.sync_safely();
            let again = trial.sync_safely();
            assert!(trial.sandbox.requests("playlist_items") <= 6, "{total}: {}", again.told());
            trial.sandbox.edit(json!([insert(3, 1)]));
            trial.sync_safely();
            trial.heal();
        }
    }

    fn items_older_than_their_listing_are_asked_for_again(backend) {
        for (had, came) in [(10, 2), (60, 3), (120, 50)] {
            let trial = Trial::of_items(backend, had);
            trial.sync_well();
            trial.sandbox.begin_history();
            trial.sandbox.edit(json!([insert(4, came)]));
            trial.rules(json!([times("playlist_items", 9, json!({ "kind": "stale" }))]));
            let ended = trial.sync_safely();
            assert!(trial.num_items() >= u64::from(had), "{}", ended.told());
            trial.heal();
            assert_eq!(trial.num_items_removed(), 0);
        }
    }

    /// An old copy with as many items as now.
    fn items_of_an_older_snapshot_with_the_same_count_are_not_taken_for_good(backend) {
        let trial = Trial::of_items(backend, 60);
        trial.sync_well();
        trial.sandbox.begin_history();
        trial.sandbox.edit(json!([insert(4, 1), { "op": "playlist_remove", "index": 0, "position": 40 }]));
        trial.rules(json!([times("playlist_items", 2, json!({ "kind": "stale" }))]));
        trial.sync();
        trial.rules(json!([]));
        trial.sandbox.edit(json!([{ "op": "rename_playlist", "index": 0, "name": "Another" }]));
        trial.heal();
    }

    fn a_flood_of_rows_is_refused_and_memory_stays_flat(backend) {
        for (family, compressed, times) in
            [("tracks", true, 1), ("albums", true, 1), ("playlist_items", false, 1), ("artists", true, 1)]
        {
            let trial = Trial::of(backend, [60, 20, 20, 1, 60]);
            let flood = json!({ "kind": "flood", "rows": 1_500_000, "compressed": compressed });
            trial.rules(json!([{ "family": family, "times": times, "do": flood }]));
            let (ended, peak_kib) = sync_and_weigh(&trial);
            assert!(peak_kib < 200 * 1024, "{family}: {peak_kib} KiB: {}", ended.told());
            trial.assert_nothing_lost(&ended);
            trial.sandbox.assert_rules_applied();
            trial.heal();
        }
    }

    fn bytes_that_are_no_text_cost_one_name_at_most(backend) {
        let halves = [json!({ "text": "\\ud83c half" }), json!({ "text": "half \\udfb5" }), json!({ "bytes": [104, 97, 108, 102, 255] }),
            json!({ "bytes": [104, 97, 108, 102, 0xc3] })];
        for half in halves {
            let raw = |family: &str, at: &str| {
                let mut action = json!({ "kind": "raw", "places": [5], "at": at });
                let fields = half.as_object().expect("an object").clone();
                action.as_object_mut().expect("an object").extend(fields);
                always(family, action)
            };
            // Each alone: a whole name from elsewhere is better than half of one.
            for (listing, table) in [(TRACKS, "tracks"), (ALBUMS, "albums"), (ARTISTS, "artists"), (PLAYLISTS, "playlists")] {
                let trial = Trial::of_one(backend, listing, 20);
                trial.rules(json!([raw(listing.family, listing.name_at)]));
                let ended = trial.sync_safely();
                assert_eq!((ended.code, trial.num_held(listing)), (Some(0), 20), "{half}: {}", ended.told());
                let name = trial.database.value("name", &format!("{table} WHERE id = '{}'", trial.id(listing, 5)));
                assert!(name.contains("half"), "{half}: {name:?} of {table}");
            }
            let trial = Trial::of_items(backend, 20);
            trial.rules(json!([raw("playlist_items", "/item/name")]));
            let ended = trial.sync_safely();
            assert_eq!((ended.code, trial.num_items()), (Some(0), 20), "{half}: {}", ended.told());
            let name = trial.database.value("name", "playlist_items WHERE position = 5");
            assert!(name.contains("half"), "{half}: {name:?}");
        }
    }
}

/// A run, and the most memory that it took.
fn sync_and_weigh(trial: &Trial) -> (Ended, u64) {
    let mut running = Segno::on(&trial.database, &trial.sandbox, &["sync"]).spawn();
    let status = format!("/proc/{}/status", running.pid());
    let mut peak = 0;
    while running.is_running() {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    (running.wait(), peak)
}
