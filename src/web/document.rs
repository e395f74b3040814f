//! The status document: what the database contains, overlaid with what the actors are doing right now.

use crate::{
    actors::{EntityProgress, EntityState, GateView, Progress, meter::Meter, progress::GateWait},
    model::{
        DailyCeilings, EntityType, Family, LedgerEntry, LimitClass, SignInState, Stage, SyncKey, TokenFailure,
        status::{
            AccountStatus, CapacityStatus, EntityStatus, ForecastStatus, LimitStatus, NodeStatus, PlaybackStatus,
            State, Status, StreamStatus, WebhookStatus,
        },
        zone::Zone,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::{collections::BTreeMap, time::Instant};
use utoipa::ToSchema;
use uuid::Uuid;

/// The contents of the database, and the settings that give them meaning.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub status: Status,
    /// The requests of the last day.
    pub ledger: Vec<LedgerEntry>,
    /// What the service keeps current.
    pub entities: Vec<EntityType>,
}

/// What does not change while the service runs.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// This process.
    pub node_id: Uuid,
    pub started_at: DateTime<Utc>,
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    pub ceilings: DailyCeilings,
    pub window_seconds: u64,
    /// The time zone of the settings.
    pub time_zone: Option<Zone>,
}

/// The answer of `GET /api/v1/status`. The names are part of the interface.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StatusDocument {
    pub now: DateTime<Utc>,
    pub version: &'static str,
    pub started_at: DateTime<Utc>,
    pub database: &'static str,
    /// Where days begin and end, if the settings say so.
    pub time_zone: Option<String>,
    pub accounts: Vec<AccountDocument>,
    /// The services that keep these accounts current, or did until recently.
    pub nodes: Vec<NodeDocument>,
    pub limits: Vec<LimitStatus>,
    pub forecast: Vec<ForecastStatus>,
    /// What the limit of the application allows.
    pub capacity: Option<CapacityStatus>,
    pub webhooks: Vec<WebhookStatus>,
    /// Where the feed is published.
    pub stream: Option<StreamStatus>,
    pub gate: GateDocument,
    pub ledger: Vec<LedgerDocument>,
}

/// A service on this database.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeDocument {
    #[serde(flatten)]
    pub status: NodeStatus,
    /// Whether it is the one that answers here.
    pub is_here: bool,
}

/// An account, with entity types that also show what happens to them now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AccountDocument {
    pub account_id: i64,
    pub spotify_id: String,
    pub display_name: Option<String>,
    pub sign_in: SignInState,
    pub token_trouble: Option<TokenFailure>,
    pub missing_scopes: Vec<String>,
    pub service: Option<String>,
    pub entities: Vec<EntityDocument>,
    pub limited_until: Option<DateTime<Utc>>,
    pub playback: PlaybackStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EntityDocument {
    #[serde(flatten)]
    pub status: EntityStatus,
    /// While a run is under way.
    pub live: Option<LiveDocument>,
}

/// A run under way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LiveDocument {
    pub stage: Stage,
    /// Slots of the listing, or playlist items while those are read.
    pub done: u32,
    pub total: Option<u32>,
    /// Playlists read, and to read.
    pub playlists: Option<(u32, u32)>,
    /// Average of the last minute.
    pub items_per_second: Option<f64>,
    pub done_at: Option<DateTime<Utc>>,
    pub new: u32,
    pub updated: u32,
    pub removed: u32,
    pub requests: u32,
}

/// The rolling window, and what waits for room in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GateDocument {
    pub used: u32,
    pub limit: u32,
    pub window_seconds: u64,
    pub waiting_for: Option<WaitDocument>,
    /// Only priorities with waiting requests, the highest first.
    pub waiting: Vec<QueueDocument>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WaitDocument {
    Pause { family: Family, class: LimitClass, until: DateTime<Utc> },
    Window { until: DateTime<Utc> },
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QueueDocument {
    pub priority: &'static str,
    pub requests: u32,
}

/// Requests of a family in the last 24 hours.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LedgerDocument {
    pub family: Family,
    pub requests: u32,
    pub refusals: u32,
    pub ceiling: Option<u32>,
}

/// How fast each run goes.
pub type Meters = BTreeMap<SyncKey, (Stage, Meter)>;

/// Records the progress of the runs.
pub fn note(meters: &mut Meters, progress: &Progress, now: Instant) {
    meters.retain(|key, _| progress.entities.contains_key(key));
    for (key, seen) in &progress.entities {
        let (stage, meter) = meters.entry(*key).or_insert_with(|| (seen.stage, Meter::default()));
        if std::mem::replace(stage, seen.stage) != seen.stage {
            // From here on something else is counted.
            meter.reset();
        }
        meter.note(now, seen.done);
    }
}

impl StatusDocument {
    pub fn new(
        snapshot: Snapshot,
        about: &About,
        progress: &Progress,
        meters: &Meters,
        gate: &GateView,
        (now, instant): (DateTime<Utc>, Instant),
    ) -> StatusDocument {
        let Snapshot {
            status: Status { accounts, limits, forecast, nodes, capacity, webhooks, stream },
            ledger,
            entities,
        } = snapshot;
        let live = |key: SyncKey| {
            let seen = progress.entities.get(&key).filter(|seen| seen.state == EntityState::Running)?;
            Some(live(seen, meters.get(&key).map(|(_, meter)| meter), now, instant))
        };
        StatusDocument {
            now,
            version: env!("CARGO_PKG_VERSION"),
            started_at: about.started_at,
            database: about.database,
            time_zone: about.time_zone.map(Zone::name),
            accounts: accounts.into_iter().map(|account| account_document(account, &entities, live)).collect(),
            nodes: nodes.into_iter().map(|node| node_document(node, about)).collect(),
            limits,
            forecast,
            capacity,
            webhooks,
            stream,
            gate: gate_document(gate, about.window_seconds),
            ledger: ledger_documents(&ledger, &about.ceilings),
        }
    }

    /// Whether it is equal except for its own time, and the times at which nodes were last heard of.
    pub fn tells_the_same_as(&self, other: &StatusDocument) -> bool {
        let mut same = StatusDocument { now: other.now, ..self.clone() };
        for (node, before) in same.nodes.iter_mut().zip(&other.nodes) {
            node.status.seen_at = before.status.seen_at;
        }
        same == *other
    }
}

fn node_document(status: NodeStatus, about: &About) -> NodeDocument {
    let is_here = status.id == about.node_id.to_string();
    NodeDocument { status, is_here }
}

fn account_document(
    account: AccountStatus,
    kept: &[EntityType],
    live: impl Fn(SyncKey) -> Option<LiveDocument>,
) -> AccountDocument {
    let AccountStatus {
        account_id,
        spotify_id,
        display_name,
        sign_in,
        token_trouble,
        missing_scopes,
        service,
        entities: mut known,
        limited_until,
        playback,
    } = account;
    let document = |entity: &EntityType| {
        let at = known.iter().position(|status| status.entity_type == *entity);
        let status = match at {
            Some(at) => known.swap_remove(at),
            None if kept.contains(entity) => EntityStatus::idle(*entity),
            None => return None,
        };
        let live = live(SyncKey { account: account_id, entity: *entity });
        Some(EntityDocument { status: overlaid(status, live.is_some()), live })
    };
    let entities = EntityType::ALL.iter().filter_map(document).collect();
    AccountDocument {
        account_id: account_id.0,
        spotify_id,
        display_name,
        sign_in,
        token_trouble,
        missing_scopes,
        service,
        entities,
        limited_until,
        playback,
    }
}

/// A run under way may not have written anything yet; what the database says about the last one no longer holds.
fn overlaid(status: EntityStatus, is_live: bool) -> EntityStatus {
    match status.state {
        State::Idle | State::Complete | State::Failed if is_live => {
            EntityStatus { state: State::Running, error: None, next_run_at: None, ..status }
        }
        State::Idle | State::Running | State::Complete | State::Paused | State::Failed => status,
    }
}

fn live(seen: &EntityProgress, meter: Option<&Meter>, now: DateTime<Utc>, instant: Instant) -> LiveDocument {
    // Reading the head ends where it meets what is known, not at the total.
    let left = meter.filter(|_| seen.stage != Stage::Head).and_then(|meter| meter.left(instant, seen.total));
    LiveDocument {
        stage: seen.stage,
        done: seen.done,
        total: seen.total,
        playlists: seen.playlists,
        items_per_second: meter.and_then(|meter| meter.rate(instant)).map(|rate| (rate * 10.0).round() / 10.0),
        done_at: left.and_then(|left| now.checked_add_signed(TimeDelta::from_std(left).ok()?)),
        new: seen.counts.new,
        updated: seen.counts.updated,
        removed: seen.counts.removed,
        requests: seen.num_requests,
    }
}

fn gate_document(gate: &GateView, window_seconds: u64) -> GateDocument {
    let GateView { used, limit, waiting, queued } = *gate;
    let waiting_for = waiting.map(|waiting| match waiting {
        GateWait::Paused(pause) => WaitDocument::Pause { family: pause.scope, class: pause.class, until: pause.until },
        GateWait::Window(until) => WaitDocument::Window { until },
    });
    let lines = queued.iter().filter(|(_, requests)| *requests > 0);
    let waiting = lines.map(|(line, requests)| QueueDocument { priority: line.as_str(), requests }).collect();
    GateDocument { used, limit, window_seconds, waiting_for, waiting }
}

/// Families with requests, or with a ceiling.
fn ledger_documents(ledger: &[LedgerEntry], ceilings: &DailyCeilings) -> Vec<LedgerDocument> {
    let families = Family::ALL.iter().copied().filter(|family| *family != Family::Application);
    let document = |family: Family| {
        let (mut requests, mut refusals) = (0_u32, 0_u32);
        for entry in ledger.iter().filter(|entry| entry.family == family) {
            requests = requests.saturating_add(entry.requests);
            refusals = refusals.saturating_add(entry.refusals);
        }
        LedgerDocument { family, requests, refusals, ceiling: ceilings.of(family) }
    };
    families.map(document).filter(|line| line.requests > 0 || line.ceiling.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, ItemCounts};
    use std::time::Duration;

    const KEY: SyncKey = SyncKey { account: AccountId(1), entity: EntityType::Tracks };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn snapshot(entities: Vec<EntityStatus>) -> Snapshot {
        let account = AccountStatus {
            account_id: AccountId(1),
            spotify_id: "mira".into(),
            display_name: None,
            sign_in: SignInState::Valid { until: now() },
            token_trouble: None,
            missing_scopes: Vec::new(),
            service: None,
            entities,
            limited_until: None,
            playback: PlaybackStatus::default(),
        };
        let status = Status { accounts: vec![account], ..Status::default() };
        Snapshot { status, ledger: Vec::new(), entities: vec![EntityType::Tracks, EntityType::Albums] }
    }

    fn document(snapshot: Snapshot, progress: &Progress, meters: &Meters, at: Instant) -> StatusDocument {
        let about = About {
            node_id: Uuid::nil(),
            started_at: now(),
            database: "sqlite",
            ceilings: DailyCeilings { albums: Some(600), ..DailyCeilings::default() },
            window_seconds: 30,
            time_zone: None,
        };
        StatusDocument::new(snapshot, &about, progress, meters, &GateView::default(), (now(), at))
    }

    fn running(done: u32) -> Progress {
        let counts = ItemCounts { new: done, ..ItemCounts::default() };
        let seen = EntityProgress { stage: Stage::Walk, done, total: Some(5000), counts, ..EntityProgress::default() };
        Progress { entities: BTreeMap::from([(KEY, seen)]), ..Progress::default() }
    }

    #[test]
    fn what_is_kept_and_has_not_begun_is_idle_and_what_is_neither_is_left_out() {
        let shown = document(snapshot(Vec::new()), &Progress::default(), &Meters::new(), Instant::now());
        let entities = &shown.accounts[0].entities;
        let told: Vec<_> = entities.iter().map(|entity| (entity.status.entity_type, entity.status.state)).collect();
        assert_eq!(told, [(EntityType::Tracks, State::Idle), (EntityType::Albums, State::Idle)]);
        assert!(entities.iter().all(|entity| entity.live.is_none()));
    }

    #[test]
    fn a_run_under_way_tells_how_fast_it_is_and_when_it_is_done() {
        let (began, mut meters) = (Instant::now(), Meters::new());
        note(&mut meters, &running(0), began);
        let at = began + Duration::from_secs(10);
        note(&mut meters, &running(1000), at);
        let shown = document(snapshot(Vec::new()), &running(1000), &meters, at);
        let tracks = &shown.accounts[0].entities[0];
        let live = tracks.live.as_ref().unwrap();
        assert_eq!((tracks.status.state, live.items_per_second), (State::Running, Some(100.0)));
        assert_eq!(live.done_at, Some(now() + TimeDelta::seconds(40)));
        assert_eq!((live.done, live.total, live.new), (1000, Some(5000), 1000));
    }

    #[test]
    fn a_pause_by_hand_shows_also_while_the_run_is_ending() {
        let paused = EntityStatus::idle(EntityType::Tracks).paused_by_hand();
        let shown = document(snapshot(vec![paused]), &running(10), &Meters::new(), Instant::now());
        assert_eq!(shown.accounts[0].entities[0].status.state, State::Paused);
    }

    #[test]
    fn the_document_has_the_names_of_the_interface() {
        let gate = GateView {
            used: 3,
            limit: 7,
            waiting: Some(GateWait::Window(now())),
            queued: [Family::Player, Family::PlaylistItems, Family::Playlists].into_iter().collect(),
        };
        let gate = serde_json::to_value(gate_document(&gate, 30)).unwrap();
        let expected = serde_json::json!({
            "used": 3, "limit": 7, "window_seconds": 30,
            "waiting_for": { "kind": "window", "until": "2026-09-21T14:13:20Z" },
            "waiting": [{ "priority": "playback", "requests": 1 }, { "priority": "playlists", "requests": 2 }],
        });
        assert_eq!(gate, expected);
        let entry = |requests| LedgerEntry { family: Family::Tracks, started_at: now(), requests, refusals: 1 };
        let with_ledger = Snapshot { ledger: vec![entry(100), entry(20)], ..snapshot(Vec::new()) };
        let shown = document(with_ledger, &running(5), &Meters::new(), Instant::now());
        let shown = serde_json::to_value(shown).unwrap();
        let ledger = serde_json::json!([
            { "family": "tracks", "requests": 120, "refusals": 2, "ceiling": null },
            { "family": "albums", "requests": 0, "refusals": 0, "ceiling": 600 },
        ]);
        assert_eq!(shown["ledger"], ledger);
        let tracks = &shown["accounts"][0]["entities"][0];
        assert_eq!((&tracks["entity_type"], &tracks["live"]["stage"]), (&"tracks".into(), &"walk".into()));
        assert_eq!((&tracks["is_paused_by_hand"], &tracks["live"]["items_per_second"]), (&false.into(), &().into()));
    }

    #[test]
    fn time_alone_is_no_news() {
        let earlier = document(snapshot(Vec::new()), &running(5), &Meters::new(), Instant::now());
        let later = StatusDocument { now: now() + TimeDelta::seconds(1), ..earlier.clone() };
        assert!(later.tells_the_same_as(&earlier));
        let moved = document(snapshot(Vec::new()), &running(6), &Meters::new(), Instant::now());
        assert!(!moved.tells_the_same_as(&earlier));
    }
}
