//! Items of playlists that are read once more, although their listing has not changed.

use super::playlists::{complete, item, items_of, missing, part, stale};
use super::*;

const DAY: i64 = 86_400;

/// One answer with an empty row was final until the playlist was edited.
#[test]
fn rows_that_an_answer_may_have_spoilt_are_read_once_more_after_a_day() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let nameless = PlaylistItem { kind: PlaylistItemKind::Unknown, name: Some("Riva".into()), ..missing() };
        let twice = vec![item("t1"), item("t2"), item("t2")];
        for (n, spoilt) in
            (0..).zip([vec![item("t1"), missing(), item("t3")], vec![item("t1"), nameless, item("t3")], twice])
        {
            let (snapshot, now) = (format!("s{n}"), n * 10 * DAY);
            let listed = Playlist { total_items: Some(3), ..playlist("p1", &snapshot) };
            run.commit(playlists([listed]), at(now)).await;
            run.commit(part("p1", spoilt.clone(), complete(&snapshot, 3)), at(now)).await;
            assert_eq!(stale(db, at(now + DAY - 1)).await, [""; 0], "{spoilt:?}");
            assert_eq!(stale(db, at(now + DAY)).await, ["p1"], "{spoilt:?}");
            run.commit(part("p1", spoilt.clone(), complete(&snapshot, 3)), at(now + DAY)).await;
            assert_eq!(stale(db, at(now + 8 * DAY - 1)).await, [""; 0], "it is so");
            // What is unavailable may be available again.
            let is_due = spoilt.iter().any(|item| item.uri.is_none());
            assert_eq!(stale(db, at(now + 8 * DAY)).await.len(), usize::from(is_due), "{spoilt:?}");
        }
        let whole = vec![item("t1"), item("t2"), item("t3")];
        let listed = Playlist { total_items: Some(3), ..playlist("p1", "s9") };
        run.commit(playlists([listed]), at(100 * DAY)).await;
        run.commit(part("p1", whole.clone(), complete("s9", 3)), at(100 * DAY)).await;
        assert_eq!(stale(db, at(101 * DAY)).await, ["p1"], "the count does not show that one item is another");
        run.commit(part("p1", whole, complete("s9", 3)), at(101 * DAY)).await;
        assert_eq!(stale(db, at(110 * DAY)).await, [""; 0], "nothing is in doubt");
    });
}

/// Nothing but one answer shows another order, or items in place of others: each is confirmed, as long as it changes.
#[test]
fn changes_that_the_count_does_not_show_are_read_once_more_after_a_day() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let listed = |snapshot: &str, len: i32| Playlist { total_items: Some(len), ..playlist("p1", snapshot) };
        let read = async |snapshot: &str, ids: &[&str], day: i64| {
            let (now, len) = (at(day * DAY), ids.len());
            run.commit(playlists([listed(snapshot, len as i32)]), now).await;
            run.commit(part("p1", ids.iter().map(|id| item(id)).collect(), complete(snapshot, len as u32)), now).await;
            stale(db, at(day * DAY + DAY)).await
        };
        assert_eq!(read("s1", &["t1", "t2", "t3"], 1).await, [""; 0], "nothing was known");
        assert_eq!(read("s2", &["t1", "t2", "t3", "t4"], 2).await, [""; 0], "the count shows one more");
        assert_eq!(read("s3", &["t1", "t2", "t4"], 3).await, [""; 0], "the count shows one less");
        assert_eq!(read("s4", &["t1", "t9", "t4"], 4).await, ["p1"], "one for another");
        assert_eq!(read("s4", &["t1", "t5", "t4"], 5).await, ["p1"], "another one, for the same snapshot");
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t9", "2t4"], "one answer does not prove it");
        assert_eq!(read("s4", &["t1", "t5", "t4"], 6).await, ["p1"], "it is believed, and confirmed");
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t5", "2t4"]);
        assert_eq!(read("s4", &["t1", "t5", "t4"], 7).await, [""; 0], "it is so");
        assert_eq!(read("s5", &["t5", "t1", "t4"], 8).await, ["p1"], "another order");
        assert_eq!(read("s5", &["t5", "t1", "t4"], 9).await, [""; 0], "it is so, too");
    });
}
