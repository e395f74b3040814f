//! What a commit does besides its rows: what was seen, what is gone, what could not be read, what is logged.

use super::*;

pub(super) fn seen(pass: i64) -> Effects {
    Effects { record_seen: Some(pass), ..Effects::default() }
}

/// As it is stored.
fn gap(from: u32, to: u32, pass: i64, since: DateTime<Utc>) -> Gap {
    Gap { playlist_id: None, offset_from: from, offset_to: to, pass, total: Some(100), reason: "502".into(), since }
}

pub(super) fn found(playlist_id: Option<&str>, from: u32, to: u32) -> NewGap {
    NewGap { playlist_id: playlist_id.map(str::to_owned), offset_from: from, offset_to: to, reason: "502".into() }
}

pub(super) fn healed(playlist_id: Option<&str>, from: u32, to: u32) -> HealedGap {
    HealedGap { playlist_id: playlist_id.map(str::to_owned), offset_from: from, offset_to: to }
}

fn nothing() -> Rows {
    Rows::Listing(vec![])
}

#[test]
fn a_survey_counts_what_the_pass_has_not_seen_and_a_removal_marks_just_that() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2", "t3"]), at(1)).await;
        let begin = Effects { reset_seen: true, ..seen(7) };
        run.commit_with(tracks(&["t1"]), begin, at(2)).await;
        let survey = Effects { survey: Some(Survey { pass: Some(7), ripe_at: None }), ..seen(7) };
        let report = run.commit_with(tracks(&["t3", "t4"]), survey, at(3)).await;
        assert_eq!((report.num_active, report.num_unseen), (Some(4), Some(1)));

        let removal = Effects {
            removal: Some(Removal { pass: 7, of: Gone::All }),
            survey: Some(Survey::default()),
            ..Effects::default()
        };
        let report = run.commit_with(nothing(), removal.clone(), at(4)).await;

        assert_eq!((report.counts.removed, report.num_active, report.num_unseen), (1, Some(3), None));
        assert_eq!(db.texts("track_id", "saved_tracks WHERE removed_at IS NOT NULL").await, ["t2"]);
        let again = run.commit_with(nothing(), removal, at(5)).await;
        assert_eq!(again.counts.removed, 0);
    });
}

#[test]
fn each_entity_type_removes_from_its_own_table() {
    on_both(async |db| {
        let artist = Artist { id: "a1".into(), name: "Ada".into(), genres: None, image_url: None };
        let listings = [
            (EntityType::Tracks, tracks(&["t1"])),
            (EntityType::Albums, Rows::Listing(vec![saved_album(album("b1"))])),
            (EntityType::Artists, Rows::Listing(vec![slot(Item::Artist(Box::new(artist)), None)])),
            (EntityType::Playlists, playlists([playlist("p1", "s1")])),
            (EntityType::Shows, spoken::of_show(spoken::show("s1"))),
            (EntityType::Episodes, spoken::of_episode(spoken::episode("e1"))),
            (EntityType::Audiobooks, spoken::of_audiobook(spoken::audiobook("a1"), None)),
        ];
        assert_eq!(listings.len(), EntityType::ALL.len());
        for (entity, rows) in listings {
            let run = db.begin(entity).await;
            run.commit_with(rows, seen(1), at(1)).await;
            let kept = Effects { removal: Some(Removal { pass: 1, of: Gone::All }), ..Effects::default() };
            assert_eq!(run.commit_with(nothing(), kept, at(2)).await.counts.removed, 0, "{entity}");
            let survey = Some(Survey { pass: Some(2), ripe_at: None });
            let gone = Effects { removal: Some(Removal { pass: 2, of: Gone::All }), survey, ..Effects::default() };
            let report = run.commit_with(nothing(), gone, at(3)).await;
            assert_eq!(
                (report.counts.removed, report.num_active, report.num_unseen),
                (1, Some(0), Some(0)),
                "{entity}"
            );
        }
        let counted = db.store.library_counts(db.account).await.unwrap();
        assert!(counted.members.iter().all(|(_, count)| (count.active, count.removed) == (0, 1)), "{counted:?}");
    });
}

#[test]
fn what_a_search_found_is_marked_and_nothing_else() {
    on_both(async |db| {
        let listings = [
            (EntityType::Tracks, tracks(&["t1", "t2", "t3"]), ["t1", "t3"], "saved_tracks", "track_id"),
            (
                EntityType::Albums,
                Rows::Listing(["b1", "b2", "b3"].map(|id| saved_album(album(id))).into()),
                ["b1", "b3"],
                "saved_albums",
                "album_id",
            ),
        ];
        for (entity, rows, gone, table, column) in listings {
            let run = db.begin(entity).await;
            run.commit(rows, at(1)).await;
            // More than fit into one statement.
            let mut removed_ids: Vec<String> = (0..2500).map(|n| format!("unknown-{n}")).collect();
            removed_ids.extend(gone.map(str::to_owned));
            let effects = Effects { removed_ids, survey: Some(Survey::default()), ..Effects::default() };
            let report = run.commit_with(nothing(), effects.clone(), at(2)).await;
            assert_eq!((report.counts.removed, report.num_active), (2, Some(1)), "{entity}");
            let removed = db.texts(column, &format!("{table} WHERE removed_at IS NOT NULL ORDER BY 1")).await;
            assert_eq!(removed, gone);
            let again = run.commit_with(nothing(), effects.clone(), at(3)).await;
            assert_eq!(again.counts.removed, 0, "it is marked once, with the moment it was first seen to be gone");

            let _later = db.begin(entity).await;
            db.execute(&format!("UPDATE {table} SET removed_at = NULL")).await;
            let late = Commit { effects, ..run.commit_of(nothing()) };
            assert!(matches!(db.store.commit(Box::new(late.clone()), at(4)).await, Err(StoreError::Fenced { .. })));
            assert_eq!(db.count(&format!("{table} WHERE removed_at IS NOT NULL")).await, 0, "fenced off");
        }
    });
}

#[test]
fn members_are_listed_with_their_dates_and_without_what_was_removed() {
    on_both(async |db| {
        let listed = async |entity| {
            let mut members = db.store.list_members(db.account, entity, AddedBetween::default()).await.unwrap();
            members.sort_by(|one, other| one.id.cmp(&other.id));
            members.into_iter().map(|member| (member.id, member.added_at)).collect::<Vec<_>>()
        };
        assert!(listed(EntityType::Tracks).await.is_empty());
        let run = db.begin(EntityType::Tracks).await;
        let micros = at(-5) + TimeDelta::microseconds(17);
        let undated = Slot { added_at: None, ..saved(track("t4"), at(0)) };
        let rows = vec![saved(track("t1"), micros), saved(track("t2"), at(-7)), saved(track("t3"), at(-9)), undated];
        run.commit(Rows::Listing(rows), at(1)).await;
        let gone = Effects { removed_ids: vec!["t2".into()], ..Effects::default() };
        run.commit_with(nothing(), gone, at(2)).await;
        let expected = [("t1", Some(micros)), ("t3", Some(at(-9))), ("t4", None)];
        assert_eq!(listed(EntityType::Tracks).await, expected.map(|(id, added_at)| (id.to_owned(), added_at)));

        db.begin(EntityType::Albums).await.commit(Rows::Listing(vec![saved_album(album("b1"))]), at(3)).await;
        assert_eq!(listed(EntityType::Albums).await, [("b1".to_owned(), Some(at(-1)))]);
        let other = db.store.upsert_account("nobody", None, None, at(4)).await.unwrap();
        assert_eq!(db.store.list_members(other, EntityType::Tracks, AddedBetween::default()).await.unwrap(), []);
        for (oldest, newest, ids) in [
            (Some(at(-9)), None, vec!["t1", "t3"]),
            (Some(at(-8)), None, vec!["t1"]),
            (None, Some(at(-9)), vec!["t3"]),
            (Some(at(-9)), Some(micros), vec!["t1", "t3"]),
            (Some(at(-8)), Some(at(-6)), vec![]),
        ] {
            let between = AddedBetween { oldest, newest };
            let members = db.store.list_members(db.account, EntityType::Tracks, between).await.unwrap();
            let mut found: Vec<String> = members.into_iter().map(|member| member.id).collect();
            found.sort();
            assert_eq!(found, ids, "{between:?}");
        }
    });
}

#[test]
fn a_new_pass_forgets_what_earlier_ones_saw() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit_with(tracks(&["t1", "t2"]), seen(1), at(1)).await;
        run.commit_with(tracks(&["t1", "t1"]), Effects { reset_seen: true, ..seen(2) }, at(2)).await;
        assert_eq!(db.texts("item_id", "sync_seen").await, ["t1"]);
    });
}

#[test]
fn a_gap_stays_open_until_a_read_has_been_through_it() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let open = async || db.store.open_gaps(db.account, EntityType::Tracks).await.unwrap();
        let in_pass = async |pass, effects, now| {
            let mut commit = Commit { effects, ..run.commit_of(nothing()) };
            (commit.checkpoint.walk.place.pass, commit.checkpoint.total) = (pass, Some(100));
            db.store.commit(commit, now).await.unwrap();
        };
        let first = Effects { new_gaps: vec![found(None, 50, 100), found(None, 200, 250)], ..Effects::default() };
        in_pass(1, first, at(1)).await;
        assert_eq!(open().await, [gap(50, 100, 1, at(1)), gap(200, 250, 1, at(1))]);

        // Most of the first can be read now; the second is met again by the next pass.
        let narrowed = Effects {
            healed_gaps: vec![healed(None, 50, 100)],
            new_gaps: vec![found(None, 70, 71), found(None, 200, 250)],
            ..Effects::default()
        };
        in_pass(2, narrowed, at(2)).await;
        assert_eq!(open().await, [gap(200, 250, 2, at(1)), gap(70, 71, 2, at(2))], "open since it was first met");

        run.commit_with(nothing(), Effects { heal_all_gaps_before: Some(2), ..Effects::default() }, at(3)).await;
        assert_eq!(open().await.len(), 2);
        run.commit_with(nothing(), Effects { heal_all_gaps_before: Some(3), ..Effects::default() }, at(3)).await;
        assert_eq!(open().await, []);
        assert_eq!(db.count("sync_gaps WHERE healed_at IS NOT NULL").await, 3);
    });
}

#[test]
fn a_gap_of_a_playlist_waits_only_while_the_playlist_is_in_the_library() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let effects = Effects { new_gaps: vec![found(Some("p1"), 0, 50)], ..Effects::default() };
        run.commit_with(playlists([playlist("p1", "s1")]), effects, at(1)).await;
        let listing_only = Effects { heal_all_gaps_before: Some(9), ..Effects::default() };
        run.commit_with(nothing(), listing_only, at(2)).await;
        assert_eq!(db.store.open_gaps(db.account, EntityType::Playlists).await.unwrap().len(), 1);
        assert_eq!(db.store.status(at(3)).await.unwrap().accounts[0].entities[0].open_gaps, 1);

        let removal = Effects { removal: Some(Removal { pass: 5, of: Gone::All }), ..Effects::default() };
        run.commit_with(nothing(), removal, at(4)).await;

        assert_eq!(db.store.open_gaps(db.account, EntityType::Playlists).await.unwrap(), []);
        assert_eq!(db.store.status(at(5)).await.unwrap().accounts[0].entities[0].open_gaps, 0);
    });
}

#[test]
fn the_log_tells_of_batches_and_not_of_mere_checkpoints() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.store.commit(Box::new(Commit { num_requests: 0, ..run.commit_of(nothing()) }), at(1)).await.unwrap();
        assert_eq!(db.count("sync_batches").await, 0);

        run.commit(tracks(&["t1", "t2"]), at(2)).await;
        let removal = Effects { removal: Some(Removal { pass: 1, of: Gone::All }), ..Effects::default() };
        run.commit_with(nothing(), removal, at(3)).await;

        let row = "offset_from || ' ' || offset_to || ' ' || items_processed || ' ' || items_new || ' ' || items_removed \
                   || ' ' || requests || ' ' || duration_ms";
        assert_eq!(db.texts(row, "sync_batches ORDER BY id").await, ["0 2 2 2 0 1 120", "0 0 0 0 2 1 120"]);
        assert_eq!(db.texts("phase", "sync_batches ORDER BY id").await, ["initial_sync"; 2]);
    });
}

#[test]
fn requests_that_brought_no_rows_are_in_the_log() {
    on_both(async |db| {
        let run = db.begin(EntityType::Albums).await;
        for num_requests in [3, 0, 1] {
            db.store.commit(Box::new(Commit { num_requests, ..run.commit_of(nothing()) }), at(1)).await.unwrap();
        }
        assert_eq!(db.texts("requests", "sync_batches ORDER BY id").await, ["3", "1"]);
        assert_eq!(db.texts("sum(items_processed)", "sync_batches").await, ["0"]);
    });
}
