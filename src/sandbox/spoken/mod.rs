//! Spoken items: shows, their episodes, and audiobooks.

pub mod edits;
pub mod make;
pub mod wire;

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// A row of a listing. Some rows have lost their object.
#[derive(Clone, Copy, Debug)]
pub struct Saved<T> {
    pub added_at: DateTime<Utc>,
    pub item: Option<T>,
}

/// The listings of spoken items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoken {
    Shows,
    Episodes,
    Audiobooks,
}
