//! Everything at once: nodes are killed, frozen, stopped and cut off, and their database is stopped, while people
//! change their libraries. Once all of it is over, the tables equal the sandbox, the limit was kept in every window,
//! and the feed contains the same as `segno changes`.
//!
//! A short run of it is part of all tests, one of two minutes where no service may be missing. At length:
//! `SEGNO_TEST_NODES_SECONDS=600 SEGNO_TEST_NODES_ACCOUNTS=400 cargo test --test it nodes::chaos`, with
//! `SEGNO_TEST_NODES_SEED` for other faults, and `SEGNO_TEST_NODES_NODES` if the machine can carry fewer nodes or more.
//! Real processes do not repeat themselves to the millisecond, so a seed gives the same faults, and nearly the same
//! course.

use super::{
    fleet::{Fleet, HOLD, Node},
    truth::{Truth, assert_feed_is_changes},
};
use crate::support::{Cluster, Database, island::Island, needs};
use fastrand::Rng;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    time::{Duration, Instant},
};

/// The size of the test.
struct Size {
    num_accounts: u64,
    num_nodes: usize,
    lasts: Duration,
    /// Requests in two seconds.
    limit: u64,
    /// Between two runs: more accounts have to give as much to do, and no more than a small machine can carry.
    minutes: u64,
    /// Divides these minutes, for fewer accounts.
    haste: u64,
}

/// A fault of one node, or of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// SIGKILL; another is started in its place.
    Kill,
    /// SIGSTOP past its hold, and SIGCONT.
    Freeze,
    /// SIGTERM; another is started in its place.
    Stop,
    /// Its connection to the database is cut past its hold.
    Cut,
    /// The database is stopped immediately, and started.
    Crash,
}

const BLOWS: [Blow; 5] = [Blow::Kill, Blow::Freeze, Blow::Stop, Blow::Cut, Blow::Crash];

/// A node, or the place of one.
enum Place {
    Up(Node),
    Frozen { node: Node, until: Instant },
    CutOff { node: Node, until: Instant },
    Empty { until: Instant },
}

struct Chaos {
    size: Size,
    rng: Rng,
    began: Instant,
    /// The first of them is on the island, if there is one.
    places: Vec<Place>,
    num_started: u32,
    num_edits: u32,
    blows: BTreeMap<Blow, u32>,
    fleet: Fleet,
    island: Option<Island>,
    /// The port of the API on the island.
    tunnel: u16,
    cluster: Cluster,
}

#[test]
fn whatever_happens_to_nodes_the_tables_are_true_and_the_limit_is_kept() {
    let Some(mut chaos) = Chaos::begin() else { return };
    // Each of them once; then at random.
    let mut planned = BLOWS.to_vec();
    chaos.rng.shuffle(&mut planned);
    while chaos.began.elapsed() < chaos.size.lasts || !planned.is_empty() {
        chaos.change_libraries();
        chaos.sleep(200..1_500);
        chaos.end_what_is_over(Instant::now());
        let blow = planned.last().copied().unwrap_or_else(|| BLOWS[chaos.rng.usize(..BLOWS.len())]);
        if chaos.strike(blow) && planned.last() == Some(&blow) {
            planned.pop();
        }
    }
    chaos.end();
}

impl Size {
    fn wanted() -> Size {
        let seconds = number("SEGNO_TEST_NODES_SECONDS", if needs::all_is_required() { 90 } else { 25 });
        let num_accounts = number("SEGNO_TEST_NODES_ACCOUNTS", 12);
        let num_nodes = match num_accounts {
            ..20 => 3,
            20..200 => 4,
            _ => 8,
        };
        Size {
            num_accounts,
            num_nodes: number("SEGNO_TEST_NODES_NODES", num_nodes) as usize,
            minutes: num_accounts.div_ceil(100),
            lasts: Duration::from_secs(seconds),
            limit: (num_accounts * 2).clamp(60, 200),
            haste: (100 / num_accounts.max(1)).clamp(1, 5),
        }
    }
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

impl Chaos {
    fn begin() -> Option<Chaos> {
        let (size, seed) = (Size::wanted(), number("SEGNO_TEST_NODES_SEED", 1));
        let island = Island::rise();
        let cluster = Cluster::start_at(island.as_ref().map(|island| island.mainland.as_str()))?;
        let mut fleet = Fleet::new(Database::of(&cluster), size.num_accounts, "120");
        fleet.limit = size.limit;
        let setting = |name: &'static str, value: &str| (name, value.to_owned());
        let every = format!("{}m", size.minutes);
        fleet.settings = vec![
            setting("SEGNO_SYNC_INTERVAL", &every),
            setting("SEGNO_SYNC_ARTISTS_EVERY", &every),
            setting("SEGNO_PLAYBACK_INTERVAL", &every),
            setting("SEGNO_PLAYBACK_MAX_INTERVAL", &every),
            setting("SEGNO_PLAYBACK_MIN_INTERVAL", &every),
            setting("SEGNO_FAULT_HASTE", &size.haste.to_string()),
        ];
        // Some requests are always under way.
        fleet.sandbox.configure(json!({ "rate": { "max": 100_000, "window_ms": 2000 }, "latency_ms": 20 }));
        let port = |url: &str| url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let tunnel =
            island.as_ref().map(|island| island.tunnel(port(&fleet.sandbox.env["SEGNO_SPOTIFY_ACCOUNTS_URL"])));
        println!("{} accounts on {} nodes for {:?}, seed {seed}", size.num_accounts, size.num_nodes, size.lasts);
        let now = Instant::now();
        let mut chaos = Chaos {
            places: (0..size.num_nodes).map(|_| Place::Empty { until: now }).collect(),
            size,
            rng: Rng::with_seed(seed),
            began: now,
            num_started: 0,
            num_edits: 0,
            blows: BTreeMap::new(),
            fleet,
            island,
            tunnel: tunnel.unwrap_or_default(),
            cluster,
        };
        chaos.end_what_is_over(now);
        Some(chaos)
    }

    /// For a random number of milliseconds.
    fn sleep(&mut self, millis: Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.rng.u64(millis)));
    }

    /// A moment a random number of milliseconds from now.
    fn after(&mut self, millis: Range<u64>) -> Instant {
        Instant::now() + Duration::from_millis(self.rng.u64(millis))
    }

    fn tell(&self, what: &str) {
        println!("{:>7.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    fn start(&mut self, at: usize) -> Node {
        self.num_started += 1;
        let base = format!("http://127.0.0.1:{}", self.tunnel);
        let node = match &self.island {
            Some(island) if at == 0 => self.fleet.start_as(self.num_started, |segno| {
                let segno = segno
                    .env("SEGNO_DATABASE_URL", &self.cluster.url_from(island))
                    .env("SEGNO_SPOTIFY_API_URL", &format!("{base}/v1"))
                    .env("SEGNO_SPOTIFY_ACCOUNTS_URL", &base);
                island.enter(segno)
            }),
            _ => self.fleet.start(self.num_started),
        };
        // A service ends if there is no database at its very start.
        let lives = format!("nodes WHERE label LIKE '{}' AND holds_until > now()", node.label());
        self.fleet.patiently("it lives", || self.fleet.database.count(&lives) == 1);
        self.tell(&format!("node {at} is process {}", node.running.pid()));
        node
    }

    /// Nodes that were frozen or cut off until now continue, and new ones replace those that are gone.
    fn end_what_is_over(&mut self, now: Instant) {
        for at in 0..self.places.len() {
            let place = std::mem::replace(&mut self.places[at], Place::Empty { until: now });
            self.places[at] = match place {
                Place::Frozen { node, until } if until <= now => {
                    node.running.signal("CONT");
                    self.tell(&format!("node {at} goes on"));
                    Place::Up(node)
                }
                Place::CutOff { node, until } if until <= now => {
                    self.island.as_ref().expect("it was cut off").heal();
                    self.tell(&format!("node {at} is reached again"));
                    Place::Up(node)
                }
                Place::Empty { until } if until <= now => Place::Up(self.start(at)),
                place => place,
            };
        }
    }

    /// Some people change their libraries.
    fn change_libraries(&mut self) {
        for _ in 0..self.rng.u32(4..12) {
            let user = self.rng.u64(..self.size.num_accounts);
            let (offset, count) = (self.rng.u64(..60), self.rng.u64(1..4));
            let edit = match self.rng.u32(..9) {
                0 | 1 => json!({ "op": "add_tracks", "count": count }),
                2 => json!({ "op": "remove_tracks", "offset": offset }),
                3 => json!({ "op": "add_albums", "count": count }),
                4 => json!({ "op": "remove_albums", "offset": offset % 10 }),
                5 => json!({ "op": "playlist_insert", "index": offset % 2, "position": offset % 20, "count": count }),
                6 => json!({ "op": "playlist_remove", "index": offset % 2, "position": offset % 20 }),
                7 => json!({ "op": "follow", "count": 1 }),
                _ => json!({ "op": "play", "count": count }),
            };
            // A list that has become too short for it stays as it is.
            let (status, _) = self.fleet.sandbox.ask(&format!("edit?user={user}"), &json!({ "edits": [edit] }));
            self.num_edits += u32::from(status < 300);
        }
    }

    /// Returns whether there was a node to apply it to.
    fn strike(&mut self, blow: Blow) -> bool {
        let up: Vec<usize> = (0..self.places.len()).filter(|at| matches!(self.places[*at], Place::Up(_))).collect();
        let past_hold = HOLD.as_millis() as u64 + 1_000..HOLD.as_millis() as u64 + 4_000;
        let at = match blow {
            Blow::Crash => {
                self.crash();
                return true;
            }
            // Reported if there was none; the other faults continue.
            Blow::Cut if self.island.is_none() => return true,
            Blow::Cut if up.first() != Some(&0) => return false,
            Blow::Cut => 0,
            // Some node has to do the work.
            _ if up.len() < 2 => return false,
            Blow::Kill | Blow::Freeze | Blow::Stop => up[self.rng.usize(..up.len())],
        };
        self.tell(&format!("{blow:?} node {at}"));
        *self.blows.entry(blow).or_default() += 1;
        let (past_hold, soon) = (self.after(past_hold), self.after(0..4_000));
        let Place::Up(node) = std::mem::replace(&mut self.places[at], Place::Empty { until: soon }) else {
            unreachable!("chosen from those that are up");
        };
        match blow {
            Blow::Kill => node.running.kill(),
            Blow::Stop => node.stop(),
            Blow::Freeze => {
                node.running.signal("STOP");
                self.places[at] = Place::Frozen { node, until: past_hold };
            }
            Blow::Cut | Blow::Crash => {
                self.island.as_ref().expect("somebody is on it").cut();
                self.places[at] = Place::CutOff { node, until: past_hold };
            }
        }
        true
    }

    fn crash(&mut self) {
        self.tell("the database is stopped");
        *self.blows.entry(Blow::Crash).or_default() += 1;
        self.cluster.stop_at_once();
        self.sleep(0..7_000);
        self.cluster.start_again();
        self.tell("the database is back");
    }

    /// Everything works again, and the libraries no longer change.
    fn end(mut self) {
        self.end_what_is_over(Instant::now() + Duration::from_secs(3600));
        let Chaos { fleet, size, .. } = &self;
        let truth = Truth::of(&fleet.sandbox, size.num_accounts);
        // A run that lost its database is tried again after five minutes, give or take a quarter. As long as the tables
        // come nearer to the truth, a slow machine has its time.
        let (began, patience) = (Instant::now(), Duration::from_secs(420 + 60 * size.minutes));
        let (mut changed_at, mut before) = (began, String::new());
        loop {
            let differences = truth.differences(&fleet.database);
            if differences.is_empty() {
                break;
            }
            if differences != before {
                changed_at = Instant::now();
            }
            before.clone_from(&differences);
            let waited = changed_at.elapsed();
            assert!(waited < patience, "nothing changed for {patience:?}; {differences}{:#?}", self.unfinished());
            std::thread::sleep(Duration::from_millis(500));
        }
        self.tell(&format!("the tables are true, {:.1} s after the last blow", began.elapsed().as_secs_f64()));
        let Some(Place::Up(last)) = self.places.last() else { panic!("all are up") };
        let feed = last.get("/api/v1/feed?after=0");
        self.places.drain(..).for_each(|place| match place {
            Place::Up(node) => node.stop(),
            _ => panic!("all are up"),
        });
        self.assert_kept(&feed);
    }

    /// Runs that have not ended, and what is known of them.
    fn unfinished(&self) -> Vec<String> {
        self.fleet.database.lines(
            "SELECT concat_ws(' | ', account_id, entity_type, phase, last_synced_offset, owner_label, \
             failed_at, error_message, 'next ' || next_run_at, 'limit ' || rate_limit_reset_at, now()) AS line \
             FROM sync_states WHERE NOT is_complete",
        )
    }

    fn assert_kept(&self, feed: &str) {
        let Chaos { fleet, blows, .. } = self;
        let later = fleet.database.count(&format!("outbox WHERE seq > {}", feed.lines().count()));
        assert_eq!(later, 0, "nothing changes any more");
        fleet.assert_true();
        assert_feed_is_changes(feed, &fleet.database, &fleet.sandbox);
        let logs: Vec<String> = (1..=self.num_started).map(|number| log(fleet, number)).collect();
        assert!(!logs.iter().any(|log| log.contains("panicked")), "a node panicked");
        let num_fenced = logs.iter().filter(|log| log.contains("not held by this node any more")).count();
        assert!(num_fenced > 0, "nobody lost anything: it was hardly struck");
        let stat = |name: &str| fleet.sandbox.stat(name);
        println!(
            "{blows:?}, {} processes; {} edits, {} requests, at most {} of {} in a window; {} entries in the feed, \
             {} commits",
            self.num_started,
            self.num_edits,
            stat("requests"),
            stat("max_in_window"),
            fleet.limit,
            feed.lines().count(),
            fleet.database.num_batches()
        );
        for blow in BLOWS {
            let is_possible = blow != Blow::Cut || self.island.is_some();
            assert!(!is_possible || blows.contains_key(&blow), "{blow:?} never came");
        }
    }
}

fn log(fleet: &Fleet, number: u32) -> String {
    fs::read_to_string(fleet.database.folder.path().join(format!("node-{number}.log"))).expect("a log")
}
