//! Beginning runs, and which others that fences off.

use super::*;
use crate::store::EntityProgress;

const ENTITY: EntityType = EntityType::Albums;

async fn begin(db: &Db, phase: Phase, label: &str) -> (Fence, Checkpoint) {
    db.store.begin_run(db.account, ENTITY, phase, Uuid::new_v4(), label, at(1)).await.unwrap()
}

fn is_fenced<T>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Fenced { .. }))
}

#[test]
fn a_run_carries_on_from_the_committed_checkpoint() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        assert_eq!(run.checkpoint, Checkpoint::start(Phase::InitialSync));
        let anchors = vec![SlotKey { id: Some("t1".into()), added_at: Some(at(-7)) }];
        let place = WalkPlace { stage: Stage::Walk, pass: 3, anchors, ..WalkPlace::default() };
        let walk = WalkState { place, ..WalkState::default() };
        let checkpoint = Checkpoint {
            phase: Phase::InitialSync,
            offset: 150,
            cursor: Some("t1".into()),
            total: Some(4000),
            is_complete: false,
            walk,
            note: Some("2 rows are odd".into()),
        };
        let commit = Commit { checkpoint: checkpoint.clone(), ..run.commit_of(tracks(&["t1"])) };
        db.store.commit(Box::new(commit.clone()), at(2)).await.unwrap();

        let resumed = db.begin(EntityType::Tracks).await;

        assert_eq!(resumed.checkpoint, checkpoint);
        assert_eq!(resumed.fence.generation, run.fence.generation + 1);
        let progress = db.store.load_progress(db.account, EntityType::Tracks).await.unwrap();
        assert_eq!(progress, EntityProgress { initial: Some(checkpoint), incremental: None });
    });
}

#[test]
fn a_later_run_in_either_phase_fences_an_earlier_one_in_either() {
    on_both(async |db| {
        for (earlier, later) in [
            (Phase::InitialSync, Phase::IncrementalSync),
            (Phase::IncrementalSync, Phase::InitialSync),
            (Phase::InitialSync, Phase::InitialSync),
        ] {
            let (old, checkpoint) = begin(db, earlier, "old").await;
            let (new, _) = begin(db, later, "new").await;
            let write =
                |fence, checkpoint| async move { db.update_checkpoint(ENTITY, fence, &checkpoint, at(2)).await };
            assert!(is_fenced(write(old, checkpoint).await));
            assert!(is_fenced(db.store.switch_phase(old, db.account, ENTITY, later, at(2)).await));
            write(new, Checkpoint::start(later)).await.unwrap();
        }
    });
}

#[test]
fn a_run_goes_on_in_the_other_phase_under_its_own_fence() {
    on_both(async |db| {
        let (fence, _) = begin(db, Phase::InitialSync, "home").await;
        let switch = || db.store.switch_phase(fence, db.account, ENTITY, Phase::IncrementalSync, at(2));
        assert_eq!(switch().await.unwrap(), Checkpoint::start(Phase::IncrementalSync));
        let checkpoint = Checkpoint { offset: 5, ..Checkpoint::start(Phase::IncrementalSync) };
        db.update_checkpoint(ENTITY, fence, &checkpoint, at(3)).await.unwrap();
        assert_eq!(switch().await.unwrap(), checkpoint);

        begin(db, Phase::InitialSync, "away").await;
        assert!(is_fenced(db.update_checkpoint(ENTITY, fence, &checkpoint, at(4)).await));
    });
}

#[test]
fn of_many_runs_that_begin_at_once_one_may_write() {
    on_both(async |db| {
        let phases = [Phase::InitialSync, Phase::IncrementalSync].into_iter().cycle().take(6);
        let begun = futures_util::future::join_all(phases.map(|phase| begin(db, phase, "racer"))).await;
        let mut writers = 0;
        for (fence, checkpoint) in begun {
            let written = db.update_checkpoint(ENTITY, fence, &checkpoint, at(2)).await;
            writers += u32::from(written.is_ok());
        }
        assert_eq!(writers, 1);
        assert_eq!(db.texts("count(DISTINCT generation)", "sync_states").await, ["1"]);
    });
}

#[test]
fn entity_types_do_not_fence_each_other() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.begin(EntityType::Albums).await;
        run.commit(tracks(&["t1"]), at(1)).await;
    });
}

#[test]
fn an_unreadable_checkpoint_starts_the_phase_over_and_forgets_what_was_seen() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let mut commit = run.commit_of(tracks(&["t1"]));
        commit.effects.record_seen = Some(1);
        commit.checkpoint.walk.place.stage = Stage::Walk;
        db.store.commit(Box::new(commit.clone()), at(1)).await.unwrap();
        db.execute("UPDATE sync_states SET checkpoint = '{\"stage\": \"from the future\"}'").await;

        assert_eq!(db.begin(EntityType::Tracks).await.checkpoint, Checkpoint::start(Phase::InitialSync));
        assert_eq!(db.count("sync_seen").await, 0);
    });
}

#[test]
fn a_run_of_nobody_does_not_begin() {
    on_both(async |db| {
        let nobody = AccountId(4711);
        let refused = db.store.begin_run(nobody, ENTITY, Phase::InitialSync, Uuid::nil(), "test", at(1)).await;
        assert!(matches!(refused, Err(StoreError::UnknownAccount(id)) if id == nobody));
    });
}

/// A process that is stopped with a transaction open holds its locks for as long as the server permits.
#[test]
fn a_transaction_that_nobody_goes_on_with_does_not_keep_a_successor_out() {
    on_both(async |db| {
        let Store::Pg(_) = db.store else { return };
        let mut held: Conn = db.store.connect().await.unwrap();
        let setting = "SELECT current_setting('idle_in_transaction_session_timeout') AS cell";
        let cells: Vec<Cell> = with_conn!(&mut held, |c| sql_query(setting).load(c).await).unwrap();
        assert_eq!(cells[0].cell.as_deref(), Some("10s"));

        held.begin().await.unwrap();
        // Ten seconds are too long for a test.
        let stop = "SET LOCAL idle_in_transaction_session_timeout = '300ms'; UPDATE accounts SET spotify_id = 'mira'";
        with_conn!(&mut held, |c| c.batch_execute(stop).await).unwrap();
        let successor = Store::open(&db.url, "successor").await.unwrap();
        let begun = successor.begin_run(db.account, ENTITY, Phase::InitialSync, Uuid::new_v4(), "cellar", at(1));
        tokio::time::timeout(Duration::from_secs(10), begun).await.expect("the server lets it through").unwrap();

        // A process that wakes up gets an error, and starts again from the database.
        let error = StoreError::Query(held.commit().await.unwrap_err());
        assert!(error.is_transient(), "{error}");
        drop(held);
        assert_eq!(db.store.accounts().await.unwrap().len(), 1);
    });
}
