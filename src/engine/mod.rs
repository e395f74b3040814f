//! Every decision, sans-IO.
//!
//! Nothing here waits, reads a clock, rolls dice or knows a database: time and jitter are arguments, questions come out
//! of `poll`, answers go in through `handle_*`. So a simulation can drive all of it from one seed, and the actors that
//! carry messages between this and the world stay thin.
//!
//! | module | decides |
//! |---|---|
//! | [`run`] | what to ask for next, what a page proves, what to commit, when a run is done |
//! | [`sweep`] | whether a finished walk may mark anything removed |
//! | [`gate`] | who may send a request, and when |
//! | [`forecast`] | when what remains will be done |
//! | [`capacity`] | how many accounts the limit of the application carries |
//! | [`matching`] | which stream of a data export is which play |
//! | [`playback`] | when the listening history is asked for, and what a page of it means |
//! | [`notifying`] | what a webhook is sent next, and when it is retried |
//! | [`relaying`] | what goes to a stream next, and which node sends it |
//! | [`resting`] | how long both wait when nothing is accepted |
//! | [`request`] | one request: when to ask, wait, renew, try again or give up |
//! | [`backoff`] | whether and when to try a failed request again |
//! | [`schedule`] | when the service runs what |
//! | [`restart`] | whether and when a dead actor gets a new life |
//! | [`syncing`] | the life of a syncer: its place, its run, and what follows when the database fails |
//! | [`service`] | which runs are under way, and when all of it is over |
//! | [`nodes`] | which of the shared accounts a service works for |

pub mod backoff;
pub mod capacity;
pub mod forecast;
pub mod gate;
pub mod matching;
pub mod nodes;
pub mod notifying;
mod now;
pub mod playback;
pub mod relaying;
pub mod request;
pub mod restart;
pub mod resting;
pub mod run;
pub mod schedule;
pub mod service;
pub mod sweep;
pub mod syncing;

pub use now::Now;
