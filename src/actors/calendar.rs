//! The calendar that all processes on a database use: the wall clock of the server, if there is one.

use crate::{
    clock::{self, SharedCalendar},
    store::{Store, StoreError},
};

/// Questions at a time.
const QUESTIONS_MAX: u32 = 5;

/// Asks for the calendar that all processes on the database use, until an answer was fast enough to be exact.
pub async fn shared_calendar(store: &Store) -> Result<SharedCalendar, StoreError> {
    let mut best = SharedCalendar::default();
    for _ in 0..QUESTIONS_MAX {
        let asked_at = clock::steady();
        let Some(told) = store.wall().await? else { break };
        let calendar = SharedCalendar::told(asked_at, told, clock::steady());
        if best.yields_to(calendar) {
            best = calendar;
        }
        if best.is_exact() {
            break;
        }
    }
    Ok(best)
}
