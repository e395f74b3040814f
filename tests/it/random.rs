//! The second layer of the simulation (`docs/simulation.md`): whole lives from seeds, as in `tests/simulation`, but
//! with the real binary and its real actors, on both databases, against the sandbox. The library changes while it is
//! read, requests fail, actors panic, and the process is killed; after each run, and at the end, every table is
//! compared with the sandbox's truth.
//!
//! `SEGNO_RANDOM_SEEDS` sets how many lives to run, or which: `60`, `17..18`. Real processes do not repeat themselves
//! to the millisecond, so a seed gives the same plans, and nearly the same course.

mod history;
mod invariants;
mod script;
mod truth;

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, entity_types};
use fastrand::Rng;
use history::History;
use script::{Kill, Round};
use serde_json::json;
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// Lives that are part of all tests.
const NUM_LIVES: u64 = 3;

both! {
    fn every_table_equals_the_library_after_any_life(backend) {
        let broken: Vec<u64> = seeds().filter(|seed| catch_unwind(AssertUnwindSafe(|| live(backend, *seed))).is_err()).collect();
        assert!(broken.is_empty(), "{backend:?}: seeds {broken:?}; each has told its story above");
    }
}

fn seeds() -> Range<u64> {
    let Some(wanted) = std::env::var("SEGNO_RANDOM_SEEDS").ok().filter(|seeds| !seeds.is_empty()) else {
        return 0..NUM_LIVES;
    };
    let number = |text: &str| text.parse().expect("SEGNO_RANDOM_SEEDS is a number, or a range like 3..9");
    wanted.split_once("..").map_or_else(|| 0..number(&wanted), |(from, to)| number(from)..number(to))
}

fn live(backend: Backend, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut life = Life::new(backend, seed, &mut rng);
    for number in 1..=rng.usize(2..=4) {
        life.run_through(number, seed);
    }
    life.settle();
}

/// What was done, printed if something turns out to be wrong.
#[derive(Default)]
struct Story(Vec<String>);

impl Story {
    fn tell(&mut self, line: String) {
        self.0.push(line);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n", self.0.join("\n"));
        }
    }
}

struct Life {
    // Dropped first, so that it is printed next to the panic.
    story: Story,
    database: Database,
    sandbox: Sandbox,
    history: History,
    /// Something happened that no count can reveal, and no verifying pass has run since.
    is_deceived: bool,
}

/// How a command ended, unless it was killed.
type Outcome = Option<Ended>;

impl Life {
    fn new(backend: Backend, seed: u64, rng: &mut Rng) -> Life {
        let args = script::library(rng, seed);
        let mut story = Story::default();
        story.tell(format!("{backend:?}, seed {seed}: segno sandbox {}", args.join(" ")));
        let sandbox = Sandbox::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        // Longer than a batch of its items.
        let items = rng.usize(0..3) * 130;
        sandbox.edit_one(json!({ "op": "add_playlist", "items": items }));
        story.tell(format!("a playlist of {items} at the head"));
        let database = Database::new(backend);
        Life { story, database, sandbox, history: History::default(), is_deceived: false }
    }

    /// One command under faults.
    fn run_through(&mut self, number: usize, seed: u64) {
        // Each round has a random source of its own, so that a different course leaves the plans of the next unchanged.
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        self.sandbox.begin_history();
        let round = Round::new(&mut rng, &self.sandbox.library(), &self.history.gone_tracks(), number == 1);
        self.story.tell(format!("round {number}: {round}"));
        let mut deceived_now = false;
        for edit in &round.edits_before {
            let done = self.sandbox.try_edit(edit);
            self.story.tell(format!("  {edit}: {done}"));
            deceived_now |= script::is_hidden(edit) && done["error"].is_null();
        }
        let began = self.sandbox.history().len() - 1;
        self.sandbox.forget_requests();
        self.sandbox.configure(json!({ "latency_ms": round.latency_ms, "expire_access_tokens": round.expires_tokens }));
        self.sandbox.rules(json!(round.rules));
        let start = Instant::now();
        let outcome = self.run(&round);
        let took = start.elapsed();

        let rules = self.sandbox.get("rules")["rules"].clone();
        let was_applied = |at: usize| rules[at]["applied"].as_u64().is_some_and(|times| times > 0);
        let applied: Vec<usize> = (0..round.rules.len()).filter(|at| was_applied(*at)).collect();
        let requests = self.sandbox.requests("*");
        let code = outcome.as_ref().map(|ended| ended.code);
        self.story.tell(format!(
            "  ended {code:?} after {requests} requests and {took:.0?}; rules that came up: {applied:?}"
        ));
        self.story.tell(format!("  {}", invariants::states(&self.database).join("\n  ")));

        let edits = applied.iter().filter_map(|at| round.rules[*at]["do"]["edits"].as_array()).flatten();
        deceived_now |= edits.into_iter().any(script::is_hidden);
        self.is_deceived |= deceived_now;
        self.history.take_in(self.sandbox.history(), began, self.is_deceived);
        if let Some(ended) = &outcome {
            assert!(ended.code == Some(0) || round.is_misled, "{}", ended.told());
            assert_ne!(ended.code, Some(4), "the sign-in is good: {}", ended.told());
            let is_panic_wanted = round.env.iter().any(|(name, _)| *name == "SEGNO_FAULTS");
            assert!(is_panic_wanted || !ended.stderr.contains("panicked"), "{}", ended.told());
        }
        assert_eq!(self.sandbox.stat("early"), 0, "requests in a pause: {}", self.sandbox.get("log"));
        let is_proof = !round.is_misled && !round.is_service();
        let ended_well = is_proof && outcome.as_ref().is_some_and(|ended| ended.code == Some(0));
        invariants::check(&self.database, &mut self.history, &round, ended_well);
        if ended_well && round.is_verify() && !deceived_now {
            self.is_deceived = false;
        }
    }

    /// Runs the command of a round, until it ends or is killed.
    fn run(&mut self, round: &Round) -> Outcome {
        let mut command = Segno::on(&self.database, &self.sandbox, &round.args).env("SEGNO_SPOTIFY_TIMEOUT", "1s");
        for (name, value) in &round.env {
            command = command.env(name, value);
        }
        let mut running = command.spawn();
        let Some(Kill { requests, then_ms }) = round.kill else { return Some(running.wait()) };
        let began = Instant::now();
        let is_patient = || began.elapsed() < Duration::from_secs(5);
        while running.is_running() && is_patient() && requests > 0 && self.sandbox.requests("*") < requests {
            std::thread::sleep(Duration::from_millis(3));
        }
        std::thread::sleep(Duration::from_millis(then_ms));
        if !running.is_running() {
            return Some(running.wait());
        }
        if round.is_service() && running.catches_sigterm() {
            running.signal("TERM");
            return Some(running.wait());
        }
        running.kill();
        self.database.settle();
        None
    }

    /// The library stands still and nothing fails: one run makes the database equal, or a verifying one, if something
    /// happened that a count cannot reveal. Changes too large to be believed need a second run.
    fn settle(&mut self) {
        self.sandbox.configure(json!({ "latency_ms": 0 }));
        self.sandbox.rules(json!([]));
        self.database.end_cooldowns();
        self.run_to_the_end("sync");
        if self.is_deceived {
            self.run_to_the_end("verify");
        }
        // Another person's playlist is unreadable once a second run is refused, too. One with another snapshot but the
        // same items is read once more.
        let waits = "playlist_readings WHERE failure IN ('refused', 'unchanged') AND items_readable";
        if self.database.count(waits) > 0 {
            self.succeed("sync");
        }
        truth::assert_equal(&self.database, &self.sandbox, &self.history);

        let written = self.database.written_rows();
        let ended = self.succeed("sync");
        for entity in entity_types() {
            let report = ended.entity(entity);
            assert_eq!(["new", "updated", "removed"].map(|change| &report[change]), [0, 0, 0], "{}", ended.told());
        }
        assert!(self.database.written_rows() == written, "a run that found nothing wrote something");
    }

    fn run_to_the_end(&mut self, command: &str) {
        let ended = self.succeed(command);
        if ended.stdout.contains("no longer listed") {
            let again = self.succeed(command);
            assert!(!again.stdout.contains("no longer listed"), "{}", again.told());
        }
    }

    fn succeed(&mut self, command: &str) -> Ended {
        let ended = Segno::on(&self.database, &self.sandbox, &[command, "--json"]).succeed();
        self.story.tell(format!("{command}: exit 0 after {:.0?}", ended.took));
        ended
    }
}
