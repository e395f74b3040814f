//! Playlists and their items: what is due, and what the end of a walk means.

use super::*;
use crate::model::Membership::{Known, New, Returned};
use crate::model::batch::PlaylistEnd;

fn item(id: &str) -> PlaylistItem {
    PlaylistItem {
        kind: PlaylistItemKind::Track,
        uri: Some(format!("spotify:track:{id}")),
        name: Some(format!("track {id}")),
        added_at: Some(at(-50)),
        added_by: Some("mira".into()),
        track: Some(track(id)),
    }
}

fn missing() -> PlaylistItem {
    PlaylistItem { kind: PlaylistItemKind::Missing, uri: None, name: None, added_at: None, added_by: None, track: None }
}

fn part(playlist_id: &str, items: Vec<PlaylistItem>, end: Option<PlaylistEnd>) -> Rows {
    Rows::PlaylistItems(vec![PlaylistPart { playlist_id: playlist_id.into(), offset: 0, items, odd: vec![], end }])
}

fn complete(snapshot_id: &str, total: u32) -> Option<PlaylistEnd> {
    Some(PlaylistEnd::Complete { snapshot_id: Some(snapshot_id.into()), total })
}

async fn stale(db: &Db, now: DateTime<Utc>) -> Vec<String> {
    db.store.stale_playlists(db.account, now).await.unwrap().into_iter().map(|playlist| playlist.id).collect()
}

#[test]
fn playlists_are_due_in_library_order_until_their_items_are_read() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let unknown = Playlist { snapshot_id: None, ..playlist("p0", "") };
        run.commit(playlists([playlist("p9", "s1"), playlist("p1", "s1"), unknown]), at(1)).await;
        assert_eq!(stale(db, at(1)).await, ["p9", "p1", "p0"]);
        let first = db.store.stale_playlists(db.account, at(1)).await.unwrap().remove(0);
        let expected = StalePlaylist {
            id: "p9".into(),
            name: "playlist p9".into(),
            snapshot_id: Some("s1".into()),
            total_items: Some(2),
            gaps: vec![],
        };
        assert_eq!(first, expected);

        run.commit(part("p9", vec![item("t1")], complete("s1", 1)), at(2)).await;
        run.commit(part("p0", vec![], Some(PlaylistEnd::Complete { snapshot_id: None, total: 0 })), at(3)).await;
        assert_eq!(stale(db, at(4)).await, ["p1", "p0"], "without a snapshot nobody can tell");

        run.commit(playlists([playlist("p9", "s2"), playlist("p1", "s1")]), at(5)).await;
        assert_eq!(stale(db, at(6)).await[0], "p9");
    });
}

#[test]
fn items_are_counted_by_place_and_the_tail_is_dropped_at_the_end() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        let first = run.commit(part("p1", vec![item("t1"), missing(), item("t3")], complete("s1", 3)), at(2)).await;
        assert_eq!(first.counts, ItemCounts { odd: 1, ..counts(3, 3, 0, 0) });
        assert_eq!(db.texts("playlist_id || position || reason", "sync_odd_items").await, ["p11missing"]);
        assert_eq!(db.texts("id", "tracks ORDER BY id").await, ["t1", "t3"]);

        let second = run.commit(part("p1", vec![item("t1"), item("t3")], complete("s2", 2)), at(3)).await;

        assert_eq!(second.counts, ItemCounts { removed: 1, ..counts(2, 0, 1, 1) });
        assert_eq!(db.texts("track_id", "playlist_items ORDER BY position").await, ["t1", "t3"]);
        assert_eq!(db.count("sync_odd_items").await, 0);
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s2"]);
        assert_eq!(db.store.library_counts(db.account).await.unwrap().playlist_items, 2);
    });
}

#[test]
fn what_is_odd_about_an_item_is_recorded_until_it_is_read_again() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        let odd = vec![
            (50, Oddity::MissingName),
            (51, Oddity::Undecodable("item.id".into())),
            (99, Oddity::Undecodable("item.album".into())),
        ];
        let items = vec![item("t1"), missing(), missing(), item("t4")];
        let part = PlaylistPart { playlist_id: "p1".into(), offset: 50, items, odd, end: None };
        let report = run.commit(Rows::PlaylistItems(vec![part.clone()]), at(2)).await;
        assert_eq!(report.counts.odd, 3);
        let recorded = "sync_odd_items WHERE playlist_id = 'p1' ORDER BY position";
        let reasons = db.texts("position || ' ' || reason", recorded).await;
        assert_eq!(reasons, ["50 missing_name", "51 undecodable: item.id", "52 missing"]);

        let items = vec![item("t1"), item("t2"), item("t3"), item("t4")];
        run.commit(Rows::PlaylistItems(vec![PlaylistPart { items, odd: vec![], ..part }]), at(3)).await;
        assert_eq!(db.count("sync_odd_items").await, 0);
    });
}

#[test]
fn a_playlist_that_does_not_say_how_long_it_is_is_not_called_empty() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([Playlist { total_items: None, ..playlist("p1", "s1") }]), at(1)).await;
        assert_eq!(db.store.stale_playlists(db.account, at(1)).await.unwrap()[0].total_items, None);
    });
}

#[test]
fn a_place_follows_its_source_whole() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], None), at(2)).await;
        run.commit(part("p1", vec![missing()], None), at(3)).await;
        assert_eq!(db.texts("kind", "playlist_items").await, ["missing"]);
        let emptied = "playlist_items WHERE uri IS NULL AND track_id IS NULL AND name IS NULL AND added_at IS NULL";
        assert_eq!(db.count(emptied).await, 1);
    });
}

#[test]
fn an_unreadable_playlist_is_tried_again_after_a_week_and_only_if_it_changed() {
    on_both(async |db| {
        let week = 7 * 24 * 3600;
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(1)).await;
        let end = Some(PlaylistEnd::Unreadable { snapshot_id: Some("s1".into()) });
        run.commit(part("p1", vec![], end), at(2)).await;
        assert_eq!(db.count("playlist_items").await, 1, "what was known stays");
        assert_eq!(stale(db, at(week + 10)).await, [""; 0], "unchanged");
        run.commit(playlists([playlist("p1", "s2")]), at(3)).await;
        assert_eq!(stale(db, at(week)).await, [""; 0], "changed, but asked lately");
        assert_eq!(stale(db, at(week + 10)).await, ["p1"]);
        run.commit(part("p1", vec![], complete("s2", 0)), at(week + 11)).await;
        assert_eq!(db.count("playlists WHERE items_readable").await, 1);
    });
}

#[test]
fn an_unread_range_makes_a_playlist_due_for_just_that() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        let gap = |from, to| Gap {
            playlist_id: Some("p1".into()),
            offset_from: from,
            offset_to: to,
            pass: 1,
            total: None,
            reason: "500".into(),
            since: at(2),
        };
        let effects = Effects { new_gaps: vec![gap(50, 100), gap(0, 1), gap(300, 350)], ..Effects::default() };
        run.commit_with(part("p1", vec![item("t1")], complete("s1", 120)), effects, at(2)).await;
        let due = db.store.stale_playlists(db.account, at(3)).await.unwrap();
        assert_eq!(due[0].gaps, [(0, 1), (50, 100), (300, 350)], "found by this very commit, so kept");

        // Read again at the same length: what lies beyond it is no gap.
        run.commit(part("p1", vec![], complete("s1", 120)), at(4)).await;
        assert_eq!(db.store.stale_playlists(db.account, at(4)).await.unwrap()[0].gaps, [(0, 1), (50, 100)]);

        let healed = Effects { healed_gaps: vec![gap(0, 100)], ..Effects::default() };
        run.commit_with(part("p1", vec![item("t1")], Some(PlaylistEnd::GapFilled)), healed, at(5)).await;
        assert_eq!(stale(db, at(6)).await, [""; 0]);
    });
}

#[test]
fn a_playlist_that_moved_is_known_and_updated() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1"), playlist("p2", "s1")]), at(1)).await;
        let moved = run.commit(playlists([playlist("p2", "s1"), playlist("p1", "s1")]), at(2)).await;
        assert_eq!((moved.counts, moved.memberships), (counts(2, 0, 2, 0), vec![Known; 2]));
        let same = run.commit(playlists([playlist("p2", "s1"), playlist("p1", "s1")]), at(3)).await;
        assert_eq!(same.counts, counts(2, 0, 0, 2));
    });
}

#[test]
fn a_playlist_that_is_followed_again_returns_wherever_it_stands() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1"), playlist("p2", "s1")]), at(1)).await;
        let removal = Effects { removal: Some(Removal { pass: 1, of: Gone::All }), ..Effects::default() };
        run.commit_with(Rows::Listing(vec![]), removal, at(2)).await;
        assert_eq!(stale(db, at(3)).await, [""; 0], "what left the library is not due");
        let back =
            run.commit(playlists([playlist("p1", "s1"), playlist("p3", "s1"), playlist("p2", "s1")]), at(3)).await;
        assert_eq!((back.counts, back.memberships), (counts(3, 1, 2, 0), vec![Returned, New, Returned]));
        assert_eq!(stale(db, at(4)).await, ["p1", "p3", "p2"]);
    });
}

#[test]
fn what_an_owner_clears_is_cleared_and_silence_clears_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        let silent = Playlist {
            name: String::new(),
            description: None,
            public: None,
            collaborative: None,
            owner_id: None,
            owner_name: None,
            total_items: None,
            ..playlist("p1", "s1")
        };
        run.commit(playlists([silent]), at(2)).await;
        let columns = "name || description || CASE WHEN public AND NOT collaborative THEN owner_id || owner_name END \
                       || total_items";
        assert_eq!(db.texts(columns, "playlists").await, ["playlist p1for the roadmiraMira2"]);
        assert_eq!(db.texts("rev", "playlists").await, ["1"]);
        let cleared = Playlist { description: Some(String::new()), public: Some(false), ..playlist("p1", "s2") };
        run.commit(playlists([cleared]), at(3)).await;
        assert_eq!(db.count("playlists WHERE description = '' AND NOT public").await, 1);
    });
}
