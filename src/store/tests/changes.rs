//! What was added and removed, read back.

use super::*;
use crate::model::batch::{PlaylistEnd, Removal};
use crate::store::{Change, ChangeKind, Changed};

#[test]
fn what_came_went_and_came_again_is_told_newest_first() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2"]), at(0)).await;
        remove_all(&run, at(10)).await;
        run.commit(Rows::Listing(vec![saved(track("t2"), at(20))]), at(21)).await;
        let albums = db.begin(EntityType::Albums).await;
        albums.commit(Rows::Listing(vec![saved_album(album("b1"))]), at(5)).await;
        remove_all(&albums, at(30)).await;

        let told = told(db, &[EntityType::Tracks, EntityType::Albums], at(-2000)).await;

        let expected = [
            "30 - album b1, artist a1",
            "20 + track t2, artist a1 again",
            "10 - track t1, artist a1",
            "-1 + album b1, artist a1",
            "-1000 + track t1, artist a1",
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn artists_and_playlists_came_when_they_were_first_seen() {
    on_both(async |db| {
        let artist = || {
            let artist = Artist { id: "a9".into(), name: "artist a9".into(), genres: None, image_url: None };
            Rows::Listing(vec![slot(Item::Artist(Box::new(artist)), None)])
        };
        let artists = db.begin(EntityType::Artists).await;
        artists.commit(artist(), at(1)).await;
        artists.commit(artist(), at(2)).await;
        remove_all(&artists, at(3)).await;
        let lists = db.begin(EntityType::Playlists).await;
        lists.commit(playlists([playlist("p1", "s1")]), at(4)).await;
        remove_all(&lists, at(5)).await;
        assert_eq!(
            told(db, EntityType::ALL, at(0)).await,
            ["5 - playlist p1", "4 + playlist p1", "3 - artist a9", "1 + artist a9"]
        );

        artists.commit(artist(), at(6)).await;
        lists.commit(playlists([playlist("p1", "s1")]), at(7)).await;
        lists.commit(playlists([playlist("p0", "s1"), playlist("p1", "s1")]), at(8)).await;

        assert_eq!(
            told(db, EntityType::ALL, at(0)).await,
            ["8 + playlist p0", "7 + playlist p1 again", "6 + artist a9 again", "4 + playlist p1", "1 + artist a9"]
        );
    });
}

#[test]
fn what_came_into_a_playlist_and_went_from_it_is_told_with_its_place() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        read(&run, &["t1", "t2"], "s1", at(2)).await;
        read(&run, &["t2", "t3"], "s2", at(3)).await;

        let all = all(db, &[EntityType::Playlists], at(2)).await;

        let [gone, came] = &all[..] else { panic!("{all:?}") };
        assert_eq!((gone.what, gone.kind, came.kind), (Changed::PlaylistItem, ChangeKind::Removed, ChangeKind::Added));
        assert_eq!((gone.id.as_deref(), came.id.as_deref()), (Some("t1"), Some("t3")));
        assert_eq!((gone.at, gone.added_at, gone.artist.as_deref()), (at(3), Some(at(-50)), Some("artist a1")));
        let place = came.place.as_ref().unwrap();
        assert_eq!(
            (&*place.playlist_name, place.snapshot_id.as_deref(), place.position),
            ("playlist p1", Some("s2"), 1)
        );

        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        let mut theirs = db.store.changes(&[other], EntityType::ALL, at(0));
        assert_eq!(theirs.next().await.unwrap(), None, "it is not in their library");
    });
}

#[test]
fn changes_of_one_moment_are_each_told_once_over_many_pages() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let ids: Vec<String> = (0..450).map(|number| format!("t{number:03}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        run.commit(tracks(&ids), at(0)).await;
        remove_all(&run, at(10)).await;
        let lists = db.begin(EntityType::Playlists).await;
        lists.commit(playlists([playlist("p1", "s1")]), at(1)).await;
        read(&lists, &["x"], "s1", at(2)).await;
        read(&lists, &[&["x"], &ids[..]].concat(), "s2", at(10)).await;

        let all = all(db, &[EntityType::Tracks, EntityType::Playlists], at(-2000)).await;

        for kind in [ChangeKind::Added, ChangeKind::Removed] {
            let is_wanted =
                |change: &&Change| change.what == Changed::Member(EntityType::Tracks) && change.kind == kind;
            let mut told: Vec<&str> = all.iter().filter(is_wanted).filter_map(|change| change.id.as_deref()).collect();
            told.sort_unstable();
            assert_eq!(told, ids, "{kind:?}");
        }
        let items = all.iter().filter(|change| change.what == Changed::PlaylistItem);
        let came: Vec<&str> =
            items.clone().filter(|item| item.kind == ChangeKind::Added).filter_map(|item| item.id.as_deref()).collect();
        assert_eq!((came, items.count()), (ids, 450));
        assert!(all.is_sorted_by(|newer, older| newer.at >= older.at));
    });
}

/// Marks every member removed.
async fn remove_all(run: &Run<'_>, now: DateTime<Utc>) {
    let effects = Effects { removal: Some(Removal { pass: 99, of: Gone::All }), ..Effects::default() };
    run.commit_with(Rows::Listing(vec![]), effects, now).await;
}

/// Reads the playlist p1 in a run of its own.
async fn read(run: &Run<'_>, ids: &[&str], snapshot_id: &str, now: DateTime<Utc>) {
    let item = |id: &&str| PlaylistItem {
        kind: PlaylistItemKind::Track,
        uri: Some(format!("spotify:track:{id}")),
        name: Some(format!("track {id}")),
        added_at: Some(at(-50)),
        added_by: None,
        track: Some(track(id)),
    };
    let end = PlaylistEnd::Complete {
        snapshot_id: Some(snapshot_id.into()),
        total: ids.len() as u32,
        failure: None,
        healed: vec![],
    };
    let items = ids.iter().map(item).collect();
    let part = PlaylistPart { playlist_id: "p1".into(), offset: 0, items, end: Some(end), ..PlaylistPart::default() };
    let rows = run.current(Rows::PlaylistItems(vec![part])).await;
    let commit = Commit { run_id: Uuid::new_v4(), ..run.commit_of(rows) };
    run.db.store.commit(Box::new(commit.clone()), now).await.unwrap();
}

async fn all(db: &Db, entities: &[EntityType], since: DateTime<Utc>) -> Vec<Change> {
    let mut changes = db.store.changes(&[db.account], entities, since);
    let mut all = Vec::new();
    while let Some(change) = changes.next().await.unwrap() {
        all.push(change);
    }
    all
}

/// `10 - track t1, artist a1`: removed at 10 seconds.
async fn told(db: &Db, entities: &[EntityType], since: DateTime<Utc>) -> Vec<String> {
    let line = |change: Change| {
        let (sign, again) = match change.kind {
            ChangeKind::Added => ('+', ""),
            ChangeKind::AddedAgain => ('+', " again"),
            ChangeKind::Removed => ('-', ""),
        };
        let artist = change.artist.map(|artist| format!(", {artist}")).unwrap_or_default();
        format!("{} {sign} {}{artist}{again}", (change.at - at(0)).num_seconds(), change.name.unwrap_or_default())
    };
    all(db, entities, since).await.into_iter().map(line).collect()
}
