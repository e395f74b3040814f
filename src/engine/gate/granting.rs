//! Whose permit is next.

use super::*;

impl<T: Copy + PartialEq> Gate<T> {
    /// Rules on who is next. Call until it grants nothing more.
    pub fn poll(&mut self, now: Instant) -> Next<T> {
        self.pauses.expire(now);
        self.ledger.expire(self.calendar.wall(now));
        if self.rate.review(now, self.calendar.wall(now)) {
            self.follow_rate(now);
        }
        if let Some((ticket, pause)) = self.take_impatient(now) {
            return Next::Refuse(ticket, pause);
        }
        let Some(ticket) = self.choose(now) else {
            let stops = self.queue.families().filter_map(|family| self.stop_of(family, now));
            return match stops.min_by_key(|(_, ends)| *ends) {
                Some((pause, ends)) => Next::Wait(ends, Waiting::Paused(pause)),
                None => Next::Idle,
            };
        };
        if self.pauses.is_probing() {
            return Next::Full;
        }
        match self.window.room(now) {
            window::Room::Free => {}
            window::Room::FreeAt(at) => return Next::Wait(at, Waiting::Window),
            window::Room::InUse => return Next::Full,
        }
        let (used, _) = self.window.used(now);
        if used >= self.rate.proven() && self.out.iter().any(|out| out.level > self.rate.proven()) {
            return Next::Full;
        }
        if !self.is_spaced {
            if let Err(at) = self.spacing.try_pass(now) {
                return Next::Wait(at, Waiting::Spacing);
            }
            self.is_spaced = true;
        }
        let Some(family) = self.queue.family_of(ticket) else { return Next::Idle };
        if self.allowance.as_mut().is_some_and(|allowance| !allowance.try_take(family, now)) {
            return Next::Reserve(family);
        }
        let Some(ask) = self.queue.serve(ticket) else { return Next::Idle };
        self.is_spaced = false;
        self.num_granted = self.num_granted.wrapping_add(1);
        self.grant(ticket, ask.family, now);
        Next::Grant(ticket)
    }

    pub(super) fn grant(&mut self, ticket: T, family: Family, now: Instant) {
        self.window.handle_granted();
        let (level, _) = self.window.used(now);
        let counted = self.ledger.handle_granted(family, self.calendar.wall(now));
        self.out.push(Out { ticket, family, granted_at: now, level, counted });
        self.pauses.handle_granted(ticket);
    }

    /// What stops a family now: the API, or a daily ceiling of ours.
    fn stop_of(&self, family: Family, now: Instant) -> Option<Held> {
        let ceiling = self.ledger.stopped_until(family).map(|(scope, until)| {
            let left = self.calendar.left(until, now).max(Duration::from_millis(1));
            (Pause { scope, class: LimitClass::Ceiling, until }, now + left)
        });
        [self.pauses.of(family), ceiling].into_iter().flatten().max_by_key(|(_, ends)| *ends)
    }

    fn take_impatient(&mut self, now: Instant) -> Option<(T, Pause)> {
        let stops: Vec<(Family, Held)> =
            self.queue.families().filter_map(|family| Some((family, self.stop_of(family, now)?))).collect();
        if stops.is_empty() {
            return None;
        }
        let (ticket, pause) = self.queue.iter().find_map(|ask| {
            let (_, (pause, ends)) = stops.iter().find(|(family, _)| *family == ask.family)?;
            let longest_wait = ask.longest_wait?;
            (*ends > now + longest_wait).then_some((ask.ticket, *pause))
        })?;
        self.queue.remove(ticket);
        Some((ticket, pause))
    }

    /// The asker that is next, of those that nothing stops.
    fn choose(&self, now: Instant) -> Option<T> {
        let open: Vec<Family> = self.queue.families().filter(|family| self.stop_of(*family, now).is_none()).collect();
        let reserved = self.allowance.and_then(|allowance| allowance.family(now));
        if let Some(family) = reserved.filter(|family| open.contains(family)) {
            return self.queue.turn(family);
        }
        let first = open.iter().copied().min_by_key(|family| family.line())?;
        let is_fair_turn = self.num_granted % FAIR_EVERY == FAIR_EVERY - 1;
        if first == Family::Player || !is_fair_turn {
            return self.queue.turn(first);
        }
        self.queue.oldest(|family| open.contains(&family))
    }
}
