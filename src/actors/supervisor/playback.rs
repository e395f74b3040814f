//! The supervisor and playback: a service has a tracker for each of its accounts, which runs independently of the
//! syncers.

use super::{Supervisor, Work};
use crate::{
    actors::{
        checkpoint_writer::NotePlayback,
        driven::Dismiss,
        lifecycle::{Child, start_guarded},
        playback_tracker::{ChangePlaybackSettings, PlaybackTracker, PlaysObserved, TrackerSetup},
    },
    clock,
    engine::{
        playback::{PlaybackSettings, Standing},
        restart::Ruling,
    },
    faults,
    model::{AccountId, PlaybackNote},
};
use actix::{AsyncContext, Context, Handler};
use std::time::Duration;
use tracing::{debug, trace};

/// Wait before a new tracker is started in place of one that kept panicking.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3600);

impl Supervisor {
    /// Tracks the playback of an adopted account, in place of whatever tracked it before.
    pub(super) fn start_tracker(&mut self, account_id: AccountId, ctx: &mut Context<Self>) {
        self.stop_tracker(account_id);
        let (Some(actors), Some(settings)) = (self.accounts.get(&account_id), self.playback) else { return };
        let setup = TrackerSetup {
            account_id,
            store: self.service.store.clone(),
            writer: self.writer.clone(),
            fetcher: actors.fetcher.clone(),
            settings,
            observer: ctx.address().recipient(),
        };
        let child = Child::PlaybackTracker(account_id);
        let parent = ctx.address().recipient();
        let tracker = start_guarded(child, self.policy, parent, |_| PlaybackTracker::new(setup));
        self.trackers.insert(account_id, tracker);
    }

    pub(super) fn stop_tracker(&mut self, account: AccountId) {
        if let Some(tracker) = self.trackers.remove(&account) {
            tracker.do_send(Dismiss);
        }
    }

    pub(super) fn stop_trackers(&mut self) {
        let accounts: Vec<AccountId> = self.trackers.keys().copied().collect();
        accounts.into_iter().for_each(|account| self.stop_tracker(account));
    }

    pub(super) fn change_playback(&mut self, settings: PlaybackSettings) {
        if self.playback.replace(settings) != Some(settings) {
            self.trackers.values().for_each(|tracker| tracker.do_send(ChangePlaybackSettings(settings)));
        }
    }

    /// A tracker in a new life needs no help. One that is given up is tried again, rarely.
    pub(super) fn handle_tracker_exited(
        &mut self,
        account_id: AccountId,
        ruling: Ruling,
        why: &str,
        ctx: &mut Context<Self>,
    ) {
        match ruling {
            Ruling::RestartIn(_) => {}
            Ruling::Park | Ruling::Rest => {
                self.trackers.remove(&account_id);
                let error = Some(format!("the playback tracker keeps failing: {why}"));
                let next_poll_at = Some(clock::now() + TRY_AGAIN_AFTER);
                let note = PlaybackNote { account_id, next_poll_at, parked_until: None, error };
                self.writer.do_send(NotePlayback(note));
                ctx.run_later(TRY_AGAIN_AFTER, move |supervisor, ctx| {
                    let is_wanted = matches!(supervisor.work, Work::Service(_));
                    if is_wanted && !supervisor.trackers.contains_key(&account_id) {
                        supervisor.start_tracker(account_id, ctx);
                    }
                });
            }
        }
    }
}

impl Handler<PlaysObserved> for Supervisor {
    type Result = ();

    fn handle(&mut self, observed: PlaysObserved, _: &mut Self::Context) {
        faults::visit("supervisor.plays");
        let (account, next_poll_at) = (observed.account_id.0, observed.next_poll_at);
        match observed.standing {
            Standing::Tracking => trace!(account, ?next_poll_at, verdict = ?observed.verdict, "playback tracked"),
            // Logged by the tracker. The syncers find out themselves that a sign-in ended; a new one brings a new
            // tracker.
            standing => debug!(account, ?standing, ?next_poll_at, "playback not tracked"),
        }
    }
}
