//! segno keeps a complete, current copy of a person's Spotify library in the person's own database.
//!
//! # The map
//!
//! Read from the top; imports point down this list, in one direction, and `tests/it/layers.rs` keeps it so.
//!
//! | module | what it is |
//! |---|---|
//! | [`app`], [`cli`], [`config`], [`telemetry`] | the edges: commands, what is shown, settings, the log, and the wiring |
//! | [`web`] | the status page and its API: it reads the store, and acts through messages to the supervisor |
//! | [`actors`] | thin shells that carry messages between the engine and the world, inside guards that catch panics |
//! | [`spotify`], [`store`] | the two ways out: the Web API, and the database. They do not know each other |
//! | [`notify`] | webhooks and NATS: how an entry of the feed is sent |
//! | [`data_export`] | reads the files that Spotify gives a person on request |
//! | [`engine`] | every decision: what to fetch next, what it proves, when to wait, what a crash means |
//! | [`export`] | the formats in which other tools read a library |
//! | [`metrics`] | what the service counts of itself, for Prometheus |
//! | [`model`] | the words of the domain |
//! | [`sandbox`] | a stand-in Web API server for the demo and the tests; it shares nothing with the rest |
//! | [`clock`], [`processes`], [`parts`], [`tls`], [`faults`] | the only place that reads the time; which processes run on this machine; files that are put in place whole; cryptography; points where tests make actors panic |
//!
//! # One batch
//!
//! ```text
//! engine::run        Fetch ----------> syncer -> gate (permit) -> spotify -> page
//!   "these pages"                                                             |
//! engine::run        <----------------------------------------- handle_page --+
//!   "they link up"   Commit ---------> syncer -> checkpoint writer -> store: rows + checkpoint, one transaction
//! engine::run        <----------------------------------------- handle_committed
//!   "and the next"
//! ```
//!
//! # What always holds
//!
//! - Rows and checkpoint commit together, fenced by a generation and the process's own id; the process that began a run
//!   last is the only one that writes.
//! - A reply lost during a commit means *unknown*: start again from the database, never resend.
//! - An item that was in the library all through a run is in the database at its end; none is marked removed unless a
//!   walk that proved itself steady, or a search, saw that it was gone.
//! - No request is sent without a permit, and no permit is granted in a pause or beyond the rolling window.
//! - The engine cannot wait, read a clock or roll dice; so all of it can be simulated from one seed.

pub mod actors;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_export;
pub mod engine;
pub mod export;
pub mod faults;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod parts;
pub mod processes;
pub mod sandbox;
pub mod spotify;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod web;
