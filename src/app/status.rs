//! What `segno status` shows and the web API serves: the contents of the database, and what follows from them under
//! these settings.

use super::claim;
use crate::{
    config::Config,
    engine::{
        capacity::{Limit, Needs, capacity},
        forecast::{Known, Remaining, forecast, reached_ceilings},
        gate::GateSettings,
    },
    model::{
        EntityType, LearnedRate, LedgerEntry, Owner, Pause, PlaylistChoice, START_REQUESTS,
        status::{AccountStatus, EntityStatus, LimitStatus, Status},
    },
    processes,
    store::{ListedPlaylist, PlayCounts, Store, StoreError},
};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// From the database alone, so it works beside a running service, too.
pub async fn status(store: &Store, config: &Config, now: DateTime<Utc>) -> Result<Status, StoreError> {
    let (counts, settings) = (PlayCounts::default(), super::gate_settings(config));
    let us = claim::this_process("status");
    let inputs = StatusInputs { counts: &counts, settings: &settings, us: &us };
    let needs = needs(config, &config.sync.entities);
    let (status, _) = with_ledger(store, inputs, needs, &config.sync.playlists, now).await?;
    Ok(status)
}

/// What the settings demand for every account.
pub fn needs(config: &Config, entities: &[EntityType]) -> Needs {
    Needs {
        polls_every: config.playback.interval,
        looks_every: config.sync.interval,
        num_listings: u32::try_from(entities.len()).unwrap_or(u32::MAX),
    }
}

/// What a status is computed from, apart from the database.
#[derive(Clone, Copy)]
pub struct StatusInputs<'a> {
    pub counts: &'a PlayCounts,
    pub settings: &'a GateSettings,
    /// The process that asks: it knows which others of its machine are dead.
    pub us: &'a Owner,
}

/// What [`status`] returns, with the requests of the last day that it is based on.
pub async fn with_ledger(
    store: &Store,
    StatusInputs { counts, settings, us }: StatusInputs<'_>,
    needs: Needs,
    playlists: &PlaylistChoice,
    now: DateTime<Utc>,
) -> Result<(Status, Vec<LedgerEntry>), StoreError> {
    // An entry with our process id is ours, unless another process had that id before.
    let is_gone = |other: &Owner| other.id != us.id && processes::is_gone(other, us);
    let mut status = store.status_again(counts, &is_gone, now).await?;
    if !playlists.is_everything() {
        for account in &mut status.accounts {
            leave_out(account, &store.listed_playlists(account.account_id).await?, playlists);
        }
    }
    let mut remaining = Remaining::default();
    for account in &status.accounts {
        // A type that a person has paused waits for that person, and cannot be forecast.
        let is_paused = |entity: &&EntityStatus| entity.is_paused_by_hand;
        account.entities.iter().filter(|entity| !is_paused(entity)).for_each(|entity| remaining.add_entity(entity));
        if !account.entities.iter().filter(is_paused).any(|entity| entity.entity_type.has_items()) {
            remaining.add_playlists(&playlists.of(store.stale_playlists(account.account_id, now).await?));
        }
    }
    let pause = |limit: &LimitStatus| Pause { scope: limit.family, class: limit.class, until: limit.blocked_until };
    let pauses: Vec<Pause> = status.limits.iter().map(pause).collect();
    let ledger = store.load_ledger(now).await?;
    let learned = store.load_learned_rate().await?.filter(|learned| learned.window == settings.window);
    let rate = rate(settings, learned);
    let known = Known { pauses: &pauses, ledger: &ledger, ceilings: settings.daily, rate };
    status.forecast = forecast(&remaining, &known, now);
    if !status.accounts.is_empty() {
        let is_learned = learned.is_some() || settings.requests.is_some();
        let limit = Limit { rate, is_learned, ceiling: settings.daily.all };
        status.capacity = Some(capacity(limit, needs, &status.accounts, &ledger, &status.forecast, now));
    }
    let ceilings = reached_ceilings(&known, now).into_iter();
    status.limits.extend(ceilings.map(|Pause { scope, class, until }| LimitStatus {
        family: scope,
        class,
        blocked_until: until,
    }));
    Ok((status, ledger))
}

/// Marks the playlists that the settings exclude as excluded instead of waiting.
fn leave_out(account: &mut AccountStatus, listed: &[ListedPlaylist], playlists: &PlaylistChoice) {
    let left_out: BTreeSet<&str> = listed
        .iter()
        .filter(|playlist| !playlists.wants(&playlist.id, &playlist.name, playlist.is_own))
        .map(|playlist| playlist.id.as_str())
        .collect();
    for entity in account.entities.iter_mut().filter(|entity| entity.entity_type.has_items()) {
        entity.left_out_playlists = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
        entity.waiting_playlists.retain(|waiting| !left_out.contains(waiting.id.as_str()));
    }
}

/// Requests per second, as far as is known.
fn rate(settings: &GateSettings, learned: Option<LearnedRate>) -> f64 {
    let learned = learned.map(|learned| learned.requests);
    let ceiling = settings.requests.map(f64::from);
    let requests = match (learned, ceiling) {
        (Some(learned), Some(ceiling)) => learned.min(ceiling),
        (Some(requests), None) | (None, Some(requests)) => requests,
        (None, None) => START_REQUESTS.into(),
    };
    requests / settings.window.as_secs_f64()
}
