//! Playlists and their items: what is due, and what the end of a walk means.

use super::effects::{found, healed};
use super::*;
use crate::model::Membership::{Known, New, Returned};
use crate::model::batch::PlaylistEnd;

pub(super) fn item(id: &str) -> PlaylistItem {
    PlaylistItem {
        kind: PlaylistItemKind::Track,
        uri: Some(format!("spotify:track:{id}")),
        name: Some(format!("track {id}")),
        added_at: Some(at(-50)),
        added_by: Some("mira".into()),
        track: Some(track(id)),
    }
}

pub(super) fn missing() -> PlaylistItem {
    PlaylistItem { kind: PlaylistItemKind::Missing, uri: None, name: None, added_at: None, added_by: None, track: None }
}

pub(super) fn part(playlist_id: &str, items: Vec<PlaylistItem>, end: Option<PlaylistEnd>) -> Rows {
    Rows::PlaylistItems(vec![PlaylistPart { playlist_id: playlist_id.into(), items, end, ..PlaylistPart::default() }])
}

pub(super) fn complete(snapshot_id: &str, total: u32) -> Option<PlaylistEnd> {
    Some(PlaylistEnd::Complete { snapshot_id: Some(snapshot_id.into()), total, failure: None, healed: vec![] })
}

pub(super) async fn stale(db: &Db, now: DateTime<Utc>) -> Vec<String> {
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
            is_own: true,
            ..StalePlaylist::default()
        };
        assert_eq!(first, expected);

        run.commit(part("p9", vec![item("t1"), item("t2")], complete("s1", 2)), at(2)).await;
        run.commit(
            part(
                "p0",
                vec![],
                Some(PlaylistEnd::Complete { snapshot_id: None, total: 0, failure: None, healed: vec![] }),
            ),
            at(3),
        )
        .await;
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
            (0, Oddity::MissingName),
            (1, Oddity::Undecodable("item.id".into())),
            (99, Oddity::Undecodable("item.album".into())),
        ];
        let items = vec![item("t1"), missing(), missing(), item("t4")];
        let part = PlaylistPart { playlist_id: "p1".into(), offset: 0, items, odd, ..PlaylistPart::default() };
        let report = run.commit(Rows::PlaylistItems(vec![part.clone()]), at(2)).await;
        assert_eq!(report.counts.odd, 3);
        let recorded = "sync_odd_items WHERE playlist_id = 'p1' ORDER BY position";
        let reasons = db.texts("position || ' ' || reason", recorded).await;
        assert_eq!(reasons, ["0 missing_name", "1 undecodable: item.id", "2 missing"]);

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
fn an_unread_range_makes_a_playlist_due_for_just_that() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        let gap = |from, to| found(Some("p1"), from, to);
        let effects = Effects { new_gaps: vec![gap(50, 100), gap(0, 1), gap(300, 350)], ..Effects::default() };
        run.commit_with(part("p1", vec![item("t1")], complete("s1", 120)), effects, at(2)).await;
        let due = db.store.stale_playlists(db.account, at(3)).await.unwrap();
        assert_eq!(due[0].gaps, [(0, 1), (50, 100), (300, 350)], "found by this very commit, so kept");

        // Read again at the same length: what lies beyond it is no gap.
        run.commit(part("p1", vec![item("t1")], complete("s1", 120)), at(4)).await;
        assert_eq!(db.store.stale_playlists(db.account, at(4)).await.unwrap()[0].gaps, [(0, 1), (50, 100)]);

        let filled = Effects { healed_gaps: vec![healed(Some("p1"), 0, 100)], ..Effects::default() };
        run.commit_with(part("p1", vec![item("t1")], Some(PlaylistEnd::GapFilled)), filled, at(5)).await;
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

#[test]
fn a_reading_of_several_commits_leaves_the_items_alone_until_it_is_whole() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1"), item("t2"), item("t3")], complete("s1", 3)), at(2)).await;
        run.commit(part("p1", vec![item("t1"), item("t4")], None), at(3)).await;
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2", "2t3"]);
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s1"]);

        run.commit(from(2, vec![item("t3")], complete("s2", 3)), at(4)).await;

        assert_eq!(items_of(db, "p1").await, ["0t1", "1t4", "2t3"]);
        assert_eq!(db.texts("items_snapshot_id || items_held", "playlists").await, ["s23"]);
        assert_eq!((db.count("playlist_items_read").await, db.count("playlist_walks").await), (0, 0));
        assert_eq!(db.texts("items_added || ' ' || items_removed", "playlist_versions").await, ["3 0"], "of one run");
    });
}

#[test]
fn a_first_reading_is_written_in_place_and_carried_on_where_it_stopped() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1"), item("t2")], None), at(2)).await;
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2"]);
        assert_eq!((db.count("playlist_items_read").await, num_read(db, "p1").await), (0, 2));
        assert_eq!(db.count("playlists WHERE items_held IS NULL").await, 1, "nobody has read it whole");

        // Restarted, with fewer items: nothing of the first try is left behind.
        run.commit(part("p1", vec![item("t9")], None), at(3)).await;
        run.commit(from(1, vec![item("t2")], complete("s2", 2)), at(4)).await;
        assert_eq!(items_of(db, "p1").await, ["0t9", "1t2"]);
        assert_eq!(num_read(db, "p1").await, 0);
    });
}

#[test]
fn a_part_that_does_not_continue_its_reading_is_dropped() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(2)).await;
        let report = run.commit(from(5, vec![item("t6")], complete("s2", 6)), at(3)).await;
        assert_eq!(report.readings, [ReadingOutcome::Outrun { playlist_id: "p1".into() }]);
        assert_eq!(items_of(db, "p1").await, ["0t1"]);
        assert_eq!(stale(db, at(4)).await, [""; 0]);
    });
}

#[test]
fn an_older_reading_does_not_take_the_place_of_a_newer_whole_one() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        mira.commit(part("p1", vec![item("t1"), item("t2")], complete("s0", 2)), at(1)).await;
        // Mira begins at s1, and meanwhile Noor, whose listing is newer, reads s2 whole.
        mira.commit(part("p1", vec![item("t3")], None), at(2)).await;
        noor.commit(playlists([uncounted("p1", "s2")]), at(3)).await;
        let old = generation(db, "p1").await;
        noor.commit(part("p1", vec![item("t4"), item("t5"), item("t1")], complete("s2", 3)), at(4)).await;

        let mut rest = PlaylistPart { offset: 1, items: vec![item("t2")], end: complete("s1", 2), ..one("p1") };
        rest.generation = old;
        let report = mira.db.store.commit(Box::new(mira.commit_of(Rows::PlaylistItems(vec![rest]))), at(5)).await;

        assert_eq!(report.unwrap().readings, [ReadingOutcome::Outrun { playlist_id: "p1".into() }]);
        assert_eq!(items_of(db, "p1").await, ["0t4", "1t5", "2t1"]);
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s2"]);
        assert_eq!(db.count("playlist_items_read").await, 0);
        for account in [mira.account, noor.account] {
            assert_eq!(db.store.stale_playlists(account, at(6)).await.unwrap(), [], "it lists what is held");
        }
    });
}

#[test]
fn two_accounts_that_read_at_once_do_not_meet() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        // Neither has ever read it: Mira writes in place, Noor apart.
        mira.commit(part("p1", vec![item("t1"), item("t2")], None), at(1)).await;
        noor.commit(part("p1", vec![item("t1")], None), at(2)).await;
        assert_eq!(db.count("playlist_items_read").await, 1);
        noor.commit(from(1, vec![item("t9")], complete("s2", 2)), at(3)).await;
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t9"]);
        assert_eq!(db.texts("items_added", "playlist_versions").await, ["2"], "the first reading of the playlist");
        // Mira dies, or ends: what she brings is older, and changes nothing.
        let mut rest = PlaylistPart { offset: 2, items: vec![item("t3")], end: complete("s1", 3), ..one("p1") };
        rest.generation = 0;
        mira.db.store.commit(Box::new(mira.commit_of(Rows::PlaylistItems(vec![rest]))), at(4)).await.unwrap();
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t9"]);
        assert_eq!((db.count("playlist_walks").await, db.count("playlist_items_read").await), (0, 0));
    });
}

#[test]
fn whoever_reads_the_same_snapshot_later_holds_it_too() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        let whole = |generation| {
            let items = vec![item("t1")];
            Rows::PlaylistItems(vec![PlaylistPart { generation, items, end: complete("s1", 1), ..one("p1") }])
        };
        for run in [&mira, &noor] {
            let report = run.db.store.commit(Box::new(run.commit_of(whole(0))), at(2)).await.unwrap();
            assert_eq!(report.readings, []);
        }
        assert_eq!(db.texts("snapshot_id", "playlist_readings").await, ["s1", "s1"]);
        assert_eq!(db.count("playlist_versions").await, 1);
    });
}

#[test]
fn what_one_account_may_not_see_stops_nobody_else() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        let refused = FailedReading { is_unreadable: true, ..failed(FailureKind::Refused, "s1", 7 * 24 * 3600) };
        let refuse = || part("p1", vec![], Some(PlaylistEnd::Failed(refused.clone())));
        noor.commit(refuse(), at(1)).await;
        assert_eq!(db.count("playlists WHERE items_readable").await, 0, "by nobody who tried");
        let due = async |run: &Run<'_>, now| db.store.stale_playlists(run.account, at(now)).await.unwrap().len();
        assert_eq!((due(&noor, 2).await, due(&mira, 2).await), (0, 1));

        mira.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(3)).await;
        noor.commit(refuse(), at(4)).await;

        assert_eq!(db.count("playlists WHERE items_readable AND items_snapshot_id = 's1'").await, 1);
        assert_eq!(items_of(db, "p1").await, ["0t1"]);
        let waiting = db.store.waiting_playlists(noor.account, at(5)).await.unwrap();
        assert_eq!(waiting, [], "the items are those of its snapshot, whoever read them");
        mira.commit(playlists([playlist("p1", "s2")]), at(6)).await;
        let waiting = db.store.waiting_playlists(noor.account, at(7)).await.unwrap().remove(0);
        assert_eq!((waiting.failure, waiting.num_tries, waiting.is_readable), ("refused", 2, false));
        assert_eq!((waiting.since, waiting.next_try_at), (at(1), Some(at(4 + 7 * 24 * 3600))));
        assert_eq!((due(&noor, 7).await, due(&mira, 7).await), (0, 1));
        assert_eq!(due(&noor, 4 + 7 * 24 * 3600).await, 1, "rights do change");

        db.store.purge(mira.account, Imported::Kept).await.unwrap();
        assert_eq!(db.count("playlists WHERE items_readable").await, 0);
    });
}

#[test]
fn a_refusal_does_not_say_that_the_snapshot_was_read() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(1)).await;
        run.commit(playlists([playlist("p1", "s2")]), at(2)).await;
        run.commit(part("p1", vec![], Some(PlaylistEnd::Failed(failed(FailureKind::Refused, "s2", 60)))), at(3)).await;
        assert_eq!(db.texts("items_snapshot_id", "playlists WHERE items_readable").await, ["s1"]);
        assert_eq!((stale(db, at(62)).await, stale(db, at(63)).await), (vec![], vec!["p1".to_owned()]));
        run.commit(part("p1", vec![item("t2"), item("t1")], complete("s2", 2)), at(64)).await;
        assert_eq!(db.count("playlist_readings WHERE failure IS NULL AND tries = 0 AND snapshot_id = 's2'").await, 1);
    });
}

#[test]
fn a_playlist_with_other_rows_than_its_listing_counts_is_due_though_its_snapshot_is_held() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1")], complete("s1", 1)), at(2)).await;
        let due = db.store.stale_playlists(db.account, at(3)).await.unwrap();
        assert_eq!((due[0].num_held, due[0].total_items), (Some(1), Some(2)));
        // One is counted but not given: noted, and not asked for again.
        let hiding = PlaylistPart { items: vec![item("t1")], num_hidden: 1, end: complete("s1", 2), ..one("p1") };
        run.commit(Rows::PlaylistItems(vec![hiding]), at(4)).await;
        assert_eq!(stale(db, at(5)).await, [""; 0]);
        assert_eq!(db.texts("items_held || ' ' || items_hidden", "playlists").await, ["1 1"]);
    });
}

#[test]
fn rows_where_something_is_counted_and_not_given_are_not_left_behind() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let all = ["t1", "t2", "t3", "t4"];
        for is_in_parts in [false, true] {
            run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
            run.commit(part("p1", all.map(item).into(), complete("s1", 4)), at(1)).await;
            let rule = RemovalGuard { wait: Duration::ZERO, ..RemovalGuard::default() };
            let effects = || Effects { item_removals: rule, ..Effects::default() };
            // t3 was moved to where t2 was, and t2 to a place that is not given.
            let hiding = PlaylistPart { items: vec![item("t1")], num_hidden: 1, ..one("p1") };
            let rest = |end| PlaylistPart { offset: 2, items: vec![item("t3"), item("t2")], end, ..one("p1") };
            let last = PlaylistPart { offset: 4, items: vec![item("t4")], end: complete("s2", 5), ..one("p1") };
            if is_in_parts {
                for part in [hiding, rest(None), last] {
                    run.commit_with(Rows::PlaylistItems(vec![part]), effects(), at(2)).await;
                }
            } else {
                run.commit_with(Rows::PlaylistItems(vec![hiding, rest(None), last]), effects(), at(2)).await;
            }
            assert_eq!(items_of(db, "p1").await, ["0t1", "2t3", "3t2", "4t4"], "in parts: {is_in_parts}");
            assert_eq!(db.texts("items_held || ' ' || items_hidden", "playlists").await, ["4 1"]);
        }
    });
}

pub(super) async fn items_of(db: &Db, id: &str) -> Vec<String> {
    let of_playlist = format!("playlist_items WHERE playlist_id = '{id}' ORDER BY playlist_items.position");
    db.texts("position || track_id", &of_playlist).await
}

async fn num_read(db: &Db, id: &str) -> u32 {
    let stale = db.store.stale_playlists(db.account, at(1000)).await.unwrap();
    stale.into_iter().find(|playlist| playlist.id == id).map_or(0, |playlist| playlist.num_read)
}

async fn generation(db: &Db, id: &str) -> i64 {
    db.texts("items_generation", &format!("playlists WHERE id = '{id}'")).await[0].parse().unwrap()
}

pub(super) fn one(playlist_id: &str) -> PlaylistPart {
    PlaylistPart { playlist_id: playlist_id.into(), ..PlaylistPart::default() }
}

/// Items of `p1` from a position on.
fn from(offset: u32, items: Vec<PlaylistItem>, end: Option<PlaylistEnd>) -> Rows {
    Rows::PlaylistItems(vec![PlaylistPart { offset, items, end, ..one("p1") }])
}

pub(super) async fn two_accounts(db: &Db) -> (Run<'_>, Run<'_>) {
    let noor = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
    (db.begin(EntityType::Playlists).await, db.begin_for(noor, EntityType::Playlists).await)
}

/// A playlist whose listing does not say how long it is.
pub(super) fn uncounted(id: &str, snapshot_id: &str) -> Playlist {
    Playlist { total_items: None, ..playlist(id, snapshot_id) }
}

pub(super) async fn list_for_both(mira: &Run<'_>, noor: &Run<'_>, snapshot_id: &str) {
    for run in [mira, noor] {
        run.commit(playlists([uncounted("p1", snapshot_id)]), at(0)).await;
    }
}
