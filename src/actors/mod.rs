//! Thin shells: they carry messages between the engine and the world.
//!
//! ```text
//!   Supervisor --StartRun--> Syncer x 4 --AcquirePermit, ReportLimited--> Gate
//!       ^                        |  \--GET page--> Spotify Web API          |
//!       |  Observed, RunEnded    |                                          | looks at the database
//!       +---- ChildExited -------+--BeginRun, CommitBatch--> CheckpointWriter
//!       |  PlaysObserved                                         ^
//!       +---------- PlaybackTracker (gate and API as above) -----+ CommitPlays
//! ```
//!
//! Every child lives inside a guard ([`lifecycle`]) that catches a panic, reports it, and starts a new life in place:
//! address and mailbox survive, state does not. A syncer then takes its place from the database; a gate reads there
//! what it had sent; a writer has no state to lose. If the reply to a commit is lost, its outcome is unknown: the
//! syncer starts again from the database and never resends.

mod away;
pub mod calendar;
pub mod checkpoint_writer;
mod driven;
pub mod driver;
pub mod fetch;
pub mod gate;
pub mod lifecycle;
pub mod meter;
pub mod notifier;
pub mod playback_tracker;
pub mod progress;
#[cfg(feature = "nats")]
pub mod relay;
pub mod supervisor;
mod sync_error;
pub mod syncer;
mod traces;

use crate::{clock, engine::Now};

/// The moment, for a machine of the engine.
fn now() -> Now {
    Now { at: clock::instant(), wall: clock::now(), jitter: driver::jitter() }
}

pub use gate::{Gate, Permit};
pub use playback_tracker::{PlaybackTracker, PlaysObserved, TrackerSetup};
pub use progress::{EntityProgress, EntityState, GateView, Progress, Restart};
pub use supervisor::{Service, Supervisor, SyncOutcome};
