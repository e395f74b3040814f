//! What a commit writes, reports and refuses.

use super::*;
use crate::model::Membership::{Known, New, Returned, Unidentified};

#[test]
fn new_updated_and_unchanged_are_told_apart() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let first = run.commit(tracks(&["t1", "t2", "t3"]), at(1)).await;
        assert_eq!((first.counts, first.memberships), (counts(3, 3, 0, 0), vec![New; 3]));

        let mut renamed = track("t2");
        renamed.name = "renamed".into();
        let rows = Rows::Listing(vec![
            saved(track("t1"), at(-1000)),
            saved(renamed, at(-1000)),
            saved(track("t3"), at(-500)),
            saved(track("t4"), at(-1)),
        ]);
        let second = run.commit(rows, at(2)).await;
        assert_eq!(second.counts, counts(4, 1, 2, 1));
        assert_eq!(second.memberships, [Known, Known, Returned, New]);
        let added_at = db.texts("added_at", "saved_tracks ORDER BY track_id").await;
        assert!(added_at[2] > added_at[1] && added_at[0] == added_at[1]);
    });
}

#[test]
fn an_unchanged_batch_writes_no_library_row() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2"]), at(1)).await;
        let tables = ["tracks", "albums", "artists", "track_artists", "album_artists", "saved_tracks"];
        let mut before = Vec::new();
        for table in tables {
            before.push(db.fingerprint(table).await);
        }

        let report = run.commit(tracks(&["t1", "t2"]), at(100)).await;

        assert_eq!(report.counts, counts(2, 0, 0, 2));
        for (table, before) in tables.into_iter().zip(before) {
            let after = db.fingerprint(table).await;
            match db.store {
                Store::Pg(_) => assert_eq!(before, after, "{table}"),
                // The checkpoint's row and the batch's are all that changed.
                Store::Sqlite(_) => {
                    assert_eq!(after[0].parse::<u64>().unwrap() - before[0].parse::<u64>().unwrap(), 2);
                }
            }
        }
        assert_eq!(db.texts("max(rev)", "tracks").await, ["1"]);
        assert_eq!(db.count("tracks WHERE fetched_at = (SELECT min(fetched_at) FROM artists)").await, 2);
    });
}

#[test]
fn an_item_listed_twice_is_one_new_member() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let rows =
            Rows::Listing(vec![saved(track("t1"), at(-9)), saved(track("t2"), at(-10)), saved(track("t1"), at(-20))]);
        let report = run.commit(rows, at(1)).await;
        assert_eq!((report.counts, report.memberships), (counts(3, 2, 0, 1), vec![New; 3]));
        assert_eq!(db.count("saved_tracks").await, 2);
        assert_eq!(db.count("saved_tracks WHERE added_at > (SELECT min(added_at) FROM saved_tracks)").await, 1);
    });
}

#[test]
fn a_removed_item_that_is_listed_again_returns_with_its_new_date() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1"]), at(1)).await;
        let removal = Effects { removal: Some(Removal { pass: 1, of: Gone::All }), ..Effects::default() };
        let report = run.commit_with(Rows::Listing(vec![]), removal, at(2)).await;
        assert_eq!(report.counts.removed, 1);
        assert_eq!(db.count("saved_tracks WHERE removed_at IS NOT NULL").await, 1);

        let report = run.commit(Rows::Listing(vec![saved(track("t1"), at(3))]), at(4)).await;

        assert_eq!((report.counts, report.memberships), (counts(1, 0, 1, 0), vec![Returned]));
        assert_eq!(db.count("saved_tracks WHERE removed_at IS NULL").await, 1);
        let kept = DateTime::parse_from_str(&db.texts("added_at", "saved_tracks").await[0], "%F %T%.f%#z").unwrap();
        assert_eq!(kept, at(3));
    });
}

#[test]
fn a_slot_without_an_item_is_counted_and_recorded_until_it_is_read_again() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let null = Slot { item: None, added_at: Some(at(-5)), odd: Some(Oddity::Null) };
        let mut nameless = saved(track("t1"), at(-9));
        nameless.odd = Some(Oddity::MissingName);
        let report = run.commit(Rows::Listing(vec![nameless, null]), at(1)).await;
        assert_eq!(report.memberships, [New, Unidentified]);
        assert_eq!(report.counts, ItemCounts { processed: 2, new: 1, odd: 2, ..ItemCounts::default() });
        assert_eq!(db.texts("reason", "sync_odd_items ORDER BY position").await, ["missing_name", "null"]);

        run.commit(tracks(&["t1", "t2"]), at(2)).await;
        assert_eq!(db.count("sync_odd_items").await, 0);
    });
}

#[test]
fn a_fenced_commit_leaves_nothing() {
    on_both(async |db| {
        let earlier = db.begin(EntityType::Tracks).await;
        earlier.commit(tracks(&["t1"]), at(1)).await;
        let later = Uuid::new_v4();
        let begun = db.store.begin_run(db.account, EntityType::Tracks, Phase::IncrementalSync, later, "cellar", at(2));
        begun.await.unwrap();

        let refused = db.store.commit(Box::new(earlier.commit_of(tracks(&["t2", "t3"]))), at(3)).await.unwrap_err();

        assert!(matches!(&refused, StoreError::Fenced { by } if by == "cellar"), "{refused}");
        assert!(!refused.is_transient());
        assert_eq!(db.texts("id", "tracks").await, ["t1"]);
        assert_eq!(db.count("sync_batches").await, 1);
        assert_eq!(db.texts("last_synced_offset", "sync_states WHERE phase = 'initial_sync'").await, ["1"]);
    });
}

#[test]
fn one_generation_handed_out_twice_is_told_apart_by_its_owner() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let twin = Run { fence: Fence { owner: Uuid::new_v4(), ..run.fence }, ..run };
        let refused = db.store.commit(Box::new(twin.commit_of(tracks(&["t1"]))), at(1)).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })));
    });
}

#[test]
fn a_batch_that_fails_half_way_commits_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let item = PlaylistItem {
            kind: PlaylistItemKind::Track,
            uri: None,
            name: None,
            added_at: None,
            added_by: None,
            track: Some(track("t1")),
        };
        // Its tracks are written before it is noticed that the items have nowhere to go.
        db.execute("INSERT INTO playlists (id, name, fetched_at) VALUES ('p1', 'p', '2026-01-01 00:00:00+00:00')")
            .await;
        db.execute("ALTER TABLE playlist_items RENAME TO elsewhere").await;
        let part = PlaylistPart { playlist_id: "p1".into(), offset: 0, items: vec![item], ..PlaylistPart::default() };

        let failed = db.store.commit(Box::new(run.commit_of(Rows::PlaylistItems(vec![part]))), at(1)).await;

        assert!(matches!(failed, Err(StoreError::Query(_))));
        assert_eq!(db.count("tracks").await + db.count("artists").await + db.count("sync_batches").await, 0);
        assert_eq!(db.texts("last_synced_offset", "sync_states").await, ["0"]);
    });
}

#[test]
fn a_commit_dropped_at_any_moment_is_whole_or_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        for patience in 0..40 {
            let id = format!("t{patience}");
            let mut commit = run.commit_of(tracks(&[&id]));
            commit.checkpoint.offset = 1000 + patience;
            let time = Duration::from_micros(u64::from(patience) * 150);
            let outcome = tokio::time::timeout(time, db.store.commit(Box::new(commit.clone()), at(1))).await;
            // One statement, one snapshot: the server may still be working on it.
            let has_row = format!("EXISTS (SELECT 1 FROM saved_tracks WHERE track_id = '{id}')");
            let has_moved = format!("last_synced_offset = {}", commit.checkpoint.offset);
            let state = db.texts(&format!("({has_row}) = ({has_moved})"), "sync_states").await;
            assert!(["1", "true"].contains(&state[0].as_str()), "{patience}: {outcome:?}");
        }
        run.commit(tracks(&["t1"]), at(2)).await;
    });
}

#[test]
fn many_commits_at_once_do_not_hinder_each_other() {
    on_both(async |db| {
        let (tracks_run, albums_run) = (db.begin(EntityType::Tracks).await, db.begin(EntityType::Albums).await);
        for round in 0..5 {
            let ids: Vec<String> = (0..60).map(|n| format!("t{}", n + 30 * round)).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut full = album("b1");
            full.upc = Some(format!("upc{round}"));
            let slots = vec![saved_album(full), saved_album(album("b2"))];
            let (one, other) = futures_util::future::join(
                tracks_run.commit(tracks(&ids), at(round)),
                albums_run.commit(Rows::Listing(slots), at(round)),
            )
            .await;
            assert_eq!((one.counts.processed, other.counts.processed), (60, 2));
        }
        assert_eq!(db.count("saved_tracks").await, 180);
    });
}

#[test]
fn a_text_that_postgres_cannot_hold_stops_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let mut odd = track("t1");
        odd.name = "nu\0l".into();
        run.commit(Rows::Listing(vec![saved(odd.clone(), at(-1))]), at(1)).await;
        assert_eq!(db.texts("name", "tracks").await, ["nul"]);
        let again = run.commit(Rows::Listing(vec![saved(odd, at(-1))]), at(2)).await;
        assert_eq!(again.counts, counts(1, 0, 0, 1));
    });
}

#[test]
fn a_followed_artist_keeps_the_day_it_was_first_seen() {
    on_both(async |db| {
        let run = db.begin(EntityType::Artists).await;
        let artist =
            Artist { id: "a1".into(), name: "Ada".into(), genres: Some(vec!["dub \"x\"".into()]), image_url: None };
        let rows = || Rows::Listing(vec![slot(Item::Artist(Box::new(artist.clone())), None)]);
        run.commit(rows(), at(1)).await;
        let first_seen = db.texts("first_seen_at", "followed_artists").await;
        let removal = Effects { removal: Some(Removal { pass: 1, of: Gone::All }), ..Effects::default() };
        run.commit_with(Rows::Listing(vec![]), removal, at(2)).await;
        let back = run.commit(rows(), at(3)).await;
        assert_eq!(back.memberships, [Returned]);
        assert_eq!(db.texts("first_seen_at", "followed_artists WHERE removed_at IS NULL").await, first_seen);
        assert_eq!(db.texts("genres", "artists").await, [r#"["dub \"x\""]"#]);
    });
}

/// A batch can be read again; a token or a pause cannot. One connection writes both.
#[test]
fn what_is_written_after_a_batch_is_on_the_disk_at_once() {
    on_both(async |db| {
        if let Store::Sqlite(_) = db.store {
            let run = db.begin(EntityType::Tracks).await;
            run.commit(tracks(&["t1"]), at(1)).await;
            assert_eq!(db.texts("synchronous", "pragma_synchronous").await, ["2"], "FULL");

            db.begin(EntityType::Tracks).await;
            let fenced = db.store.commit(run.commit_of(tracks(&["t2"])), at(2)).await;
            assert!(matches!(fenced, Err(StoreError::Fenced { .. })), "{fenced:?}");
            assert_eq!(db.texts("synchronous", "pragma_synchronous").await, ["2"], "FULL");
        }
    });
}

#[test]
fn what_is_new_is_told_from_what_is_known_wherever_it_stands() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        // 203 rows are statements of 1, 2, 8, 64 and 128 of them.
        let id = |row: u32, round: u32| format!("{round}-{row:03}");
        for (round, known) in [[0, 2], [1, 202], [10, 11], [73, 74], [75, 201]].into_iter().enumerate() {
            let ids = |rows: &[u32]| rows.iter().map(|row| id(*row, round as u32)).collect::<Vec<_>>();
            let listing = |ids: &[String]| tracks(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            run.commit(listing(&ids(&known)), at(1)).await;
            let all = ids(&(0..203).collect::<Vec<_>>());
            let report = run.commit(listing(&all), at(2)).await;
            assert_eq!(report.counts, counts(203, 201, 0, 2), "{known:?}");
            for (at, membership) in report.memberships.iter().enumerate() {
                let expected = if known.contains(&(at as u32)) { Known } else { New };
                assert_eq!(*membership, expected, "{known:?}: {at}");
            }
            assert_eq!(db.count(&format!("saved_tracks WHERE track_id LIKE '{round}-%'")).await, 203);
            assert_eq!(db.count(&format!("tracks WHERE id LIKE '{round}-%' AND rev = 1")).await, 203);
            assert_eq!(db.count(&format!("track_artists WHERE track_id LIKE '{round}-%'")).await, 406);
        }
    });
}
