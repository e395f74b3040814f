//! segno.
pub mod actors;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod faults;
pub mod model;
pub mod sandbox;
pub mod spotify;
pub mod store;
pub mod telemetry;
