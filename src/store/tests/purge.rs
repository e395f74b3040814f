//! What a purge removes, and what it leaves to others.

use super::*;
use crate::store::{Person, Purged, TokenRow, purge};

#[test]
fn a_purge_knows_every_table_that_holds_rows_of_an_account() {
    on_both(async |db| {
        let of_account = match db.store {
            Store::Sqlite(_) => {
                db.texts(
                    "m.name",
                    "sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'account_id' \
                     WHERE m.type = 'table' ORDER BY 1",
                )
                .await
            }
            Store::Pg(_) => {
                db.texts(
                    "table_name",
                    "information_schema.columns WHERE column_name = 'account_id' AND table_schema = 'public' \
                     AND table_name NOT IN (SELECT viewname FROM pg_views) ORDER BY 1",
                )
                .await
            }
        };
        assert_eq!(of_account, purge::tables());
    });
}

#[test]
fn a_purge_leaves_what_others_mention_and_nothing_else() {
    on_both(async |db| {
        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        let person = Person { spotify_id: "mira", spotify_account_id: None, display_name: None };
        db.store.record_sign_in(person, &token_row(), at(0)).await.unwrap();
        // Both save t2; each follows and lists something of their own, and both have p2.
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1", "t2"]), at(1)).await;
        db.begin(EntityType::Playlists)
            .await
            .commit(playlists([playlist("p1", "s"), playlist("p2", "s")]), at(1))
            .await;
        db.execute(&format!(
            "INSERT INTO saved_tracks (account_id, track_id) VALUES ({0}, 't2');
             INSERT INTO library_playlists (account_id, playlist_id, position) VALUES ({0}, 'p2', 0);
             INSERT INTO playlist_items (playlist_id, position, kind, track_id) VALUES ('p1', 0, 'track', 't1');
             INSERT INTO playlist_items (playlist_id, position, kind, track_id) VALUES ('p2', 0, 'track', NULL);",
            other.0
        ))
        .await;
        db.execute(&format!(
            "INSERT INTO plays (account_id, played_at, track_uri, track_id, source) VALUES
             ({}, '2026-01-01 00:00:00+00:00', 'u1', 't1', 'api'), ({}, '2026-01-01 00:00:00+00:00', 'u1', 't2', 'api')",
            db.account.0, other.0
        ))
        .await;

        let purged = db.store.purge(db.account, Imported::Kept).await.unwrap();

        assert_eq!((purged.saved_tracks, purged.library_playlists, purged.plays), (2, 2, 1));
        assert_eq!((purged.playlists, purged.playlist_items, purged.tracks), (1, 1, 1));
        assert!(purged.account_removed && purged.plays_kept == 0, "{purged:?}");
        assert_eq!(db.texts("id", "tracks").await, ["t2"]);
        assert_eq!(db.texts("id", "playlists").await, ["p2"]);
        assert_eq!((db.count("playlist_items").await, db.count("plays").await), (1, 1));
        assert_eq!(db.texts("spotify_id", "accounts").await, ["noor"]);
        for table in purge::tables() {
            assert_eq!(db.count(&format!("{table} WHERE account_id = {}", db.account.0)).await, 0, "{table}");
        }
        // t2 still has its album and its artists.
        assert_eq!((db.count("albums").await, db.count("artists").await), (1, 2));
        assert_eq!(db.count("track_artists").await, 2);

        let purged = db.store.purge(other, Imported::Kept).await.unwrap();
        assert_eq!((purged.tracks, purged.albums, purged.artists), (1, 1, 2));
        for table in ["tracks", "albums", "artists", "track_artists", "album_artists", "playlists", "playlist_items"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
        assert!(matches!(db.store.purge(other, Imported::Kept).await, Err(StoreError::UnknownAccount(_))));
    });
}

#[test]
fn the_tracks_on_an_album_stay_as_long_as_somebody_has_it_saved() {
    on_both(async |db| {
        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        let with_tracks = |id: &str, on_it: &str| {
            let saved = SavedAlbum { added_at: Some(at(-1)), album: album(id), tracks: vec![track(on_it)] };
            slot(Item::Album(Box::new(saved)), Some(at(-1)))
        };
        let run = db.begin(EntityType::Albums).await;
        run.commit(Rows::Listing(vec![with_tracks("b1", "t1"), with_tracks("b2", "t2")]), at(1)).await;
        db.execute(&format!("INSERT INTO saved_albums (account_id, album_id) VALUES ({}, 'b2')", other.0)).await;
        let purged = db.store.purge(db.account, Imported::Kept).await.unwrap();
        assert_eq!((purged.tracks, purged.albums), (1, 1));
        assert_eq!(
            (db.texts("id", "tracks").await, db.texts("id", "albums").await),
            (vec!["t2".into()], vec!["b2".into()])
        );
        db.store.purge(other, Imported::Kept).await.unwrap();
        for table in ["tracks", "albums", "artists", "track_artists", "album_artists"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
    });
}

#[test]
fn plays_of_an_export_stay_with_the_account_that_they_belong_to() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(1)).await;
        db.execute(&format!(
            "INSERT INTO plays (account_id, played_at, track_uri, track_id, source) VALUES
             ({0}, '2026-01-01 00:00:00+00:00', 'u1', 't1', 'api'), ({0}, '2025-01-01 00:00:00+00:00', 'u1', 't1', 'export')",
            db.account.0
        ))
        .await;
        let purged = db.store.purge(db.account, Imported::Kept).await.unwrap();
        let expected = Purged { plays: 1, plays_kept: 1, saved_tracks: 1, ..Purged::default() };
        assert_eq!(Purged { bookkeeping: 0, ..purged }, expected, "the track is still mentioned, by a play");
        assert_eq!(db.texts("source", "plays").await, ["export"]);
        assert_eq!(db.count("accounts").await, 1);
        assert_eq!(db.store.sign_ins().await.unwrap()[0].grant, None);
    });
}

#[test]
fn a_run_under_way_is_fenced_off_by_a_purge() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1"]), at(1)).await;
        db.store.purge(db.account, Imported::Kept).await.unwrap();
        let late = db.store.commit(Box::new(run.commit_of(tracks(&["t2"]))), at(2)).await;
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
        let owner = Uuid::new_v4();
        let again = db.store.begin_run(db.account, EntityType::Tracks, Phase::InitialSync, owner, "test", at(3)).await;
        assert!(matches!(again, Err(StoreError::UnknownAccount(_))), "{again:?}");
        assert_eq!((db.count("tracks").await, db.count("saved_tracks").await), (0, 0));
    });
}

fn token_row() -> TokenRow {
    TokenRow {
        client_id: "app".into(),
        refresh_token: "r1".into(),
        access_token: None,
        expires_at: None,
        scopes: None,
        imported_hash: None,
        trouble: None,
    }
}
