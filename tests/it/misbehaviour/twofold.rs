//! Two things wrong at a time, each of which would be harmless alone; and what is wrong once and then stays.

use super::{ALBUMS, ARTISTS, Listing, PLAYLISTS, SHOWS, TRACKS, Trial, always, pages::remove};
use crate::support::{Backend, both, wait_until};
use serde_json::{Value, json};

/// These places are counted and not given.
fn hide(listing: Listing, places: &[usize]) -> Value {
    always(listing.family, json!({ "kind": "hide", "places": places }))
}

fn totals(listing: Listing, total: usize) -> Value {
    always(listing.family, json!({ "kind": "totals", "values": [total] }))
}

both! {
    /// The two looks miss as many rows, and not the same one.
    fn what_one_answer_shows_stays_though_the_next_lacks_it(backend) {
        for listing in [ALBUMS, SHOWS, PLAYLISTS] {
            let trial = Trial::of_one(backend, listing, 20);
            trial.sync_well();
            let (mut one, mut other) = (hide(listing, &[4]), hide(listing, &[8]));
            (one["turns"], other["turns"]) = (json!("x."), json!(".x"));
            trial.rules(json!([one, other, totals(listing, 19)]));
            for _ in 0..3 {
                trial.sync_safely();
            }
            trial.heal();
        }
    }

    fn a_row_left_out_once_stays_though_the_total_is_one_too_low(backend) {
        for listing in [TRACKS, ALBUMS, ARTISTS, PLAYLISTS] {
            let trial = Trial::of_one(backend, listing, 120);
            trial.sync_well();
            let mut once = hide(listing, &[30]);
            once["times"] = json!(1);
            trial.rules(json!([once, totals(listing, 119)]));
            for _ in 0..2 {
                trial.sync_safely();
            }
            trial.heal();
        }
    }

    /// The hidden row turns up, and another is hidden in its place.
    fn rows_hidden_by_their_place_stay_when_the_listing_moves(backend) {
        for listing in [TRACKS, ALBUMS, PLAYLISTS] {
            let trial = Trial::of_one(backend, listing, 120);
            trial.rules(json!([hide(listing, &[60])]));
            trial.sync_well();
            trial.sandbox.edit(json!([remove(listing, 3, 1)]));
            for _ in 0..2 {
                let ended = trial.sync_well();
                assert!(trial.num_removed(listing) <= 1, "{listing:?}: {}", ended.told());
            }
            trial.heal();
            assert_eq!(trial.num_removed(listing), 1, "{listing:?}");
        }
    }

    /// Nothing but an edit would have had it read again.
    fn an_item_spoilt_in_the_first_reading_is_read_once_more(backend) {
        for with in [json!({ "item": null, "track": null }), json!({ "item": { "uri": null, "id": null } })] {
            let trial = Trial::of(backend, [0, 0, 0, 1, 60]);
            let mut once = always("playlist_items", json!({ "kind": "patch_rows", "places": [5], "with": with }));
            once["times"] = json!(1);
            trial.rules(json!([once]));
            trial.sync_well();
            let spoilt = "playlist_items WHERE kind IN ('missing', 'unknown')";
            assert_eq!(trial.database.count(spoilt), 1, "{with}");
            trial.heal();
            trial.sync_well();
            trial.database.end_cooldowns();
            trial.sync_well();
            assert_eq!(trial.sandbox.requests("playlist_items"), 0, "it is no longer in doubt");
        }
    }

    fn a_play_dated_in_the_future_is_stored_and_is_not_the_newest(backend) {
        let trial = Trial::of(backend, [20, 0, 0, 0, 0]);
        let later = json!({ "played_at": "2999-01-01T00:00:00.000Z" });
        trial.rules(json!([always("player", json!({ "kind": "patch_rows", "places": [0], "with": later }))]));
        let service = trial.service();
        wait_until("the plays are there", || trial.database.has_tables() && trial.database.count("plays") >= 50);
        service.stop();
        assert_eq!(trial.database.count("plays WHERE CAST(played_at AS TEXT) LIKE '2999%'"), 1);
        let status = trial.status().to_string();
        assert!(!status.contains("2999"), "{status}");
    }
}
