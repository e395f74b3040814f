//! Integration tests: the real binary, real databases, the sandbox over loopback.

mod atomic;
mod catalog;
mod changes;
mod commands;
mod demo;
mod fences;
mod gaps;
mod interrupt;
mod layers;
mod limits;
mod login;
mod metrics;
mod misbehaviour;
mod moving;
mod mutants;
mod odd_rows;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod panics;
mod pauses;
mod playback;
mod random;
mod run;
mod secrets;
mod service_accounts;
mod settings;
mod shared_limits;
mod simulation;
mod support;
mod sync;
mod terminal;
mod verify;
mod weather;
mod web;
