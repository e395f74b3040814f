//! segno.
pub mod engine;
pub mod model;
pub mod spotify;
