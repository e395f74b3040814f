//! The history of playlists: every reading is compared with the one before, however many commits it takes.

use super::*;
use crate::model::batch::PlaylistEnd;

/// The versions, oldest first: `first`, if it is, the snapshot, and how many items were added and removed.
async fn versions(db: &Db) -> Vec<String> {
    let first = "CASE WHEN is_first THEN 'first ' ELSE '' END";
    let version = format!("{first} || coalesce(snapshot_id, '-') || ' +' || items_added || ' -' || items_removed");
    db.texts(&version, "playlist_versions ORDER BY id").await
}

/// What was added and removed, version by version: `+t1@3` was added at position 3.
async fn changes(db: &Db) -> Vec<String> {
    let sign = "CASE WHEN kind = 'added' THEN '+' ELSE '-' END";
    db.texts(&format!("{sign} || track_id || '@' || position"), "playlist_changes ORDER BY version_id, number").await
}

/// Nothing is kept that is no longer needed.
async fn assert_at_rest(db: &Db) {
    assert_eq!((db.count("playlist_walks").await, db.count("playlist_items_before").await), (0, 0));
}

#[test]
fn the_first_reading_is_a_count_and_later_ones_say_what_came_and_went() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2", "t3"], "s1").await;
        assert_eq!((versions(db).await, changes(db).await), (vec!["first s1 +3 -0".to_owned()], vec![]));

        read(&run, &["t3", "t4", "t1"], "s2").await;

        assert_eq!(versions(db).await, ["first s1 +3 -0", "s2 +1 -1"]);
        assert_eq!(changes(db).await, ["-t2@1", "+t4@1"]);
        let told = "uri || '|' || name || '|' || CASE WHEN added_at IS NULL THEN 'undated' ELSE 'dated' END";
        let removed = db.texts(told, "playlist_changes WHERE kind = 'removed'").await;
        assert_eq!(removed, ["spotify:track:t2|track t2|dated"]);
        assert_at_rest(db).await;

        read(&run, &["t1"], "s3").await;
        assert_eq!(versions(db).await[2], "s3 +0 -2");
    });
}

#[test]
fn a_new_snapshot_of_the_same_items_makes_no_version() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2", "t2"], "s1").await;
        read(&run, &["t1", "t2", "t2"], "renamed").await;
        read(&run, &["t2", "t1", "t2"], "moved").await;
        assert_eq!(versions(db).await.len(), 1);
        read(&run, &["t2", "t1"], "s2").await;
        assert_eq!(versions(db).await[1], "s2 +0 -1", "one of two went");
        assert_at_rest(db).await;
    });
}

#[test]
fn walks_that_come_to_nothing_change_nothing() {
    on_both(async |db| {
        let run = begun(db).await;
        // Stopped in the middle of the very first one, and restarted.
        commit(&run, part(0, &["t1", "t2"], None)).await;
        commit(&run, part(0, &["t1", "t2"], None)).await;
        commit(&run, part(2, &["t3", "t4"], complete("s1", 4))).await;
        assert_eq!(versions(db).await, ["first s1 +4 -0"]);

        // The rows are now half of one state and half of another, twice.
        commit(&run, part(0, &["t5", "t1"], None)).await;
        commit(&run, part(0, &["t6", "t1"], None)).await;
        commit(&run, part(2, &[], Some(PlaylistEnd::Failed(failed(FailureKind::Refused, "s1", 0))))).await;
        assert_eq!(versions(db).await.len(), 1);
        commit(&run, part(0, &["t6", "t1"], None)).await;
        commit(&run, part(2, &["t2"], None)).await;
        commit(&run, part(3, &["t4"], complete("s4", 4))).await;

        assert_eq!(versions(db).await, ["first s1 +4 -0", "s4 +1 -1"]);
        assert_eq!(changes(db).await, ["-t3@2", "+t6@0"]);
        assert_at_rest(db).await;
    });
}

#[test]
fn what_could_not_be_served_is_not_called_removed() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2", "t3"], "s1").await;
        let mut torn = part(0, &["t1", "", "t3", "t4"], complete("s2", 4));
        torn.odd = vec![(1, Oddity::Unserved)];
        let effects = Effects { new_gaps: vec![super::effects::found(Some("p1"), 1, 2)], ..Effects::default() };
        commit_with(&run, torn, effects, Uuid::new_v4()).await;
        assert_eq!(versions(db).await.len(), 1, "nobody knows yet");

        let effects = Effects { healed_gaps: vec![super::effects::healed(Some("p1"), 1, 2)], ..Effects::default() };
        commit_with(&run, part(1, &["t2"], Some(PlaylistEnd::GapFilled)), effects, Uuid::new_v4()).await;

        assert_eq!(versions(db).await[1..], ["s2 +1 -0"]);
        assert_eq!(changes(db).await, ["+t4@3"]);
        assert_at_rest(db).await;
    });
}

#[test]
fn what_is_never_served_does_not_hold_the_history_up_for_ever() {
    on_both(async |db| {
        const DAY: i64 = 86_400;
        let run = begun(db).await;
        read(&run, &["t1", "t2", "t3"], "s1").await;
        let gap = || Effects { new_gaps: vec![super::effects::found(Some("p1"), 1, 2)], ..Effects::default() };
        let torn = || part(0, &["t1", "", "t3", "t4"], complete("s2", 4));
        let nothing = || part(1, &[], Some(PlaylistEnd::GapFilled));
        commit_at(&run, torn(), gap(), Uuid::new_v4(), at(2)).await;
        commit_at(&run, nothing(), Effects::default(), Uuid::new_v4(), at(DAY)).await;
        assert_eq!(versions(db).await.len(), 1, "it may be served yet");

        commit_at(&run, nothing(), Effects::default(), Uuid::new_v4(), at(DAY + 2)).await;
        assert_eq!(
            (versions(db).await[1..].to_vec(), changes(db).await),
            (vec!["s2 +1 -0".into()], vec!["+t4@3".into()])
        );
        assert_eq!(db.count("playlist_items WHERE track_id = 't2' AND position = 1").await, 1, "as far as is known");
        assert_at_rest(db).await;

        // In truth another item stands there.
        let healed = Effects { healed_gaps: vec![super::effects::healed(Some("p1"), 1, 2)], ..Effects::default() };
        let filled = part(1, &["t9"], Some(PlaylistEnd::GapFilled));
        commit_at(&run, filled, healed, Uuid::new_v4(), at(DAY + 9)).await;
        assert_eq!(versions(db).await[2..], ["s2 +1 -1"]);
        assert_eq!(changes(db).await[1..], ["-t2@1", "+t9@1"]);
        assert_at_rest(db).await;
    });
}

#[test]
fn a_whole_reading_need_not_wait_for_a_gap_that_it_has_read() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2", "t3"], "s1").await;
        let effects = Effects { new_gaps: vec![super::effects::found(Some("p1"), 1, 2)], ..Effects::default() };
        commit_with(&run, part(0, &["t1", "", "t3"], complete("s2", 3)), effects, Uuid::new_v4()).await;
        let end =
            PlaylistEnd::Complete { snapshot_id: Some("s3".into()), total: 3, failure: None, healed: vec![(1, 2)] };
        commit_with(&run, part(0, &["t1", "t2", "t4"], Some(end)), Effects::default(), Uuid::new_v4()).await;

        assert_eq!(versions(db).await[1..], ["s3 +1 -1"]);
        assert_eq!(db.count("sync_gaps WHERE healed_at IS NULL").await, 0);
        assert_at_rest(db).await;
    });
}

#[test]
fn two_walks_of_one_run_are_one_reading() {
    on_both(async |db| {
        let run = begun(db).await;
        let walk = async |run_id, items: &[&str], snapshot| {
            let part = part(0, items, complete(snapshot, items.len() as u32));
            commit_with(&run, part, Effects::default(), run_id).await;
        };
        let [first, second, third] = [1, 2, 3].map(Uuid::from_u128);
        walk(first, &["t1", "t2"], "s1").await;
        walk(first, &["t1", "t2", "t3"], "s2").await;
        assert_eq!(versions(db).await, ["first s2 +3 -0"]);

        // t1 moved past what was read, and t3 with it: the walk saw t2 twice, and t1 nowhere.
        walk(second, &["t2", "t2", "t4"], "s3").await;
        assert_eq!(versions(db).await[1], "s3 +2 -2");
        walk(second, &["t2", "t4", "t1"], "s4").await;
        assert_eq!(versions(db).await, ["first s2 +3 -0", "s4 +1 -1"]);
        assert_eq!(changes(db).await, ["-t3@2", "+t4@1"]);

        // A torn reading that turns out to be no change leaves nothing behind.
        walk(third, &["t2", "t4", "t4"], "s5").await;
        walk(third, &["t4", "t1", "t2"], "s6").await;
        assert_eq!(versions(db).await.len(), 2);
        assert_eq!(db.count("playlist_changes").await, 2);
        assert_at_rest(db).await;
    });
}

#[test]
fn a_playlist_read_before_histories_were_kept_has_one_from_now_on() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2"], "s1").await;
        db.execute("DELETE FROM playlist_versions").await;
        read(&run, &["t2", "t3"], "s2").await;
        assert_eq!(versions(db).await, ["s2 +1 -1"]);
    });
}

#[test]
fn a_playlist_that_could_not_be_read_at_first_has_its_first_reading_later() {
    on_both(async |db| {
        let run = begun(db).await;
        commit(&run, part(0, &[], Some(PlaylistEnd::Failed(failed(FailureKind::Refused, "s1", 0))))).await;
        read(&run, &["t1", "t2"], "s2").await;
        assert_eq!(versions(db).await, ["first s2 +2 -0"]);
    });
}

#[test]
fn empty_places_come_and_go_unnoticed() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", ""], "s1").await;
        read(&run, &["", "", "t1"], "s2").await;
        assert_eq!(versions(db).await, ["first s1 +1 -0"]);
    });
}

#[test]
fn an_item_that_is_empty_for_a_while_has_neither_gone_nor_come() {
    on_both(async |db| {
        let run = begun(db).await;
        let place = async |items: &[(&str, i64)], snapshot| {
            let item = |(id, added): &(&str, i64)| match id.strip_prefix('-') {
                None => PlaylistItem { added_at: Some(at(*added)), ..item(id) },
                Some(_) => PlaylistItem { added_at: Some(at(*added)), ..empty() },
            };
            let items: Vec<PlaylistItem> = items.iter().map(item).collect();
            let end = complete(snapshot, items.len() as u32);
            commit(&run, PlaylistPart { playlist_id: "p1".into(), items, end, ..PlaylistPart::default() }).await;
            let shown =
                "kind || ' ' || coalesce(uri, '-') || ' ' || coalesce(track_id, '-') || ' ' || coalesce(name, '-')";
            db.texts(shown, "playlist_items ORDER BY position").await
        };
        place(&[("t1", 1), ("t2", 2), ("t3", 3), ("-", 9)], "s1").await;
        // Empty, and moved, since the item before it was removed.
        let shown = place(&[("-", 2), ("t3", 3), ("-", 9)], "s2").await;
        assert_eq!(shown[0], "missing spotify:track:t2 t2 track t2");
        assert_eq!(shown[2], "missing - - -");
        // Still empty, in a later reading, and at another place.
        let shown = place(&[("t3", 3), ("-", 2), ("t4", 9)], "s3").await;
        assert_eq!(shown[1], "missing spotify:track:t2 t2 track t2");
        let shown = place(&[("t2", 2), ("t3", 3), ("t4", 9), ("-", 4)], "s4").await;
        assert_eq!(shown[0], "track spotify:track:t2 t2 track t2");
        place(&[("t3", 3), ("t4", 9)], "s5").await;
        assert_eq!(versions(db).await, ["first s1 +3 -0", "s2 +0 -1", "s5 +0 -1"]);
        assert_eq!(changes(db).await, ["-t1@0", "-t2@0"]);
    });
}

#[test]
fn an_item_that_does_not_say_its_name_is_called_as_before() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1", "t2"], "s1").await;
        let mut silent = part(0, &["t2", "t1"], complete("s2", 2));
        for item in &mut silent.items {
            (item.name, item.uri) = (None, None);
        }
        commit(&run, silent).await;
        let shown = db.texts("uri || ' ' || name", "playlist_items ORDER BY position").await;
        assert_eq!(shown, ["spotify:track:t2 track t2", "spotify:track:t1 track t1"]);
        assert_eq!(versions(db).await, ["first s1 +2 -0"]);
    });
}

#[test]
fn a_purge_takes_the_history_along() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1"], "s1").await;
        read(&run, &["t2"], "s2").await;
        commit(&run, part(0, &["t3"], None)).await;
        assert_ne!(db.count("playlist_items_read").await, 0);
        db.store.purge(db.account, Imported::Kept).await.unwrap();
        for table in ["playlist_versions", "playlist_changes", "playlist_readings", "playlist_items_read", "tracks"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
    });
}

#[test]
fn a_track_that_left_a_playlist_is_still_mentioned_by_its_history() {
    on_both(async |db| {
        let run = begun(db).await;
        read(&run, &["t1"], "s1").await;
        read(&run, &[], "s2").await;
        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        db.execute(&format!("INSERT INTO saved_tracks (account_id, track_id) VALUES ({}, 't1')", other.0)).await;
        db.store.purge(other, Imported::Kept).await.unwrap();
        assert_eq!(db.texts("id", "tracks").await, ["t1"]);
    });
}

/// A run, with a playlist listed.
pub async fn begun(db: &Db) -> Run<'_> {
    let run = db.begin(EntityType::Playlists).await;
    run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
    run
}

/// Reads the playlist in one part, in a run of its own.
pub async fn read(run: &Run<'_>, items: &[&str], snapshot_id: &str) {
    commit(run, part(0, items, complete(snapshot_id, items.len() as u32))).await;
}

async fn commit(run: &Run<'_>, part: PlaylistPart) {
    commit_with(run, part, Effects::default(), Uuid::new_v4()).await;
}

async fn commit_with(run: &Run<'_>, part: PlaylistPart, effects: Effects, run_id: Uuid) {
    commit_at(run, part, effects, run_id, at(2)).await;
}

async fn commit_at(run: &Run<'_>, part: PlaylistPart, effects: Effects, run_id: Uuid, now: DateTime<Utc>) {
    let rows = run.current(Rows::PlaylistItems(vec![part])).await;
    let commit = Commit { effects, run_id, ..run.commit_of(rows) };
    run.db.store.commit(Box::new(commit.clone()), now).await.unwrap();
}

/// Items from `offset` on; one without a name is an empty place.
fn part(offset: u32, items: &[&str], end: Option<PlaylistEnd>) -> PlaylistPart {
    let items = items.iter().map(|id| if id.is_empty() { empty() } else { item(id) }).collect();
    PlaylistPart { playlist_id: "p1".into(), offset, items, end, ..PlaylistPart::default() }
}

fn complete(snapshot_id: &str, total: u32) -> Option<PlaylistEnd> {
    Some(PlaylistEnd::Complete { snapshot_id: Some(snapshot_id.into()), total, failure: None, healed: vec![] })
}

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

fn empty() -> PlaylistItem {
    PlaylistItem { kind: PlaylistItemKind::Missing, uri: None, name: None, added_at: None, added_by: None, track: None }
}
