//! What a gate takes along to the database, and what it brings back.

use super::{super::ledger::AHEAD_MIN, *};

impl<T: Copy + PartialEq> SharedGate<T> {
    pub fn handle_looked(&mut self, looked: Looked, now: Instant, wall: DateTime<Utc>) {
        let Some(carried) = self.looking.take() else { return };
        self.failing = Failing::default();
        if wall + JUMP_MIN < self.calendar.wall(now) {
            self.calendar.handle_read(now, wall);
        }
        self.noted.extend(carried.noted.iter().map(|(ticket, _)| *ticket));
        self.known = looked.known;
        self.handle_news(looked.news, &carried, now, wall);
        self.looked_at = Some(looked.at);
        let counted = looked.seen.values().flat_map(|seen| seen.counts().iter().copied());
        self.gate.window.set_others(counted.collect());
        self.seen = looked.seen;
        self.held = (looked.held, looked.held_until);
        self.holds_for = (now.saturating_duration_since(looked.at) * 4).clamp(HOLDS_FOR, HOLDS_FOR_MAX);
        (self.turn_at, self.waiting_since) = (looked.retry_at, looked.waiting_since);
        self.is_crowded = looked.is_crowded;
        if let Some(entry) = looked.prepaid {
            self.gate.ledger.handle_prepaid(entry);
        }
        let allowance = self.gate.allowance.get_or_insert(Allowance::none(now));
        if looked.is_block {
            self.block = allowance.permits(now) + looked.granted;
            *allowance = Allowance::new(self.block, looked.held_until, None);
        } else if looked.granted > 0 {
            let until = (now + SINGLE_LASTS).min(looked.held_until);
            *allowance = Allowance::new(looked.granted, until, looked.family);
        } else if looked.is_crowded {
            *allowance = Allowance::none(now);
        }
        if carried.is_closing {
            self.life = Life::Closed { is_noted: true };
        }
    }

    fn handle_news(&mut self, news: News, carried: &Carried<T>, now: Instant, wall: DateTime<Utc>) {
        self.is_ledger_stale = news.is_ledger_stale;
        let wall = self.calendar.cautious(now, wall);
        if !std::mem::replace(&mut self.is_loaded, true) {
            let sent = news.own.map(|own| self.sent_before(own.held, own.answered, now, wall)).unwrap_or_default();
            let ledger = news.ledger.unwrap_or_default();
            self.gate.handle_noted(&GateNote { pauses: news.pauses, sent, learned: news.learned, ledger }, now, wall);
            return;
        }
        // It was not there at the last look.
        let age_max = self.looked_at.map(|at| now.saturating_duration_since(at));
        for noted in news.pauses {
            self.gate.pauses.handle_noted(noted, age_max, now, wall);
        }
        if news.is_lifted && self.unsaved_pauses.is_empty() {
            self.gate.handle_lifted(now);
        }
        if let Some(learned) = news.learned {
            self.gate.handle_learned_by_another(learned, now);
        }
        if let Some(entries) = news.ledger.filter(|_| carried.reads_ledger) {
            let calendar = self.gate.calendar.wall(now);
            self.gate.ledger.handle_stored(&entries, &carried.ledger, calendar);
        }
    }

    /// What an earlier life sent, without what is still out or has come back since.
    fn sent_before(&mut self, held: Sent, answered: Vec<Sent>, now: Instant, wall: DateTime<Utc>) -> Vec<Sent> {
        let (num_counted, _) = self.gate.window.used(now);
        let lost = Sent { requests: held.requests.saturating_sub(num_counted), until: wall };
        answered.into_iter().chain([lost]).collect()
    }

    /// The database did not answer, or the outcome of the look is unknown.
    pub fn handle_unanswered(&mut self, why: Unanswered, now: Instant) {
        let Some(carried) = self.looking.take() else { return };
        self.retry_at = Some(now + self.failing.handle_unanswered(why, now));
        self.unsaved_pauses.splice(0..0, carried.noted);
        if self.failing.is_given_up(now) {
            self.given_up.extend(self.gate.queue.take_all());
            self.given_up.extend(self.unsaved_pauses.iter().map(|(ticket, _)| *ticket));
        }
        self.lifts = self.lifts.or(carried.lifts);
        self.gate.ledger.handle_unstored(&carried.ledger);
        if carried.learned.is_some() {
            self.gate.rate.handle_unsaved();
        }
        self.save_at = Some(now);
        if self.life == Life::Closing {
            self.life = Life::Closed { is_noted: false };
        }
    }

    pub(super) fn look(&mut self, want: Option<Family>, now: Instant, wall: DateTime<Utc>) -> Look {
        let (is_first, is_closing) = (!self.is_loaded, self.life == Life::Closing);
        let cautious = self.clock.read(now, wall, self.gate.window.length());
        if self.gate.calendar.wall(now) > wall + AHEAD_MIN {
            self.gate.handle_set_back(now, wall);
        }
        self.retry_at = None;
        let saves = is_closing || (!is_first && self.save_at.is_some_and(|at| at <= now));
        let (ledger, learned) = if saves { self.gate.take_unsaved() } else { Default::default() };
        if saves {
            self.save_at = None;
        }
        let reads_ledger = is_first || self.is_ledger_stale || self.gate.ledger.has_ceilings() && self.is_crowded;
        let carried = Carried {
            noted: std::mem::take(&mut self.unsaved_pauses),
            lifts: self.lifts.take(),
            learned,
            ledger,
            reads_ledger,
            is_closing,
        };
        let calendar = self.gate.calendar.wall(now);
        let want = want.map(|family| Want {
            family,
            is_probe: self.gate.pauses.is_probe_due(),
            prepays: self.gate.ledger.prepay(family, calendar),
        });
        let look = Look {
            us: self.us.clone(),
            now,
            wall,
            cautious,
            window: self.gate.window.length(),
            holds_for: self.holds_for,
            limit: self.gate.window.used(now).1,
            in_use: self.gate.window.num_in_use(),
            answered: self.gate.answered_in_buckets(now),
            permits: self.gate.allowance.map_or(0, |allowance| allowance.permits(now)),
            want,
            waiting_since: self.waiting_since,
            is_probing: self.gate.pauses.is_probing(),
            has_ceilings: self.gate.ledger.has_ceilings(),
            is_first,
            is_closing,
            reads_ledger,
            known: self.known.clone(),
            seen: self.seen.clone(),
            pauses: carried.noted.iter().map(|(_, pause)| *pause).collect(),
            lifts: carried.lifts,
            learned: carried.learned,
            ledger: carried.ledger.clone(),
        };
        self.looking = Some(carried);
        look
    }

    pub(super) fn last_rate_pause(&self) -> Option<DateTime<Utc>> {
        let pauses = self.known.pauses.iter().chain(self.unsaved_pauses.iter().map(|(_, pause)| pause));
        let of_rate = pauses.filter(|pause| pause.scope == Family::Application && pause.class == LimitClass::Rate);
        of_rate.map(|pause| pause.until).max()
    }
}

impl<T: Copy + PartialEq> Gate<T> {
    /// The calendar was set back, and other processes go by it.
    fn handle_set_back(&mut self, now: Instant, wall: DateTime<Utc>) {
        self.calendar.handle_read(now, wall);
        self.ledger.handle_set_back(wall);
    }

    /// The answered requests of the window in buckets, each with the latest of its moments.
    fn answered_in_buckets(&mut self, now: Instant) -> Vec<(u32, Instant)> {
        let length = self.window.length() / BUCKETS;
        let mut buckets: Vec<(u32, Instant, Instant)> = Vec::new();
        for at in self.window.answered(now) {
            match buckets.last_mut().filter(|(_, first, _)| at.saturating_duration_since(*first) < length) {
                Some((requests, _, last)) => (*requests, *last) = (*requests + 1, at),
                None => buckets.push((1, at, at)),
            }
        }
        buckets.into_iter().map(|(requests, _, last)| (requests, last)).collect()
    }
}
