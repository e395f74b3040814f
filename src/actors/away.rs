//! A database that does not answer the gate: what is logged about it, and what the askers are told. A new reason is
//! logged at once, and one that stays every few minutes.

use crate::{engine::gate::shared::Unanswered, store::StoreError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How often the same reason is logged.
const TELL_EVERY: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub struct Away {
    /// The reason of the last failure.
    why: String,
    /// What was logged last, and when.
    told: Option<(String, Instant)>,
    /// It was logged that the database does not answer, and not yet that it does.
    is_told: bool,
}

impl Away {
    pub fn handle_unanswered(&mut self, why: &str, now: Instant) {
        why.clone_into(&mut self.why);
        if self.is_news(now) {
            warn!(why, "the database does not say what other processes have sent; nothing is sent until it does");
        }
    }

    pub fn handle_answered(&mut self) {
        if std::mem::take(&mut self.is_told) {
            info!("the database answers again");
        }
    }

    /// Why it did not answer last.
    pub fn why(&self) -> &str {
        &self.why
    }

    fn is_news(&mut self, now: Instant) -> bool {
        let is_known =
            |(told, at): &(String, Instant)| *told == self.why && now.saturating_duration_since(*at) < TELL_EVERY;
        if self.told.as_ref().is_some_and(is_known) {
            return false;
        }
        self.told = Some((self.why.clone(), now));
        self.is_told = true;
        true
    }
}

pub fn kind_of(error: &StoreError) -> Unanswered {
    if error.is_transient() { Unanswered::Passing } else { Unanswered::Lasting }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_when_it_is_new_and_every_few_minutes() {
        let (mut away, began_at) = (Away::default(), Instant::now());
        let mut is_news = |why: &str, after_s| {
            why.clone_into(&mut away.why);
            away.is_news(began_at + Duration::from_secs(after_s))
        };
        let told =
            [("full", 0), ("full", 1), ("full", 299), ("full", 300), ("full", 301), ("locked", 302), ("full", 303)];
        let is_told: Vec<bool> = told.into_iter().map(|(why, after_s)| is_news(why, after_s)).collect();
        assert_eq!(is_told, [true, false, false, true, false, true, true]);
    }
}
