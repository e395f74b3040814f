//! A syncer against a database that fails, by hand.

use super::*;
use crate::engine::{
    restart::RestartPolicy,
    run::{BatchSizes, RunMode, Ticket},
    sweep::RemovalGuard,
};
use crate::model::{Checkpoint, EntityType, Fault, Pause};
use crate::model::{Family, LimitClass};
use chrono::{DateTime, TimeDelta};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[test]
fn a_run_begins_behind_its_fence_and_where_the_database_says() {
    let mut syncing = started();
    assert_eq!(steps(&mut syncing), ["Abandon", "LoadProgress"]);
    answer(&mut syncing, Answer::Progress(Ok(RunMode::Initial)));
    assert_eq!(steps(&mut syncing), ["BeginRun"]);
    answer(&mut syncing, Answer::Begun(Ok(FENCE)));
    assert_eq!(steps(&mut syncing), ["LoadPlace"]);
    answer(&mut syncing, Answer::Placed(Ok(place(RunMode::Initial))));
    assert_eq!(steps(&mut syncing), ["Begun", "Fetch"]);
}

#[test]
fn a_phase_that_ended_before_the_fence_stood_is_left() {
    let mut syncing = started();
    answer(&mut syncing, Answer::Progress(Ok(RunMode::Initial)));
    answer(&mut syncing, Answer::Begun(Ok(FENCE)));
    steps(&mut syncing);
    let last = Checkpoint { is_complete: true, ..Checkpoint::start(Phase::InitialSync) };
    answer(&mut syncing, Answer::Placed(Ok(place(RunMode::Incremental { last }))));
    assert_eq!(steps(&mut syncing), ["SwitchPhase"]);
    answer(&mut syncing, Answer::Switched(Ok(Checkpoint::start(Phase::IncrementalSync))));
    assert_eq!(steps(&mut syncing), ["Begun", "Fetch"]);
}

#[test]
fn a_lost_reply_is_followed_by_a_look_at_the_database_and_by_no_second_commit() {
    let mut syncing = running();
    let life = syncing.life();
    answer(&mut syncing, Answer::Committed(Err(passing())));
    assert_eq!(steps(&mut syncing), ["Abandon", "Wait"]);
    // The page that was under way comes too late.
    syncing.handle(life, Answer::Page(Ticket::default(), Err(Fault::Stopped)), now());
    assert_eq!(steps(&mut syncing), Vec::<&str>::new());
    answer(&mut syncing, Answer::Waited);
    assert_eq!(steps(&mut syncing), ["Abandon", "LoadProgress"]);
}

#[test]
fn a_database_that_keeps_failing_ends_the_run_and_the_failure_is_noted() {
    let mut syncing = started();
    let mut num_waits = 0;
    loop {
        answer(&mut syncing, Answer::Progress(Err(passing())));
        match steps(&mut syncing).as_slice() {
            [.., "Wait"] => num_waits += 1,
            [.., "NoteFailure"] => break,
            other => panic!("{other:?}"),
        }
        answer(&mut syncing, Answer::Waited);
        steps(&mut syncing);
    }
    assert_eq!(num_waits, RestartPolicy::default().max_restarts);
    // However that goes.
    answer(&mut syncing, Answer::Noted(Err(passing())));
    assert_eq!(ended(&mut syncing), Some(RunEnd::Failed(Fault::Away("gone".to_owned()))));
}

#[test]
fn whoever_is_overtaken_says_so_and_tries_nothing_again() {
    let mut syncing = running();
    answer(&mut syncing, Answer::Committed(Err(SyncError::Overtaken("b".to_owned()))));
    assert_eq!(steps(&mut syncing), ["Abandon", "NoteFailure"]);
    answer(&mut syncing, Answer::Noted(Ok(())));
    assert_eq!(ended(&mut syncing), Some(RunEnd::Failed(Fault::Overtaken("b".to_owned()))));
}

#[test]
fn a_pause_is_noted_unless_somebody_took_over_meanwhile() {
    let pause = Pause { scope: Family::Tracks, class: LimitClass::Quota, until: now().wall + TimeDelta::hours(3) };
    for (noted, end) in [
        (Ok(()), RunEnd::Paused(pause)),
        (Err(passing()), RunEnd::Paused(pause)),
        (Err(SyncError::Overtaken("b".to_owned())), RunEnd::Failed(Fault::Overtaken("b".to_owned()))),
    ] {
        let mut syncing = running();
        let ticket = syncing.ticket_out();
        answer(&mut syncing, Answer::Page(ticket, Err(Fault::Paused(pause))));
        assert_eq!(steps(&mut syncing), ["Abandon", "NoteEnd"]);
        answer(&mut syncing, Answer::Noted(noted));
        assert_eq!(ended(&mut syncing), Some(end));
    }
}

#[test]
fn a_stop_ends_what_has_not_begun_at_once_and_outlives_a_death() {
    let mut syncing = started();
    syncing.handle_stop();
    assert_eq!(ended(&mut syncing), Some(RunEnd::Stopped));
    let mut syncing = syncing.reborn();
    syncing.handle_start(Purpose::Current);
    answer(&mut syncing, Answer::Progress(Ok(RunMode::Initial)));
    answer(&mut syncing, Answer::Begun(Ok(FENCE)));
    answer(&mut syncing, Answer::Placed(Ok(place(RunMode::Initial))));
    assert_eq!(ended(&mut syncing), Some(RunEnd::Stopped));
}

#[test]
fn whoever_is_dismissed_says_nothing() {
    let mut syncing = running();
    syncing.handle_dismissed();
    assert_eq!(steps(&mut syncing), ["Abandon"]);
    answer(&mut syncing, Answer::Waited);
    assert_eq!(steps(&mut syncing), Vec::<&str>::new());
}

const FENCE: Fence = Fence { generation: 1, owner: Uuid::nil() };

fn now() -> Now {
    static BASE: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let wall = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
    Now { at: *BASE, wall, jitter: 0.5 }
}

fn passing() -> SyncError {
    SyncError::Passing("gone".to_owned())
}

fn place(mode: RunMode) -> Place {
    Place { mode, num_active: 0, open_gaps: Vec::new() }
}

fn started() -> Syncing {
    let mut syncing = Syncing::new(SyncingSetup {
        entity: EntityType::Tracks,
        batches: BatchSizes { initial: 200, incremental: 50 },
        guard: RemovalGuard::default(),
        policy: RestartPolicy { within: Duration::from_secs(60), ..RestartPolicy::default() },
    });
    syncing.handle_start(Purpose::Current);
    syncing
}

/// With its first page under way.
fn running() -> Syncing {
    let mut syncing = started();
    answer(&mut syncing, Answer::Progress(Ok(RunMode::Initial)));
    answer(&mut syncing, Answer::Begun(Ok(FENCE)));
    answer(&mut syncing, Answer::Placed(Ok(place(RunMode::Initial))));
    syncing
}

fn answer(syncing: &mut Syncing, answer: Answer) {
    syncing.handle(syncing.life(), answer, now());
}

/// The names of everything to be done.
fn steps(syncing: &mut Syncing) -> Vec<&'static str> {
    std::iter::from_fn(|| syncing.poll()).map(|step| name(&step)).collect()
}

fn ended(syncing: &mut Syncing) -> Option<RunEnd> {
    std::iter::from_fn(|| syncing.poll()).find_map(|step| match step {
        Step::Ended(end) => Some(end),
        _ => None,
    })
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Abandon => "Abandon",
        Step::LoadProgress => "LoadProgress",
        Step::BeginRun(_) => "BeginRun",
        Step::LoadPlace => "LoadPlace",
        Step::SwitchPhase { .. } => "SwitchPhase",
        Step::Begun { .. } => "Begun",
        Step::Fetch { .. } => "Fetch",
        Step::Commit { .. } => "Commit",
        Step::ListStale => "ListStale",
        Step::ListMembers(_) => "ListMembers",
        Step::Wait { .. } => "Wait",
        Step::NoteEnd { .. } => "NoteEnd",
        Step::NoteFailure(_) => "NoteFailure",
        Step::Ended(_) => "Ended",
    }
}

impl Syncing {
    /// Polls up to the next request, and says which it is.
    fn ticket_out(&mut self) -> Ticket {
        std::iter::from_fn(|| self.poll())
            .find_map(|step| match step {
                Step::Fetch { ticket, .. } => Some(ticket),
                _ => None,
            })
            .expect("a run asks for pages")
    }
}
