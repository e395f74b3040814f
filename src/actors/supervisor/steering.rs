//! What a person may tell a service while it runs: sync now, pause, go on, start over. Which of it makes sense says
//! [`crate::engine::schedule`]; what has to outlast the process is in the database before anything is done or answered.

use super::{Supervisor, Work};
use crate::{
    actors::{
        checkpoint_writer::{NoteOrder, WriteError},
        now,
    },
    engine::schedule::Unfit,
    model::{AccountId, EntityType, SyncKey},
};
use actix::{ActorFutureExt, Context, Handler, MailboxError, Message, ResponseActFuture, WrapFuture};
use futures_util::future::OptionFuture;
use tracing::info;

pub use crate::engine::schedule::Order;

/// What a person wants of an account's entity types.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Steered, SteerError>")]
pub struct SteerAccount {
    pub order: Order,
    pub account: AccountId,
    /// `None` for all that the service keeps current.
    pub entities: Option<Vec<EntityType>>,
}

/// What came of it, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steered {
    pub accepted: Vec<SyncKey>,
    pub skipped: Vec<(SyncKey, String)>,
}

/// Nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    #[error("no service runs here")]
    NotServing,
    #[error("the service is stopping")]
    Stopping,
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the checkpoint writer died; whether it was noted is unknown")]
    ReplyLost(#[from] MailboxError),
}

impl Handler<SteerAccount> for Supervisor {
    type Result = ResponseActFuture<Self, Result<Steered, SteerError>>;

    fn handle(&mut self, steer: SteerAccount, ctx: &mut Self::Context) -> Self::Result {
        let SteerAccount { order, account, entities } = steer;
        let serving = match &self.work {
            Work::Service(_) if self.runs.is_stopping() => return refuse(SteerError::Stopping),
            Work::Service(serving) => serving,
            Work::Nothing | Work::Once { .. } => return refuse(SteerError::NotServing),
        };
        let Some(schedule) = &self.runs.schedule else { return refuse(SteerError::NotServing) };
        let mut steered = Steered::default();
        for entity in entities.unwrap_or_else(|| serving.entities.clone()) {
            let key = SyncKey { account, entity };
            match schedule.check(order, &key) {
                _ if steered.accepted.contains(&key) => {}
                Ok(()) => steered.accepted.push(key),
                Err(Unfit::Unknown) if !self.accounts.contains_key(&account) => {
                    steered.skipped.push((key, "the account is not signed in to this service".to_owned()));
                }
                Err(unfit) => steered.skipped.push((key, unfit.to_string())),
            }
        }
        let keys = steered.accepted.clone();
        // Sent here and not in the future: the writer hears of it before it hears of a run that begins meanwhile.
        let note = NoteOrder { order, keys: keys.clone() };
        let is_stored = order != Order::Sync && !keys.is_empty();
        let noting = OptionFuture::from(is_stored.then(|| self.writer.send(note)));
        if order == Order::Reset {
            // What they have not committed is of no use any more.
            keys.iter().for_each(|key| self.runs.handle_dismissed(*key, now()));
            self.drive(ctx);
        }
        Box::pin(noting.into_actor(self).map(move |noted, supervisor, ctx| {
            noted.transpose()?.transpose()?;
            supervisor.carry_out(order, &keys, ctx);
            Ok(steered)
        }))
    }
}

impl Supervisor {
    fn carry_out(&mut self, order: Order, keys: &[SyncKey], ctx: &mut Context<Self>) {
        for key in keys {
            info!(account = key.account.0, entity = %key.entity, ?order, "told by a person");
            match order {
                Order::Sync | Order::Reset | Order::ConfirmRemovals => self.runs.handle_wanted(*key, now()),
                Order::Pause => self.runs.handle_paused(*key),
                Order::Resume => {
                    if let Some(schedule) = &mut self.runs.schedule {
                        schedule.handle_resumed(*key);
                    }
                }
            }
        }
        self.drive(ctx);
    }
}

fn refuse(error: SteerError) -> ResponseActFuture<Supervisor, Result<Steered, SteerError>> {
    Box::pin(actix::fut::ready(Err(error)))
}
