//! The simulator of everything: the very engine that ships (runs, gate, schedule, backoff, restart policy), all entity
//! types together through one gate, against a model library, a model API and a model database, without sockets
//! or sleeping, from one seed.
//!
//! | file | what it is |
//! |---|---|
//! | [`scenario`] | one life before it runs: sizes, settings, and a script of what changes and fails |
//! | [`library`] | the true library with its history |
//! | [`api`], [`odds`] | the model API, with undisclosed limits; how its answers are wrong but plausible |
//! | [`database`] | the model database: the transactions of `src/store` |
//! | [`listener`] | the person who listens, and the history as the API shows it |
//! | [`process`], [`syncer`], [`tracker`], [`gate`], [`fetch`] | the drivers: what `src/actors` does, with messages instead of futures |
//! | [`nodes`] | several of these processes, each on a machine of its own, that share the accounts |
//! | [`world`], [`queue`], [`chaos`] | the clock and what happens next; how the script is applied |
//! | [`oracle`] | what must always hold |
//! | [`rest`] | a world of its own: many accounts in which nothing changes |
//! | [`shrink`] | minimises a failure |
//! | [`tally`] | faults and needs of the engine, over many lives |
//!
//! The drivers are rewritten here, but no decision is: `src/actors` carries the same messages, and the second layer
//! (`tests/it/random.rs`) runs it. What `store` decides by itself (such as the history of playlists) is checked there,
//! too. See `docs/simulation.md`.

mod api;
mod chaos;
mod database;
mod fetch;
mod gate;
mod library;
pub mod listener;
pub mod nodes;
pub mod odds;
mod oracle;
mod process;
mod queue;
pub mod rest;
pub mod scenario;
pub mod shrink;
mod syncer;
pub mod tally;
mod tracker;
mod world;

use scenario::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::Tally;
pub use world::Violation;
use world::World;

/// A life that broke a guarantee.
#[derive(Debug, Clone)]
pub struct Failure {
    pub violation: Violation,
    pub step: u32,
    /// What happened, if it was recorded.
    pub trace: Vec<String>,
}

/// Runs one life.
pub fn live(scenario: &Scenario) -> Result<Tally, Box<Failure>> {
    live_in(World::new(scenario.clone(), false))
}

/// The same, recording what happens.
pub fn live_traced(scenario: &Scenario) -> Result<Tally, Box<Failure>> {
    live_in(World::new(scenario.clone(), true))
}

fn live_in(mut world: World) -> Result<Tally, Box<Failure>> {
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    world.tally.num_lives = 1;
    world.tally.num_steps = world.step.into();
    world.tally.num_refused = world.api.num_refused;
    let Err(payload) = lived else { return Ok(world.tally) };
    let violation = match payload.downcast::<Violation>() {
        Ok(violation) => *violation,
        // The engine's own assertions.
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let what = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Violation { guarantee: "panic", what: what.unwrap_or_default() }
        }
    };
    Err(Box::new(Failure { violation, step: world.step, trace: world.trace.take().unwrap_or_default() }))
}
