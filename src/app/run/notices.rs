//! Notifications to others: a notifier for each webhook, and a periodic check for events that no commit writes: a
//! sign-in that ends soon, or a sync that has failed for a day.

use super::super::{CommandError, USER_AGENT, insist::insist};
use crate::{
    actors::notifier::NotifierSetup,
    clock,
    config::Config,
    faults::hastened,
    model::{AccountId, EntityType, EventKind, SignInState},
    notify::Webhook,
    store::{DatabaseUrl, RELAY, Store, StoreError, SyncState},
};
#[cfg(feature = "nats")]
use crate::{
    actors::{Supervisor, relay::RelaySetup, supervisor::notices::Publish},
    metrics::Metrics,
    model::Owner,
};
#[cfg(feature = "nats")]
use actix::Addr;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// How soon events that no commit writes are noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

/// A sync that has failed for this long is reported.
const FAILING_FOR: TimeDelta = TimeDelta::hours(24);

/// Starts looking for events that no commit writes. Returns what notifies the webhooks of the settings.
pub(super) async fn begin(
    config: &Config,
    url: &DatabaseUrl,
    label: &str,
    store: &Store,
) -> Result<Vec<NotifierSetup>, CommandError> {
    let readers = Store::open_readers(url, &format!("{label}, webhooks"))?;
    let (mut setups, mut names) = (Vec::new(), Vec::new());
    for url in &config.notify.webhooks {
        let webhook = Webhook::new(url.clone(), config.notify.secret.clone(), USER_AGENT)
            .map_err(|error| CommandError::failed(&error))?;
        // Everything noted from here on is sent to it, whichever node does so and when.
        let name = webhook.name();
        insist(async || {
            store.follow(&name).await?;
            store.describe_webhook(&name, &webhook.to_string(), &config.notify.events).await
        })
        .await?;
        names.push(name);
        let setup = NotifierSetup {
            webhook,
            kinds: config.notify.events.clone(),
            store: store.clone(),
            readers: readers.clone(),
        };
        setups.push(setup);
    }
    if !config.feed.nats.is_empty() {
        let host = config.feed.nats[0].host_str().unwrap_or_default();
        insist(async || store.describe_relay(host).await).await?;
        names.push(RELAY.to_owned());
    }
    insist(async || store.show_followers(&names).await).await?;
    actix_rt::spawn(watch(store.clone()));
    Ok(setups)
}

/// Publishes the feed if the settings ask for it; nodes find out among themselves which of them does.
#[cfg(feature = "nats")]
pub(super) fn publish(
    config: &Config,
    url: &DatabaseUrl,
    owner: &Owner,
    (store, metrics): (&Store, &Metrics),
    supervisor: &Addr<Supervisor>,
) -> Result<(), CommandError> {
    if !config.feed.nats.is_empty() {
        supervisor.do_send(Publish(RelaySetup {
            servers: config.feed.nats.clone(),
            keeps_for: config.keep_feed,
            node: owner.id,
            store: store.clone(),
            readers: Store::open_readers(url, &format!("{}, relay", owner.label))?,
            metrics: metrics.clone(),
        }));
    }
    Ok(())
}

/// Runs until it is dropped with the service.
async fn watch(store: Store) {
    loop {
        if let Err(error) = look(&store, clock::now()).await {
            warn!(%error, "the database could not be checked for events to report; trying again");
        }
        sleep(hastened(LOOK_EVERY)).await;
    }
}

async fn look(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    for sign_in in store.sign_ins().await? {
        let account = sign_in.account.id;
        if let SignInState::EndsSoon { until } = sign_in.state(now) {
            let once = format!("sign_in_ends {} {}", account.0, until.timestamp());
            store.note_event(account, EventKind::SignInEnds, &json!({ "until": until }), &once, now).await?;
        }
        let states = store.list(account).await?;
        for entity in EntityType::ALL.iter().copied() {
            if let Some((once, body)) = failing(account, entity, &states, now) {
                store.note_event(account, EventKind::SyncFailing, &body, &once, now).await?;
            }
        }
    }
    Ok(())
}

/// The failure of an entity type whose last run failed, and whose last good run, or its first, is more than a day ago.
fn failing(
    account: AccountId,
    entity: EntityType,
    states: &[SyncState],
    now: DateTime<Utc>,
) -> Option<(String, Value)> {
    let of_entity = || states.iter().filter(move |state| state.key.entity == entity);
    let failed = of_entity().filter(|state| state.failure.is_some()).max_by_key(|state| state.failed_at)?;
    let good = of_entity().filter_map(|state| state.completed_at).max();
    if good > failed.failed_at {
        return None;
    }
    let since = good.or(failed.started_at).or(failed.failed_at)?;
    let error = failed.failure.as_deref().filter(|_| now - since >= FAILING_FOR)?;
    let once = format!("sync_failing {} {entity} {}", account.0, since.timestamp());
    Some((once, json!({ "entity_type": entity, "since": since, "error": error })))
}
