//! The status that the database alone provides.

use super::*;
use crate::model::status::{EntityStatus, State};
use crate::store::StateKey;

async fn entity(db: &Db, now: DateTime<Utc>) -> EntityStatus {
    db.store.status(now).await.unwrap().accounts.remove(0).entities.remove(0)
}

fn key(db: &Db) -> StateKey {
    StateKey { account: db.account, entity: EntityType::Tracks, phase: Phase::InitialSync }
}

#[test]
fn a_database_without_runs_has_nothing_to_tell() {
    on_both(async |db| {
        let status = db.store.status(at(1)).await.unwrap();
        assert_eq!(status.accounts[0].spotify_id, "mira");
        assert!(status.accounts[0].entities.is_empty() && status.limits.is_empty());
        assert_eq!((status.accounts[0].playback.plays, status.accounts[0].playback.last_played_at), (0, None));
    });
}

#[test]
fn what_is_paused_by_hand_shows_as_paused_until_it_goes_on() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let keys = [EntityType::Tracks, EntityType::Albums].map(|entity| SyncKey { account: db.account, entity });
        db.store.pause_by_hand(&keys, at(5)).await.unwrap();
        db.store.pause_by_hand(&keys[..1], at(9)).await.unwrap();
        assert_eq!(db.texts("paused_at", "paused_entities").await.len(), 2, "each once");
        let shown = || async { db.store.status(at(10)).await.unwrap().accounts.remove(0).entities };
        let paused: Vec<_> = shown().await.iter().map(|e| (e.entity_type, e.state, e.is_paused_by_hand)).collect();
        let expected = [EntityType::Tracks, EntityType::Albums].map(|entity| (entity, State::Paused, true));
        assert_eq!(paused, expected, "also what has not begun");
        db.mark_complete(key(db), run.fence, at(11)).await.unwrap();
        assert_eq!(entity(db, at(12)).await.state, State::Paused, "whatever else there is to say");
        db.store.resume_by_hand(&keys).await.unwrap();
        assert!(db.store.paused_by_hand(db.account).await.unwrap().is_empty());
        assert_eq!(shown().await.iter().map(|e| e.state).collect::<Vec<_>>(), [State::Complete]);
    });
}

#[test]
fn a_run_shows_how_far_it_is_and_turns_idle_when_nothing_moves() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let mut commit = run.commit_of(tracks(&["t1"]));
        (commit.checkpoint.offset, commit.checkpoint.total) = (50, Some(200));
        db.store.commit(Box::new(commit.clone()), at(100)).await.unwrap();
        let running = entity(db, at(160)).await;
        assert_eq!((running.state, running.phase), (State::Running, Phase::InitialSync));
        assert_eq!((running.offset, running.total, running.percent), (50, Some(200), Some(25.0)));
        assert_eq!(running.last_updated_at, Some(at(100)));
        assert_eq!(entity(db, at(161)).await.state, State::Idle);
    });
}

#[test]
fn pauses_of_the_family_and_of_everything_show_until_the_last_ends() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let pause = |scope, until| Pause { scope, class: LimitClass::Quota, until };
        db.store.save_pause(pause(Family::Albums, at(900)), at(0)).await.unwrap();
        assert_eq!(entity(db, at(10)).await.state, State::Running, "another family");
        db.store.save_pause(pause(Family::Application, at(40)), at(0)).await.unwrap();
        assert_eq!(entity(db, at(10)).await.resume_at, Some(at(40)));
        db.store.save_pause(pause(Family::Tracks, at(50)), at(0)).await.unwrap();
        db.store.mark_rate_limited(key(db), None, at(45), None, at(0)).await.unwrap();
        let paused = entity(db, at(10)).await;
        assert_eq!((paused.state, paused.resume_at), (State::Paused, Some(at(50))));
        assert_eq!(entity(db, at(50)).await.state, State::Running);
        let limits = db.store.status(at(45)).await.unwrap().limits;
        assert_eq!(limits.iter().map(|limit| limit.family).collect::<Vec<_>>(), [Family::Albums, Family::Tracks]);

        db.mark_complete(key(db), run.fence, at(11)).await.unwrap();
        assert_eq!(entity(db, at(12)).await.state, State::Complete, "what is complete waits for nothing");

        db.store.mark_rate_limited(key(db), None, at(60), None, at(13)).await.unwrap();
        let paused = entity(db, at(14)).await;
        assert_eq!((paused.state, paused.resume_at), (State::Paused, Some(at(60))), "its next run met a limit");
    });
}

#[test]
fn a_failure_shows_its_message_and_a_note_is_no_failure() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.store.mark_failed(key(db), run.fence, "sign in again", at(1)).await.unwrap();
        let failed = entity(db, at(2)).await;
        assert_eq!((failed.state, failed.error.as_deref()), (State::Failed, Some("sign in again")));

        let run = db.begin(EntityType::Tracks).await;
        let mut commit = run.commit_of(tracks(&["t1"]));
        commit.checkpoint.note = Some("1 row is odd".into());
        db.store.commit(Box::new(commit.clone()), at(3)).await.unwrap();
        let running = entity(db, at(4)).await;
        assert_eq!((running.state, running.error.as_deref()), (State::Running, Some("1 row is odd")));
    });
}

#[test]
fn the_incremental_phase_shows_once_the_initial_one_is_through() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.store.switch_phase(run.fence, db.account, EntityType::Tracks, Phase::IncrementalSync, at(1)).await.unwrap();
        assert_eq!(entity(db, at(2)).await.phase, Phase::InitialSync);
        let mut commit = run.commit_of(tracks(&["t1", "t2"]));
        commit.checkpoint.is_complete = true;
        db.store.commit(Box::new(commit.clone()), at(3)).await.unwrap();
        assert_eq!(entity(db, at(4)).await.phase, Phase::IncrementalSync);

        commit.checkpoint = Checkpoint { phase: Phase::IncrementalSync, offset: 0, ..commit.checkpoint };
        db.store.commit(Box::new(commit.clone()), at(5)).await.unwrap();
        let complete = entity(db, at(500)).await;
        assert_eq!((complete.state, complete.completed_at), (State::Complete, Some(at(5))));
        assert_eq!((complete.offset, complete.percent), (2, Some(100.0)));
    });
}

#[test]
fn plays_and_library_are_counted() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1", "t2"]), at(1)).await;
        let play = "INSERT INTO plays (account_id, played_at, track_uri, source) VALUES";
        let account = db.account.0;
        db.execute(&format!("{play} ({account}, '2026-10-01 10:00:00.000000+00:00', 'spotify:track:t1', 'api')")).await;
        db.execute(&format!("{play} ({account}, '2026-10-02 10:00:00.500000+00:00', 'spotify:track:t1', 'api')")).await;
        let playback = db.store.status(at(2)).await.unwrap().accounts.remove(0).playback;
        assert_eq!(playback.plays, 2);
        assert_eq!(playback.last_played_at.unwrap().to_rfc3339(), "2026-10-02T10:00:00.500+00:00");
        let counted = db.store.library_counts(db.account).await.unwrap();
        let saved_tracks = counted.members[EntityType::Tracks];
        assert_eq!((saved_tracks.active, saved_tracks.removed), (2, 0));
        assert_eq!((counted.catalogue_tracks, counted.catalogue_albums, counted.catalogue_artists), (2, 1, 2));
    });
}
