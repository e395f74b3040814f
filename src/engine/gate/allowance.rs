//! Permits reserved for this process in the database: this many may be granted before the database is asked again.

use crate::model::Family;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    permits: u32,
    /// Nothing is granted after this: other processes may have sent more meanwhile.
    until: Instant,
    /// The one family they are for, if each request is counted for the day beforehand.
    family: Option<Family>,
}

impl Allowance {
    pub fn none(now: Instant) -> Allowance {
        Allowance { permits: 0, until: now, family: None }
    }

    pub fn new(permits: u32, until: Instant, family: Option<Family>) -> Allowance {
        Allowance { permits, until, family }
    }

    pub fn permits(&self, now: Instant) -> u32 {
        if now < self.until { self.permits } else { 0 }
    }

    /// The family that has to be served next, if there is only one.
    pub fn family(&self, now: Instant) -> Option<Family> {
        self.family.filter(|_| self.permits(now) > 0)
    }

    /// Takes one, if there is one for this family.
    pub fn try_take(&mut self, family: Family, now: Instant) -> bool {
        let is_there = self.permits(now) > 0 && self.family.is_none_or(|only| only == family);
        self.permits -= u32::from(is_there);
        is_there
    }
}
