//! The API's two limits, as far as everyone needs to know them.

use super::Family;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which limit refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitClass {
    /// The rolling 30 s limit of the whole application: short.
    Rate,
    /// The daily quota of one endpoint family: half a day or more.
    Quota,
}

impl LimitClass {
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitClass::Rate => "rate",
            LimitClass::Quota => "quota",
        }
    }

    pub fn from_word(word: &str) -> Option<LimitClass> {
        match word {
            "rate" => Some(LimitClass::Rate),
            "quota" => Some(LimitClass::Quota),
            _ => None,
        }
    }
}

/// What a pause stops: one family, or with `Family::Application` everything.
pub type PauseScope = Family;

/// Nothing goes to `scope` before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub scope: PauseScope,
    pub class: LimitClass,
    pub until: DateTime<Utc>,
}

/// What a process wrote down before it sent requests, so that the next one does not send as many again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLease {
    /// No request of that process was sent later.
    pub until: DateTime<Utc>,
    /// How many it had sent in the window that ends there; `None` when it did not live to tell.
    pub used: Option<u32>,
}
