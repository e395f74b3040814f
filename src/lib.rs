//! segno.
pub mod actors;
pub mod clock;
pub mod engine;
pub mod faults;
pub mod model;
pub mod sandbox;
pub mod spotify;
pub mod store;
