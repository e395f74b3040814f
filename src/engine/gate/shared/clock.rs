//! The calendar of a process, as far as it can be trusted.

use super::*;

/// The calendar by which others are judged: a jump forward is not believed before a window has passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub calendar: Calendar,
    pub jumped_at: Option<Instant>,
}

impl Clock {
    pub fn read(&mut self, now: Instant, wall: DateTime<Utc>, window: Duration) -> DateTime<Utc> {
        let expected = self.calendar.wall(now);
        let is_ahead = wall > expected + JUMP_MIN;
        let jumped_at = *self.jumped_at.get_or_insert(now);
        if !is_ahead || now.saturating_duration_since(jumped_at) > window * 2 + HOLDS_FOR_MAX {
            self.calendar = Calendar::new(now, wall);
            self.jumped_at = None;
        }
        self.calendar.wall(now).min(wall)
    }
}
