//! What is in doubt about the items of a playlist, whoever left it so.

use super::effects::{found, healed};
use super::playlists::*;
use super::*;
use crate::model::batch::PlaylistEnd;

const DAY: i64 = 86_400;

/// The kinds of readings after which nothing that was held is missing any more.
#[test]
fn a_reading_that_shows_what_is_held_ends_the_wait_whoever_makes_it() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        let all: Vec<PlaylistItem> = (0..40).map(|n| item(&format!("t{n}"))).collect();
        let few = |snapshot: &str| part("p1", all[..8].to_vec(), complete(snapshot, 8));
        let whole = |snapshot: &str| part("p1", all.clone(), complete(snapshot, 40));
        let refused = || Some(PlaylistEnd::Failed(failed(FailureKind::Refused, "s2", 0)));
        list_for_both(&mira, &noor, "s1").await;
        mira.commit(whole("s1"), at(1)).await;
        for (n, reader, fails_first) in [(1, &mira, false), (2, &mira, true), (3, &noor, false)] {
            let now = n * 10 * DAY;
            assert_eq!(mira.commit(few("s2"), at(now)).await.readings.len(), 1);
            assert_eq!(db.count("held_removals").await, 32);
            if fails_first {
                mira.commit(part("p1", vec![], refused()), at(now + 1)).await;
                assert_eq!(
                    due(&mira, now + 2).await,
                    ["p1"],
                    "what is held is looked at, though it is listed as it is"
                );
            }
            reader.commit(whole("s1"), at(now + 7_200)).await;
            assert_eq!(db.count("held_removals").await, 0, "{n}");
            assert_eq!(mira.commit(few("s2"), at(now + DAY)).await.readings.len(), 1, "{n}: one answer");
            mira.commit(whole("s1"), at(now + DAY + 1)).await;
            assert_eq!(db.count("playlist_items").await, 40);
        }
    });
}

#[test]
fn nothing_is_held_of_a_playlist_that_has_left_the_library() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1"), uncounted("p2", "s1")]), at(1)).await;
        for id in ["p1", "p2"] {
            run.commit(part(id, vec![item("t1")], complete("s1", 1)), at(1)).await;
            run.commit(part(id, vec![], complete("s2", 0)), at(2)).await;
        }
        assert_eq!(db.texts("playlist_id", "held_removals").await, ["p1", "p2"]);
        let gone = Effects { removed_ids: vec!["p1".into()], ..Effects::default() };
        run.commit_with(playlists([]), gone, at(3)).await;
        assert_eq!(db.texts("playlist_id", "held_removals").await, ["p2"]);
    });
}

#[test]
fn what_one_account_has_left_open_is_looked_at_by_whoever_lists_it() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        mira.commit(part("p1", vec![item("t1"), missing()], complete("s1", 2)), at(1)).await;
        assert_eq!((due(&noor, DAY).await, due(&noor, DAY + 1).await), (vec![], vec!["p1".to_owned()]));
        // Mira's sign-in may have ended meanwhile.
        noor.commit(part("p1", vec![item("t1"), item("t2")], complete("s1", 2)), at(DAY + 1)).await;
        noor.commit(part("p1", vec![item("t1"), item("t2")], complete("s1", 2)), at(DAY + 2)).await;
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2"]);
        noor.commit(part("p1", vec![item("t1"), item("t2")], complete("s1", 2)), at(3 * DAY)).await;
        for run in [&mira, &noor] {
            assert_eq!(due(run, 30 * DAY).await, [""; 0]);
        }
    });
}

#[test]
fn a_range_that_one_account_could_not_read_is_filled_by_whoever_lists_it() {
    on_both(async |db| {
        let (mira, noor) = two_accounts(db).await;
        list_for_both(&mira, &noor, "s1").await;
        let unserved = Effects { new_gaps: vec![found(Some("p1"), 1, 2)], ..Effects::default() };
        mira.commit_with(part("p1", vec![item("t1")], complete("s1", 2)), unserved, at(1)).await;
        let stale = db.store.stale_playlists(noor.account, at(2)).await.unwrap();
        assert_eq!((stale.len(), stale[0].gaps.as_slice(), stale[0].fills_only), (1, &[(1, 2)][..], true));
        let filled = Effects { healed_gaps: vec![healed(Some("p1"), 1, 2)], ..Effects::default() };
        let fill = PlaylistPart { offset: 1, items: vec![item("t2")], end: Some(PlaylistEnd::GapFilled), ..one("p1") };
        noor.commit_with(Rows::PlaylistItems(vec![fill]), filled, at(3)).await;
        assert_eq!(db.count("sync_gaps WHERE healed_at IS NULL").await, 0);
        assert_eq!((due(&mira, 4).await, due(&noor, 4).await), (vec![], vec![]));
    });
}

async fn due(run: &Run<'_>, now: i64) -> Vec<String> {
    let stale = run.db.store.stale_playlists(run.account, at(now)).await.unwrap();
    stale.into_iter().map(|playlist| playlist.id).collect()
}
