//! The repository of sync states.

use super::*;
use crate::model::status::State;
use crate::store::{StateKey, sync_states};

fn key(db: &Db, entity: EntityType, phase: Phase) -> StateKey {
    StateKey { account: db.account, entity, phase }
}

#[test]
fn a_state_is_created_once() {
    on_both(async |db| {
        let key = key(db, EntityType::Tracks, Phase::InitialSync);
        assert_eq!(db.state(key).await, None);
        let created = db.get_or_create(key).await;
        assert_eq!(created.checkpoint, Checkpoint::start(Phase::InitialSync));
        assert_eq!(db.get_or_create(key).await, created);
        assert_eq!(db.state(key).await, Some(created));
    });
}

#[test]
fn states_are_listed_by_account_and_by_entity_type() {
    on_both(async |db| {
        for (entity, phase) in [
            (EntityType::Tracks, Phase::InitialSync),
            (EntityType::Tracks, Phase::IncrementalSync),
            (EntityType::Albums, Phase::InitialSync),
        ] {
            db.get_or_create(key(db, entity, phase)).await;
        }
        assert_eq!(db.store.list(db.account).await.unwrap().len(), 3);
        assert_eq!(db.store.list(AccountId(99)).await.unwrap(), []);
        let tracks = db.store.list_by_entity_type(db.account, EntityType::Tracks).await.unwrap();
        let phases: Vec<Phase> = tracks.iter().map(|state| state.key.phase).collect();
        assert_eq!(phases, [Phase::InitialSync, Phase::IncrementalSync]);
    });
}

/// During an upgrade node by node, a newer version may have owned an account before.
#[test]
fn what_another_version_noted_under_its_own_words_is_left_to_it() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.execute(&format!(
            "INSERT INTO sync_states (account_id, entity_type, phase) VALUES ({}, 'to_come', 'initial_sync')",
            db.account.0
        ))
        .await;
        let states = db.store.list(db.account).await.unwrap();
        assert_eq!(states.iter().map(|state| state.key.entity).collect::<Vec<_>>(), [EntityType::Tracks]);
        let status = db.store.status(at(1)).await.unwrap();
        assert_eq!(status.accounts[0].entities.len(), 1);
        run.commit(tracks(&["t1"]), at(1)).await;
        assert_eq!(db.count("sync_states WHERE entity_type = 'to_come'").await, 1);
    });
}

#[test]
fn a_limit_lasts_until_its_reset_and_a_commit_ends_it() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let key = key(db, EntityType::Tracks, Phase::InitialSync);
        let other = db.get_or_create(self::key(db, EntityType::Albums, Phase::InitialSync)).await.key;
        db.store.mark_rate_limited(key, None, at(90), Some(0), at(30)).await.unwrap();
        db.store.mark_rate_limited(other, None, at(60), None, at(30)).await.unwrap();
        let state = db.state(key).await.unwrap();
        assert_eq!((state.rate_limit_hit_at, state.rate_limit_reset_at), (Some(at(30)), Some(at(90))));
        assert_eq!(state.rate_limit_remaining, Some(0));
        assert!(state.is_rate_limited(at(89)) && !state.is_rate_limited(at(90)));
        let earliest = async |now| sync_states::earliest_reset(&db.store.list(db.account).await.unwrap(), now);
        assert_eq!(earliest(at(31)).await, Some(at(60)));
        assert_eq!(earliest(at(60)).await, Some(at(90)));
        assert_eq!(earliest(at(90)).await, None);
        assert_eq!(db.store.status(at(31)).await.unwrap().accounts[0].limited_until, Some(at(60)));

        // Another run begins: at first the limit is still there.
        let begin = async |now| {
            let (account, entity, phase) = (other.account, other.entity, other.phase);
            db.store.begin_run(account, entity, phase, Uuid::new_v4(), "a test", now).await.unwrap();
            db.state(other).await.unwrap().rate_limit_reset_at
        };
        assert_eq!(begin(at(59)).await, Some(at(60)));
        assert_eq!(begin(at(61)).await, None);
        run.commit(tracks(&["t1"]), at(40)).await;
        assert_eq!(db.state(key).await.unwrap().rate_limit_hit_at, None);
    });
}

#[test]
fn completion_is_dated_when_it_is_reached_and_outlasts_the_next_walk() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let key = key(db, EntityType::Tracks, Phase::InitialSync);
        let write = async |is_complete, now| {
            let checkpoint = Checkpoint { is_complete, ..Checkpoint::start(Phase::InitialSync) };
            let entity = EntityType::Tracks;
            db.update_checkpoint(entity, run.fence, &checkpoint, now).await.unwrap();
            db.state(key).await.unwrap()
        };
        assert_eq!(write(false, at(1)).await.completed_at, None);
        assert_eq!(write(true, at(2)).await.completed_at, Some(at(2)));
        assert_eq!(write(true, at(3)).await.completed_at, Some(at(2)), "it was complete already");
        let under_way = write(false, at(4)).await;
        assert_eq!((under_way.checkpoint.is_complete, under_way.completed_at), (false, Some(at(2))));
        db.mark_complete(key, run.fence, at(5)).await.unwrap();
        let state = db.state(key).await.unwrap();
        assert_eq!((state.checkpoint.is_complete, state.completed_at), (true, Some(at(5))));
    });
}

#[test]
fn a_failure_is_told_until_the_next_run_begins_and_a_note_outlasts_it() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let key = key(db, EntityType::Tracks, Phase::InitialSync);
        let noted =
            Checkpoint { is_complete: true, note: Some("3 removals held back".into()), ..run.checkpoint.clone() };
        db.update_checkpoint(EntityType::Tracks, run.fence, &noted, at(1)).await.unwrap();
        assert_eq!(db.begin(EntityType::Tracks).await.checkpoint.note, noted.note);

        let run = db.begin(EntityType::Tracks).await;
        db.store.mark_failed(key, run.fence, "refresh token rejected\0", at(2)).await.unwrap();
        let failed = db.state(key).await.unwrap();
        assert_eq!(failed.failure.as_deref(), Some("refresh token rejected"));
        assert_eq!(failed.checkpoint.note, None);
        let next = db.begin(EntityType::Tracks).await;
        assert_eq!(db.state(key).await.unwrap().failure, None);

        let late = db.store.mark_failed(key, run.fence, "too late", at(3)).await;
        assert!(matches!(late, Err(StoreError::Fenced { .. })));
        let late = db.mark_complete(key, run.fence, at(3)).await;
        assert!(matches!(late, Err(StoreError::Fenced { .. })));
        db.mark_complete(key, next.fence, at(4)).await.unwrap();
    });
}

#[test]
fn a_reset_forgets_the_place_but_not_the_library() {
    on_both(async |db| {
        let run = db.begin(EntityType::Playlists).await;
        let mut commit = run.commit_of(playlists([playlist("p1", "s1")]));
        commit.effects.record_seen = Some(1);
        commit.effects.new_gaps = vec![super::effects::found(None, 0, 50)];
        commit.checkpoint.is_complete = true;
        db.store.commit(Box::new(commit.clone()), at(1)).await.unwrap();
        db.execute("UPDATE playlists SET items_snapshot_id = 's1'").await;
        db.store
            .switch_phase(run.fence, db.account, EntityType::Playlists, Phase::IncrementalSync, at(2))
            .await
            .unwrap();
        let other = db.begin(EntityType::Tracks).await;

        db.store.reset(db.account, EntityType::Playlists).await.unwrap();

        let refused = db.store.commit(Box::new(commit.clone()), at(4)).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Fenced { by } if by == "a reset"), "{refused}");
        let status = db.store.status(at(4)).await.unwrap();
        let shown =
            status.accounts[0].entities.iter().find(|shown| shown.entity_type == EntityType::Playlists).unwrap();
        assert_eq!((shown.state, shown.offset, shown.completed_at), (State::Idle, 0, None));
        let progress = db.store.load_progress(db.account, EntityType::Playlists).await.unwrap();
        assert_eq!(progress.initial, Some(Checkpoint::start(Phase::InitialSync)));
        assert_eq!(progress.incremental, None);
        assert_eq!(db.count("sync_seen").await + db.count("sync_gaps").await, 0);
        assert_eq!(db.store.stale_playlists(db.account, at(4)).await.unwrap().len(), 1);
        assert_eq!(db.count("library_playlists").await, 1);
        let begun = db.begin(EntityType::Playlists).await;
        assert!(begun.fence.generation > run.fence.generation + 1);
        other.commit(tracks(&["t1"]), at(5)).await;
    });
}
