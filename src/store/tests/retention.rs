//! The service's own notes are deleted some time after they are obsolete; the person's own data never is.

use super::effects::{found, healed};
use super::playlists::{complete, item, one, uncounted};
use super::plays::{poll, slot_of};
use super::*;

const DAY: i64 = 24 * 60 * 60;

#[test]
fn notes_that_are_over_are_forgotten_and_what_is_the_persons_stays() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let odd = || Slot { item: None, added_at: None, odd: Some(Oddity::MissingId) };
        let rows = || Rows::Listing(vec![saved(track("t1"), at(-9)), odd(), odd()]);
        run.commit_with(
            rows(),
            Effects { new_gaps: vec![found(None, 7, 8), found(None, 9, 10)], ..Effects::default() },
            at(0),
        )
        .await;
        let filled =
            Effects { healed_gaps: vec![healed(None, 7, 8)], removed_ids: vec!["t1".into()], ..Effects::default() };
        run.commit_with(Rows::Listing(vec![]), filled, at(1)).await;
        let episode = slot_of(None, "spotify:episode:e1", at(-5));
        let note = Oddity::Named { why: Box::new(Oddity::Misplaced), name: Some("Talk".into()), uri: None };
        db.store.commit_plays(&poll(db, vec![PlaySlot { odd: Some(note), ..episode }], 0), Uuid::nil()).await.unwrap();
        let families = [Family::Tracks, Family::Player];
        let requests = families.map(|family| LedgerEntry { family, started_at: at(0), requests: 3, refusals: 0 });
        db.store.save_ledger(&requests, at(0)).await.unwrap();
        let pause = |scope, until| Pause { scope, class: LimitClass::Quota, until };
        db.store.save_pause(pause(Family::Albums, at(60)), at(0)).await.unwrap();
        db.store.save_pause(pause(Family::Artists, at(100 * DAY)), at(0)).await.unwrap();
        let of_playlists = db.begin(EntityType::Playlists).await;
        of_playlists.commit(playlists([uncounted("p1", "s1"), uncounted("p2", "s1")]), at(0)).await;
        for id in ["p1", "p2"] {
            let odd = vec![(0, Oddity::MissingName)];
            let part = PlaylistPart { items: vec![item("t2")], odd, end: complete("s1", 1), ..one(id) };
            of_playlists.commit(Rows::PlaylistItems(vec![part]), at(0)).await;
        }
        let left = Effects { removed_ids: vec!["p2".into()], ..Effects::default() };
        of_playlists.commit_with(Rows::Listing(vec![]), left, at(2)).await;
        // The second odd row is read again, and is as odd as before.
        let again = Commit { offset_from: 2, offset_to: 3, ..run.commit_of(Rows::Listing(vec![odd()])) };
        db.store.commit(Commit { effects: Effects::default(), ..again }, at(50 * DAY)).await.unwrap();

        let num_forgotten = db.store.forget_notes_before(at(40 * DAY)).await.unwrap();

        let odd_left =
            db.texts("entity_type || ' ' || playlist_id || ' ' || coalesce(name, '')", "sync_odd_items").await;
        let odd_left: std::collections::BTreeSet<String> = odd_left.into_iter().collect();
        assert_eq!(odd_left, ["playlists p1 ", "plays  Talk", "tracks  "].map(str::to_owned).into());
        assert_eq!(db.texts("position", "sync_odd_items WHERE entity_type = 'tracks'").await, ["2"]);
        assert_eq!(db.texts("offset_from", "sync_gaps").await, ["9"], "an open gap is not over");
        assert_eq!((db.count("sync_batches").await, db.count("request_ledger").await), (1, 0));
        let blocked = "rate_limits WHERE blocked_until IS NOT NULL";
        assert_eq!(db.texts("family", blocked).await, ["artists"]);
        assert_eq!(db.texts("family", "cooldowns").await, ["artists"]);
        assert!(num_forgotten >= 8, "{num_forgotten}");
        for (table, num_rows) in [
            ("saved_tracks WHERE removed_at IS NOT NULL", 1),
            ("library_playlists", 2),
            ("playlist_items", 2),
            ("playlist_versions", 2),
            ("plays", 1),
            ("tracks", 2),
        ] {
            assert_eq!(db.count(table).await, num_rows, "{table}");
        }
        assert_eq!(db.store.forget_notes_before(at(40 * DAY)).await.unwrap(), 0, "once is enough");
    });
}
