//! Many items of a playlist missing from a reading at once.

use super::playlists::*;
use super::*;

#[test]
fn many_items_gone_at_once_wait_for_a_second_look_that_misses_the_same() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        let all: Vec<PlaylistItem> = (0..40).map(|n| item(&format!("t{n}"))).collect();
        let few = || part("p1", all[..20].to_vec(), complete("s2", 20));
        run.commit(part("p1", all.clone(), complete("s1", 40)), at(1)).await;
        run.commit(playlists([uncounted("p1", "s2")]), at(1)).await;

        let held = [ReadingOutcome::Held { playlist_id: "p1".into(), num_missing: 20, num_held: 40 }];
        for now in [2, 3601] {
            assert_eq!(run.commit(few(), at(now)).await.readings, held);
            assert_eq!((db.count("playlist_items").await, db.count("held_removals").await), (40, 20));
            assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s1"]);
            assert_eq!(stale(db, at(now)).await, ["p1"]);
        }
        assert_eq!(db.count("playlist_versions").await, 1, "history says nothing of it");
        // Others are missing now: the wait starts over for them.
        let other = part("p1", all[1..20].to_vec(), complete("s2", 19));
        assert_eq!(run.commit(other, at(3700)).await.readings.len(), 1);
        assert_eq!(run.commit(few(), at(3701)).await.readings, []);
        assert_eq!((db.count("playlist_items").await, db.count("held_removals").await), (20, 0));
    });
}

#[test]
fn all_items_gone_are_back_when_the_answer_is_right_again() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(1)).await;
        assert_eq!(run.commit(part("p1", vec![], complete("s1", 0)), at(2)).await.readings.len(), 1);
        assert_eq!(db.texts("item_id", "held_removals").await, ["spotify:track:t1"]);
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(3)).await;
        assert_eq!((db.count("held_removals").await, db.count("playlist_items").await), (0, 1));
        assert_eq!(db.count("playlist_readings WHERE failure IS NULL").await, 1);
        // A person's confirmation counts at once.
        run.commit(part("p1", vec![], complete("s2", 0)), at(4)).await;
        db.execute("UPDATE held_removals SET is_confirmed = (item_id = item_id)").await;
        assert_eq!(run.commit(part("p1", vec![], complete("s2", 0)), at(5)).await.readings, []);
        assert_eq!(db.count("playlist_items").await, 0);
    });
}

/// Found by the simulation: the only item of a playlist could no longer be served, and the gap took its place.
#[test]
fn all_items_that_cannot_be_served_any_more_stay_until_a_second_look() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(1)).await;
        let unserved = || part("p1", vec![], complete("s2", 1));
        assert_eq!(run.commit(unserved(), at(2)).await.readings.len(), 1);
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s1"]);
        assert_eq!(run.commit(unserved(), at(3602)).await.readings, []);
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s2"]);
    });
}

#[test]
fn an_item_that_may_be_one_of_those_that_are_not_given_is_not_called_removed() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1"), item("t2")], complete("s1", 2)), at(1)).await;
        let hiding = PlaylistPart { items: vec![item("t1")], num_hidden: 1, end: complete("s2", 2), ..one("p1") };
        assert_eq!(run.commit(Rows::PlaylistItems(vec![hiding]), at(2)).await.readings.len(), 1);
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2"]);
    });
}
