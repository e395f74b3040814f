//! What happens in one simulated life: how large the library is, what is configured, and a script of everything that
//! fails or changes, each with its step. It comes from a seed, and parts of it can be left out, which is how a failure
//! is minimised.

use super::{
    listener::{Listening, OddHistory},
    nodes::{Fleet, NodeFault},
    odds::Odd,
    process::GUEST,
};
use fastrand::Rng;
use segno::{
    engine::run::BatchSizes,
    model::{EntityType, Family, PerEntity, SyncKey},
};
use std::fmt;

/// A life before it runs.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    /// Items at the beginning.
    pub sizes: PerEntity<u32>,
    /// Items of a playlist, at most.
    pub playlist_items: u32,
    /// Out of a hundred items, how many are added at the same moment as the previous one.
    pub ties: u32,
    /// Out of a hundred rows of tracks and albums, how many lost their object before the first sync.
    pub nulls: u32,
    /// Whether tracks and albums do not come newest first.
    pub is_disordered: bool,
    /// Requests that the API accepts in its window.
    pub hidden_limit: u32,
    /// Whether it counts those that it refuses.
    pub counts_refused: bool,
    /// The window configured for the gate, in seconds. The API's is 30 s.
    pub window_s: u32,
    pub settings: Settings,
    /// The habits of a person whose playback is tracked.
    pub listening: Option<Listening>,
    /// Whether another account has the same playlists, kept current by the same process.
    pub has_guest: bool,
    /// Whether it may not read the items of every third of them.
    pub bars_guest: bool,
    /// Set if several processes share the accounts; otherwise there is one.
    pub fleet: Option<Fleet>,
    /// By step.
    pub script: Vec<(u32, Injection)>,
}

/// The settings that a process starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    pub batches: BatchSizes,
    /// A configured ceiling of the rate.
    pub requests: Option<u32>,
    /// The longest pause that a request sits out, in seconds.
    pub longest_wait: Option<u32>,
    /// Entity types that are kept current.
    pub entities: PerEntity<bool>,
    /// The share of the rows, in percent, that one run may mark removed.
    pub guard: u32,
    /// A service, which spreads its verifying pass over its runs; otherwise single syncs.
    pub is_routine: bool,
}

/// Something that changes or fails. Places are numbers that are reduced to the size of what they index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Injection {
    Add {
        entity: EntityType,
        count: u32,
    },
    Remove {
        entity: EntityType,
        at: u32,
        count: u32,
    },
    /// Removed and saved again at once.
    Resave {
        entity: EntityType,
        at: u32,
    },
    /// One that was removed earlier is saved again.
    Restore {
        entity: EntityType,
        at: u32,
    },
    /// Added anywhere but at the head, where the listing should not show it.
    Misplace {
        entity: EntityType,
        at: u32,
    },
    /// A playlist is dragged elsewhere.
    Move {
        at: u32,
        to: u32,
    },
    EditItems {
        at: u32,
        position: u32,
        edit: ItemEdit,
        lags: bool,
    },
    /// A playlist gets another snapshot and keeps its items.
    Touch {
        at: u32,
    },
    /// A row becomes unreadable; with `is_dated` it keeps its date.
    Silence {
        entity: EntityType,
        at: u32,
        is_dated: bool,
    },
    /// All rows become readable again.
    Speak,
    /// No page that contains this item can be served.
    Spoil {
        entity: EntityType,
        at: u32,
    },
    SpoilItem {
        at: u32,
        position: u32,
    },
    /// Everything can be served again.
    Heal,
    /// The next requests fail.
    Fail {
        num: u32,
        how: Failure,
    },
    /// Nothing answers for a while.
    Down {
        seconds: u32,
    },
    /// The token endpoint gives no token and must not be asked; the same happens after an `invalid_grant` that is not
    /// believed.
    Tokenless {
        seconds: u32,
    },
    Limited {
        retry_after_s: u32,
    },
    Quota {
        family: Family,
        hours: Option<u32>,
    },
    /// The next answers of a listing have a wrong total.
    LieTotal {
        entity: EntityType,
        delta: i32,
        num: u32,
    },
    /// The next answers of a listing are empty, and claim that it is.
    Empty {
        entity: EntityType,
        num: u32,
    },
    /// The hidden limit changes.
    Limit {
        requests: u32,
    },
    /// SIGKILL; another process starts after this many seconds.
    Kill {
        down_s: u32,
    },
    /// SIGTERM, and the same.
    Stop {
        down_s: u32,
    },
    /// Another process starts while this one runs.
    Takeover,
    PanicSyncer {
        entity: EntityType,
        times: u32,
    },
    PanicGate,
    PanicTracker,
    PanicWriter {
        is_applied: bool,
    },
    /// The reply to the next write is lost; the write happened or not.
    LoseReply {
        is_applied: bool,
    },
    /// Somebody sets the calendar.
    Jump {
        seconds: i32,
    },
    /// The machine sleeps: requests under way are lost.
    Sleep {
        seconds: u32,
    },
    /// From the next start of a process on.
    Configure(Settings),
    Reset {
        entity: EntityType,
    },
    /// A person orders a run now.
    Want {
        entity: EntityType,
    },
    SignOut,
    /// The next pages of the history are wrong but plausible.
    History {
        odd: OddHistory,
        num: u32,
    },
    /// Answers are wrong but plausible.
    Odd(Odd),
    /// In a life with nodes.
    Node(NodeFault),
    /// The next writes of syncers fail, or their looks at the database.
    Database {
        fault: DatabaseFault,
        num: u32,
    },
}

/// A fault of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFault {
    /// Somebody holds a lock, or the server is restarting.
    Locked,
    /// No answer in time. It was written, or not.
    Hangs { is_applied: bool },
    /// No space is left, or it is read-only: looks succeed.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemEdit {
    Insert,
    Remove,
    Replace,
    Move,
}

/// How a request fails, as far as it matters to the asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 5xx.
    Broken,
    /// A body that is truncated, or not JSON.
    Malformed,
    /// No answer in time.
    Silent,
    /// 401, 403 or 404 to a valid token, without a lasting reason.
    Refused,
    /// A page in HTML, whatever its status.
    Html,
    /// The access token has expired early, and is renewed.
    Expired,
}

/// How often answers are wrong but plausible, unless set otherwise (`--odds`).
const ODDS: u32 = 12;

/// Sizes at which pages and batches end, or just do not.
const EDGES: [u32; 13] = [0, 1, 2, 49, 50, 51, 98, 99, 100, 199, 200, 201, 420];

impl Scenario {
    pub fn new(seed: u64) -> Scenario {
        Scenario::with_odds(seed, ODDS)
    }

    /// With answers that are wrong but plausible, at most this often relative to the rest.
    pub fn with_odds(seed: u64, odds: u32) -> Scenario {
        let mut random = Rng::with_seed(seed ^ 0x5e60_0000_0000);
        let random = &mut random;
        let settings = settings(random, true);
        let sizes = sizes(random);
        let mut scenario = Scenario {
            seed,
            sizes,
            playlist_items: [0, 3, 12, 60, 130][random.usize(0..5)],
            ties: [0, 0, 40, 90, 100][random.usize(0..5)],
            nulls: if random.u32(0..6) == 0 { random.u32(1..20) } else { 0 },
            is_disordered: random.u32(0..25) == 0,
            hidden_limit: [6, 10, 20, 50, 200, 1000][random.usize(0..6)],
            counts_refused: random.bool(),
            window_s: [30, 30, 30, 10, 90][random.usize(0..5)],
            settings,
            listening: None,
            has_guest: false,
            bars_guest: false,
            fleet: None,
            script: Vec::new(),
        };
        scenario.script = script(random, odds);
        scenario.listening = random.bool().then(|| listening(random));
        (scenario.has_guest, scenario.bars_guest) = (random.u32(0..4) == 0, random.bool());
        scenario.with_fleet(Fleet::of(seed, false))
    }

    /// The same with nodes, whether it would have any or not.
    pub fn among_nodes(self) -> Scenario {
        let fleet = Fleet::of(self.seed, true);
        if self.fleet.is_some() { self } else { self.with_fleet(fleet) }
    }

    fn with_fleet(mut self, fleet: Option<(Fleet, Vec<(u32, Injection)>)>) -> Scenario {
        if let Some((fleet, faults)) = fleet {
            self.fleet = Some(fleet);
            self.script.extend(faults);
            self.script.sort_by_key(|(step, _)| *step);
        }
        self
    }

    /// Whether the account may not read the items of a playlist.
    pub fn is_barred(&self, key: SyncKey, number: u32) -> bool {
        self.bars_guest && key.account == GUEST && number.is_multiple_of(3)
    }

    /// The same life without parts of its script.
    pub fn with_script(&self, script: Vec<(u32, Injection)>) -> Scenario {
        Scenario { script, ..self.clone() }
    }
}

/// All entity types are kept current.
pub fn everything() -> PerEntity<bool> {
    PerEntity::from_fn(|_| true)
}

fn sizes(random: &mut Rng) -> PerEntity<u32> {
    let mut sizes = PerEntity::default();
    for size in sizes.values_mut() {
        *size = match random.u32(0..1000) {
            0..880 => random.u32(0..30),
            880..985 => random.u32(0..90),
            _ => EDGES[random.usize(0..EDGES.len())],
        };
    }
    // They include their items.
    for entity in EntityType::ALL.iter().copied().filter(|entity| entity.has_items()) {
        sizes[entity] = sizes[entity].min(12 + random.u32(0..60));
    }
    let plain: Vec<EntityType> = EntityType::ALL.iter().copied().filter(|entity| !entity.has_items()).collect();
    let one = plain[random.usize(0..plain.len())];
    match random.u32(0..10_000) {
        0..100 => sizes[one] = EDGES[random.usize(0..EDGES.len())],
        100..115 => sizes[one] = random.u32(400..3_000),
        115..117 => sizes[one] = 10_000 + random.u32(0..3),
        117..118 => sizes[EntityType::Tracks] = 20_000,
        _ => {}
    }
    sizes
}

fn settings(random: &mut Rng, all: bool) -> Settings {
    // 10 to 1,000 can be configured. Less than a page makes a small library long.
    let size = |random: &mut Rng| match random.u32(0..4) {
        0 => 10,
        1 => random.u32(10..50),
        2 => [50, 100, 200][random.usize(0..3)],
        _ => random.u32(10..=1000),
    };
    let mut entities = everything();
    if !all && random.u32(0..4) == 0 {
        entities[entity(random)] = false;
    }
    Settings {
        batches: BatchSizes { initial: size(random), incremental: size(random) },
        requests: [None, None, Some(5), Some(30), Some(500)][random.usize(0..5)],
        longest_wait: [None, Some(30), Some(300)][random.usize(0..3)],
        entities,
        guard: [20, 20, 1, 5, 60, 100][random.usize(0..6)],
        is_routine: random.bool(),
    }
}

/// The emphasis of a scenario: how often each kind occurs, relative to the others.
struct Weights {
    edits: u32,
    odd: u32,
    api: u32,
    limits: u32,
    lies: u32,
    deaths: u32,
    people: u32,
    odds: u32,
    database: u32,
}

fn script(random: &mut Rng, odds: u32) -> Vec<(u32, Injection)> {
    let some = |random: &mut Rng, most: u32| if random.u32(0..3) == 0 { 0 } else { random.u32(0..=most) };
    let rarely = |random: &mut Rng, most: u32| if random.u32(0..4) == 0 { random.u32(1..=most) } else { 0 };
    let weights = Weights {
        edits: 1 + some(random, 20),
        odd: rarely(random, 6),
        api: some(random, 6),
        limits: some(random, 4),
        lies: rarely(random, 4),
        deaths: some(random, 8),
        people: rarely(random, 3),
        odds: if odds == 0 { 0 } else { rarely(random, odds) },
        database: rarely(random, 4),
    };
    let gap = [1, 2, 4, 8, 16, 40][random.usize(0..6)];
    let num = [2, 5, 10, 20, 40][random.usize(0..5)];
    let mut step = 0;
    let mut script = Vec::with_capacity(num);
    for _ in 0..random.usize(0..=num) {
        // In bunches: simultaneous events are what nobody thought of.
        step += if random.u32(0..5) == 0 { 0 } else { random.u32(1..=gap * 2) };
        script.push((step, injection(random, &weights)));
    }
    script
}

fn injection(random: &mut Rng, weights: &Weights) -> Injection {
    let Weights { edits, odd, api, limits, lies, deaths, people, odds, database } = *weights;
    let mut pick = random.u32(0..edits + odd + api + limits + lies + deaths + people + odds + database);
    let mut is = |weight: u32| {
        let hit = pick < weight;
        pick = pick.wrapping_sub(weight);
        hit
    };
    if is(edits) {
        return edit(random);
    }
    if is(odd) {
        return oddity(random);
    }
    if is(api) {
        let how =
            [Failure::Broken, Failure::Malformed, Failure::Silent, Failure::Refused, Failure::Html, Failure::Expired]
                [random.usize(0..6)];
        return match random.u32(0..5) {
            0 => Injection::Down { seconds: [2, 20, 90, 4000][random.usize(0..4)] },
            1 if random.bool() => Injection::Tokenless { seconds: [1, 20, 300, 3600][random.usize(0..4)] },
            _ => Injection::Fail { num: [1, 1, 2, 3, 5, 12, 40][random.usize(0..7)], how },
        };
    }
    if is(limits) {
        return match random.u32(0..4) {
            0 => Injection::Quota {
                family: if random.u32(0..6) == 0 { Family::Player } else { entity(random).family() },
                hours: [None, Some(2), Some(20)][random.usize(0..3)],
            },
            1 => Injection::Limit { requests: [4, 8, 30, 300][random.usize(0..4)] },
            _ => Injection::Limited { retry_after_s: [0, 1, 5, 30, 200, 2000][random.usize(0..6)] },
        };
    }
    if is(lies) {
        let num = [1, 1, 2, 8][random.usize(0..4)];
        return match random.u32(0..4) {
            0 => Injection::Empty { entity: entity(random), num },
            1 => Injection::History { odd: odd_history(random), num },
            _ => Injection::LieTotal { entity: entity(random), delta: random.i32(-20..20), num },
        };
    }
    if is(odds) {
        return Injection::Odd(Odd::random(random));
    }
    if is(database) {
        let is_applied = random.bool();
        let fault = [DatabaseFault::Locked, DatabaseFault::Hangs { is_applied }, DatabaseFault::Full];
        return Injection::Database { fault: fault[random.usize(0..3)], num: [1, 1, 2, 5, 12][random.usize(0..5)] };
    }
    if is(deaths) { death(random) } else { person(random) }
}

fn listening(random: &mut Rng) -> Listening {
    let spacing_s = [(31, 90), (75, 360), (150, 300)][random.usize(0..3)];
    Listening { spacing_s, offline: [0, 0, 40][random.usize(0..3)] }
}

fn odd_history(random: &mut Rng) -> OddHistory {
    match random.u32(0..4) {
        0 => OddHistory::Old { minutes: [1, 30, 240, 3_000][random.usize(0..4)] },
        1 => OddHistory::Empty,
        2 => OddHistory::Short { rows: [1, 10, 49][random.usize(0..3)] },
        _ => OddHistory::Twice,
    }
}

fn entity(random: &mut Rng) -> EntityType {
    EntityType::ALL[random.usize(0..EntityType::ALL.len())]
}

fn edit(random: &mut Rng) -> Injection {
    let entity = entity(random);
    // Often at the head, where things happen.
    let at = if random.u32(0..3) == 0 { random.u32(0..3) } else { random.u32(..) };
    match random.u32(0..12) {
        0..4 => Injection::Add { entity, count: [1, 1, 2, 3, 12][random.usize(0..5)] },
        4..7 => Injection::Remove { entity, at, count: [1, 1, 2, 3, 15][random.usize(0..5)] },
        7 => Injection::Resave { entity, at },
        8 => Injection::Restore { entity, at },
        9 => Injection::Move { at, to: random.u32(..) },
        _ => {
            let edit = [ItemEdit::Insert, ItemEdit::Remove, ItemEdit::Replace, ItemEdit::Move][random.usize(0..4)];
            Injection::EditItems { at, position: random.u32(..), edit, lags: random.u32(0..4) == 0 }
        }
    }
}

fn oddity(random: &mut Rng) -> Injection {
    let (entity, at) = (entity(random), random.u32(..));
    match random.u32(0..9) {
        0 => Injection::Misplace { entity, at },
        1 | 2 => Injection::Silence { entity, at, is_dated: random.bool() },
        3 => Injection::Speak,
        4 | 5 => Injection::Spoil { entity, at },
        6 => Injection::SpoilItem { at, position: random.u32(..) },
        7 => Injection::Touch { at },
        _ => Injection::Heal,
    }
}

fn death(random: &mut Rng) -> Injection {
    let down_s = [0, 1, 20, 40, 5000][random.usize(0..5)];
    match random.u32(0..17) {
        0..5 => Injection::Kill { down_s },
        5 | 6 => Injection::Stop { down_s },
        7 => Injection::Takeover,
        8..11 => Injection::PanicSyncer { entity: entity(random), times: [1, 1, 2, 9][random.usize(0..4)] },
        11 => Injection::PanicGate,
        12 => Injection::PanicWriter { is_applied: random.bool() },
        16 => Injection::PanicTracker,
        13 => Injection::Sleep { seconds: [5, 100, 20_000][random.usize(0..3)] },
        _ => Injection::LoseReply { is_applied: random.bool() },
    }
}

fn person(random: &mut Rng) -> Injection {
    let entity = entity(random);
    match random.u32(0..8) {
        0 => Injection::Reset { entity },
        1 => Injection::SignOut,
        2 | 3 => Injection::Configure(settings(random, false)),
        4 | 5 => Injection::Jump { seconds: [-90_000, -3_600, -40, 40, 3_600, 90_000][random.usize(0..6)] },
        _ => Injection::Want { entity },
    }
}

impl Injection {
    /// Its kind, for the tally.
    pub fn kind(&self) -> &'static str {
        match self {
            Injection::Add { .. } => "additions",
            Injection::Remove { .. } => "removals",
            Injection::Resave { .. } | Injection::Restore { .. } => "saved again",
            Injection::Misplace { .. } => "additions out of order",
            Injection::Move { .. } => "playlists moved",
            Injection::EditItems { .. } | Injection::Touch { .. } => "playlists edited",
            Injection::Silence { .. } | Injection::Speak => "rows falling silent or speaking up",
            Injection::Spoil { .. } | Injection::SpoilItem { .. } | Injection::Heal => "slots that cannot be served",
            Injection::Fail { how: Failure::Broken, .. } => "5xx",
            Injection::Fail { how: Failure::Malformed, .. } => "bodies cut short",
            Injection::Fail { how: Failure::Silent, .. } => "answers that never come",
            Injection::Fail { how: Failure::Refused, .. } => "refusals with a good token",
            Injection::Fail { how: Failure::Html, .. } => "pages in HTML",
            Injection::Fail { how: Failure::Expired, .. } => "tokens expired before their time",
            Injection::Down { .. } => "outages",
            Injection::Tokenless { .. } => "no access token for a while",
            Injection::Limited { .. } => "429 of the rate",
            Injection::Quota { .. } => "429 of a quota",
            Injection::LieTotal { .. } => "totals that lie",
            Injection::Empty { .. } => "listings that claim to be empty",
            Injection::Limit { .. } => "hidden limits changed",
            Injection::Kill { .. } => "processes killed",
            Injection::Stop { .. } => "processes stopped",
            Injection::Takeover => "second processes",
            Injection::PanicSyncer { .. } => "syncers that panic",
            Injection::PanicGate => "gates that panic",
            Injection::PanicTracker => "trackers that panic",
            Injection::PanicWriter { .. } => "writers that panic",
            Injection::LoseReply { .. } => "replies lost",
            Injection::Jump { .. } => "calendars set",
            Injection::Sleep { .. } => "machines that slept",
            Injection::Configure(_) => "settings changed",
            Injection::Reset { .. } => "resets",
            Injection::Want { .. } => "runs asked for",
            Injection::SignOut => "sign-ins ended",
            Injection::Odd(odd) => odd.kind(),
            Injection::Node(fault) => fault.kind(),
            Injection::History { .. } => "pages of the history that look right",
            Injection::Database { fault: DatabaseFault::Locked, .. } => "databases locked",
            Injection::Database { fault: DatabaseFault::Hangs { .. }, .. } => "databases that hang",
            Injection::Database { fault: DatabaseFault::Full, .. } => "databases full or read-only",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.sizes.iter().map(|(entity, size)| format!("{size} {entity}")).collect();
        let Scenario {
            seed, playlist_items, ties, nulls, is_disordered, hidden_limit, counts_refused, window_s, ..
        } = self;
        writeln!(f, "seed {seed}: {}, of at most {playlist_items} items each playlist", sizes.join(", "))?;
        writeln!(
            f,
            "  ties {ties} %, null rows {nulls} %, disordered {is_disordered}, hidden limit {hidden_limit} (refused ones count: {counts_refused}), window {window_s} s"
        )?;
        writeln!(
            f,
            "  {:?}\n  {:?}, guest {}, barred {}, {:?}",
            self.settings, self.listening, self.has_guest, self.bars_guest, self.fleet
        )?;
        for (step, injection) in &self.script {
            writeln!(f, "  at step {step:>5}: {injection:?}")?;
        }
        Ok(())
    }
}
