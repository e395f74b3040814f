//! The orders of a person to a running service: sync now, pause, resume, start over. [`crate::engine::schedule`]
//! decides which of them makes sense; what has to outlast the process is in the database before anything is done or
//! answered.

use super::{Supervisor, Work};
use crate::{
    actors::{
        checkpoint_writer::{GiveOrder, NoteOrder, WriteError},
        now,
    },
    engine::schedule::Unfit,
    model::{AccountId, EntityType, OrderOutcome, SyncKey},
};
use actix::{ActorFutureExt, Context, Handler, MailboxError, Message, ResponseActFuture, WrapFuture};
use futures_util::future::OptionFuture;
use tracing::info;

pub use crate::model::Order;

const NOT_SIGNED_IN: &str = "the account is not signed in to this service";

/// An order of a person for an account's entity types.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Steered, SteerError>")]
pub struct SteerAccount {
    pub order: Order,
    pub account: AccountId,
    /// `None` for all that the service keeps current.
    pub entities: Option<Vec<EntityType>>,
    pub given_at: GivenAt,
}

/// Where the person gave the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenAt {
    /// If another node keeps the account current, it is passed on.
    ThisNode,
    AnotherNode,
}

/// The outcome of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steered {
    Done(OrderOutcome),
    /// It has this number among the orders for other nodes.
    PassedOn(i64),
}

/// The order had no effect.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    #[error("no service runs here")]
    NotServing,
    #[error("the service is stopping")]
    Stopping,
    #[error("another node keeps the account current now")]
    Elsewhere,
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the checkpoint writer died; whether it was noted is unknown")]
    ReplyLost(#[from] MailboxError),
}

impl Handler<SteerAccount> for Supervisor {
    type Result = ResponseActFuture<Self, Result<Steered, SteerError>>;

    fn handle(&mut self, steer: SteerAccount, ctx: &mut Self::Context) -> Self::Result {
        let SteerAccount { order, account, entities, given_at } = steer;
        let serving = match &self.work {
            Work::Service(_) if self.runs.is_stopping() => return refuse(SteerError::Stopping),
            Work::Service(serving) => serving,
            Work::Nothing | Work::Once { .. } => return refuse(SteerError::NotServing),
        };
        let Some(schedule) = &self.runs.schedule else { return refuse(SteerError::NotServing) };
        if !self.accounts.contains_key(&account) && self.service.store.is_shared() {
            return match given_at {
                GivenAt::ThisNode => self.pass_on(order, account, entities),
                GivenAt::AnotherNode => refuse(SteerError::Elsewhere),
            };
        }
        let mut steered = OrderOutcome::default();
        for entity in entities.unwrap_or_else(|| serving.entities.clone()) {
            let key = SyncKey { account, entity };
            match schedule.check(order, &key) {
                _ if steered.accepted.contains(&key) => {}
                Ok(()) => steered.accepted.push(key),
                Err(Unfit::Unknown) if !self.accounts.contains_key(&account) => {
                    steered.skipped.push((key, NOT_SIGNED_IN.to_owned()));
                }
                Err(unfit) => steered.skipped.push((key, unfit.to_string())),
            }
        }
        let keys = steered.accepted.clone();
        // Sent here and not in the future, so that the writer receives it before any run that begins meanwhile.
        let note = NoteOrder { order, keys: keys.clone() };
        let is_stored = order != Order::Sync && !keys.is_empty();
        let noting = OptionFuture::from(is_stored.then(|| self.writer.send(note)));
        if order == Order::Reset {
            // Their uncommitted work is no longer of use.
            keys.iter().for_each(|key| self.runs.handle_dismissed(*key, now()));
            self.drive(ctx);
        }
        Box::pin(noting.into_actor(self).map(move |noted, supervisor, ctx| {
            noted.transpose()?.transpose()?;
            supervisor.carry_out(order, &keys, ctx);
            Ok(Steered::Done(steered))
        }))
    }
}

impl Supervisor {
    /// To the node that keeps the account current, or will.
    fn pass_on(
        &self,
        order: Order,
        account_id: AccountId,
        entities: Option<Vec<EntityType>>,
    ) -> ResponseActFuture<Supervisor, Result<Steered, SteerError>> {
        let kept = || match &self.work {
            Work::Service(serving) => serving.entities.clone(),
            Work::Nothing | Work::Once { .. } => Vec::new(),
        };
        let named = entities.clone().unwrap_or_else(kept);
        let giving = self.writer.send(GiveOrder { order, account_id, entities });
        Box::pin(giving.into_actor(self).map(move |given, _, _| {
            let skip = |entity| (SyncKey { account: account_id, entity }, NOT_SIGNED_IN.to_owned());
            Ok(match given?? {
                Some(number) => Steered::PassedOn(number),
                None => {
                    Steered::Done(OrderOutcome { accepted: Vec::new(), skipped: named.into_iter().map(skip).collect() })
                }
            })
        }))
    }

    fn carry_out(&mut self, order: Order, keys: &[SyncKey], ctx: &mut Context<Self>) {
        for key in keys {
            info!(account = key.account.0, entity = %key.entity, ?order, "ordered manually");
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
