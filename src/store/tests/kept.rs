//! What a poorer reading does not erase: in the places of playlists, and in texts of every kind.

use super::playlists::{complete, item, one, part};
use super::spoken::{episode, of_episode, show};
use super::*;

#[test]
fn an_item_that_is_read_again_at_its_place_loses_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        run.commit(part("p1", vec![item("t1"), item("t2")], complete("s1", 2)), at(1)).await;
        let known = ["track t1|mira|dated", "track t2|mira|dated"];
        assert_eq!(places(db).await, known);
        let silent = |id: &str| PlaylistItem { name: None, added_at: None, added_by: None, ..item(id) };
        let damaged = |id: &str| PlaylistItem { name: Some("tr\u{FFFD}".into()), added_by: None, ..item(id) };
        for poorer in [["t1", "t2"].map(silent), ["t1", "t2"].map(damaged)] {
            let whole = run.commit(part("p1", poorer.to_vec(), complete("s1", 2)), at(2)).await;
            assert_eq!((whole.counts, places(db).await), (counts(2, 0, 0, 2), known.map(str::to_owned).to_vec()));

            // In two commits, and so kept apart before it replaces the rows.
            let [first, second] = poorer;
            run.commit(part("p1", vec![first], None), at(3)).await;
            let rest = PlaylistPart { offset: 1, items: vec![second], end: complete("s1", 2), ..one("p1") };
            run.commit(Rows::PlaylistItems(vec![rest]), at(3)).await;
            assert_eq!(places(db).await, known);
            assert_eq!(db.texts("rev", "playlist_items").await, ["1", "1"], "nothing was written");
        }
        let renamed =
            PlaylistItem { name: Some("another".into()), added_by: Some("noor".into()), added_at: None, ..item("t1") };
        run.commit(part("p1", vec![renamed, item("t2")], complete("s1", 2)), at(4)).await;
        assert_eq!(places(db).await, ["another|noor|dated", known[1]]);
    });
}

#[test]
fn another_item_at_a_place_inherits_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        for is_in_parts in [false, true] {
            run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
            run.commit(part("p1", ["t1", "t2", "t3"].map(item).to_vec(), complete("s1", 3)), at(1)).await;
            let silent = PlaylistItem { name: None, added_at: None, added_by: None, ..item("t4") };
            let damaged = PlaylistItem { name: Some("tr\u{FFFD}".into()), added_by: None, ..item("t3") };
            let moved = [silent, item("t2"), damaged, item("t1")];
            if is_in_parts {
                run.commit(part("p1", moved[..2].to_vec(), None), at(2)).await;
                let items = vec![item("t1"), moved[2].clone()];
                let rest = PlaylistPart { offset: 2, items, end: complete("s1", 4), ..one("p1") };
                run.commit(Rows::PlaylistItems(vec![rest]), at(2)).await;
                let expected = ["-|-|undated", "track t2|mira|dated", "track t1|mira|dated", "tr\u{FFFD}|-|dated"];
                assert_eq!(places(db).await, expected);
            } else {
                run.commit(part("p1", moved.to_vec(), complete("s1", 4)), at(2)).await;
                let expected = ["-|-|undated", "track t2|mira|dated", "track t3|mira|dated", "track t1|mira|dated"];
                assert_eq!(places(db).await, expected, "t3 stayed where it was");
            }
        }
    });
}

#[test]
fn a_text_that_arrives_damaged_does_not_replace_a_whole_one() {
    on_both(async |db| {
        let run = db.begin(EntityType::Episodes).await;
        for (text, kept) in [
            ("\u{FFFD}", "\u{FFFD}"),
            ("a \u{FFFD}", "a \u{FFFD}"),
            ("whole", "whole"),
            ("\u{FFFD}", "whole"),
            ("new", "new"),
        ] {
            let of_it = Show { publisher: Some(text.into()), ..show("s1") };
            let told = Episode { description: Some(text.into()), release_date: Some(text.into()), ..episode("e1") };
            run.commit(of_episode(Episode { show: Some(of_it), ..told }), at(1)).await;
            let texts = db.texts("description || '|' || release_date", "episodes").await;
            assert_eq!(
                (texts, db.texts("publisher", "shows").await),
                (vec![format!("{kept}|{kept}")], vec![kept.into()])
            );
        }
        let run = db.begin(EntityType::Playlists).await;
        for (text, kept) in [("", ""), ("\u{FFFD}", "\u{FFFD}"), ("whole", "whole"), ("\u{FFFD}", "whole"), ("", "")] {
            let described = Playlist { description: Some(text.into()), ..playlist("p1", "s1") };
            run.commit(playlists([described]), at(1)).await;
            assert_eq!(db.texts("description", "playlists").await, [kept], "after {text:?}");
        }
    });
}

/// Name, who added it, and whether it is known when, place by place.
async fn places(db: &Db) -> Vec<String> {
    let place = "coalesce(name, '-') || '|' || coalesce(added_by, '-') || '|' || \
                 CASE WHEN added_at IS NULL THEN 'undated' ELSE 'dated' END";
    db.texts(place, "playlist_items ORDER BY position").await
}
