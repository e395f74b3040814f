//! The model listener, the history as the API shows it, and what must hold for the stored plays.

use super::{api::Answer, world::World};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use segno::model::{Family, PLAYS_PAGE_LEN, Play, PlaySlot, PlaysCommit, PlaysPage};

const HOUR_S: i64 = 3600;

/// Somebody's listening habits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listening {
    /// Shortest and longest play, in seconds.
    pub spacing_s: (i64, i64),
    /// Percentage of sessions that happen offline and appear hours later.
    pub offline: u32,
}

/// How a page of the history is wrong but plausible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OddHistory {
    /// As it was some minutes ago.
    Old {
        minutes: u32,
    },
    Empty,
    /// Only the newest rows.
    Short {
        rows: u32,
    },
    /// Its first row is there twice.
    Twice,
}

/// A play, and since when the API shows it.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at_s: i64,
    shown_s: i64,
}

/// A page of the history. Moments are in seconds since the beginning.
#[derive(Debug)]
pub struct Shown {
    pub page: PlaysPage,
    at_s: i64,
    /// Whether it is what the API should show.
    is_right: bool,
}

pub struct Listener {
    pub random: Rng,
    habits: Listening,
    /// By time of play.
    heard: Vec<Heard>,
    next_session_s: i64,
    /// How many of the next pages are wrong, and how.
    pub odd: (u32, Option<OddHistory>),
    /// When the last correct page that was committed was shown. Plays since the first of them must not be lost.
    checked_s: Option<i64>,
    /// Plays that left the page before they were polled.
    missed: Vec<i64>,
    calm_s: Option<i64>,
}

impl Listener {
    pub fn new(habits: Listening, seed: u64) -> Listener {
        let mut random = Rng::with_seed(seed ^ 0x9_1a75);
        let next_session_s = -random.i64(0..20 * HOUR_S);
        let (heard, missed) = (Vec::new(), Vec::new());
        let (odd, checked_s, calm_s) = ((0, None), None, None);
        Listener { random, habits, heard, next_session_s, odd, checked_s, missed, calm_s }
    }

    /// Sessions of minutes to hours with hours between them.
    fn listen(&mut self, until_s: i64) {
        while self.next_session_s <= until_s {
            let Listening { spacing_s: (shortest, longest), offline } = self.habits;
            let (mut at_s, end_s) = (self.next_session_s, self.next_session_s + self.random.i64(300..4 * HOUR_S));
            let pace = self.random.i64(shortest..=longest);
            let is_offline = self.random.u32(0..100) < offline;
            let shown_s = is_offline.then(|| end_s + longest + self.random.i64(0..12 * HOUR_S));
            while at_s < end_s {
                at_s += self.random.i64(shortest..=pace);
                self.heard.push(Heard { at_s, shown_s: shown_s.unwrap_or(at_s) });
            }
            self.next_session_s = at_s + self.random.i64(600..10 * HOUR_S);
        }
    }

    fn show(&mut self, now_s: i64) -> Shown {
        self.listen(now_s);
        let (num, odd) = &mut self.odd;
        let odd = odd.filter(|_| *num > 0);
        *num = num.saturating_sub(1);
        let as_of_s = match odd {
            Some(OddHistory::Old { minutes }) => now_s - 60 * i64::from(minutes),
            _ => now_s,
        };
        let len = match odd {
            Some(OddHistory::Empty) => 0,
            Some(OddHistory::Short { rows }) => rows as usize,
            _ => PLAYS_PAGE_LEN,
        };
        let until_then = &self.heard[..self.heard.partition_point(|heard| heard.at_s <= as_of_s)];
        let shown = until_then.iter().rev().filter(|heard| heard.shown_s <= as_of_s).take(len);
        let mut slots: Vec<PlaySlot> = shown.map(|heard| slot(heard.at_s)).collect();
        if odd == Some(OddHistory::Twice) {
            slots.extend(slots.first().cloned());
        }
        let is_right = matches!(odd, None | Some(OddHistory::Twice));
        Shown { page: PlaysPage { slots }, at_s: now_s, is_right }
    }
}

fn moment(at_s: i64) -> DateTime<Utc> {
    World::birth() + TimeDelta::seconds(at_s)
}

fn slot(at_s: i64) -> PlaySlot {
    let played_at = moment(at_s);
    let play = Play { played_at, track_uri: format!("spotify:track:{at_s}"), track: None, context_uri: None };
    PlaySlot { play: Some(play), played_at: Some(played_at), odd: None }
}

impl World {
    fn now_s(&self) -> i64 {
        self.now.as_secs().cast_signed()
    }

    pub fn show_history(&mut self) -> Answer {
        let (now_s, now) = (self.now_s(), self.now);
        match (self.api.take_in(Family::Player, now), &mut self.listener) {
            (Some(trouble), _) => trouble,
            (None, Some(listener)) => Answer::Plays(listener.show(now_s)),
            (None, None) => panic!("nobody asks for the history of nobody"),
        }
    }

    /// The faults stop: one more page has to be read.
    pub fn calm_listener(&mut self) {
        let now_s = self.now_s();
        if let Some(listener) = &mut self.listener {
            (listener.odd, listener.calm_s) = ((0, None), Some(now_s));
        }
    }

    /// Whether the history was read again after the faults stopped.
    pub fn is_heard(&self) -> bool {
        self.listener.as_ref().is_none_or(|listener| listener.calm_s.is_some() && listener.checked_s >= listener.calm_s)
    }

    /// No play shown by any page is lost, plays that no page showed are in a gap, and nothing else is reported as a
    /// gap.
    pub fn check_plays(&mut self, commit: &PlaysCommit, num_added: u32, shown: &Shown) {
        let is_ahead = self.skew > TimeDelta::zero();
        let Some(listener) = &mut self.listener else { return };
        self.tally.num_plays += u64::from(num_added);
        self.tally.num_play_gaps += u64::from(commit.gap.is_some());
        if commit.num_new != num_added {
            let num_told = commit.num_new;
            self.violated("G14", format!("{num_added} new plays came, and {num_told} were told"));
        }
        // What follows an empty history is judged by when that was: with a calendar that is ahead, nothing is.
        if shown.page.slots.is_empty() && is_ahead && !self.database.has_plays() {
            listener.checked_s = None;
            return;
        }
        if !shown.is_right {
            return;
        }
        let before_s = listener.checked_s.replace(shown.at_s);
        let Some(before_s) = before_s else { return };
        let place = |at_s: i64| listener.heard.partition_point(|heard| heard.at_s <= at_s);
        let came = &listener.heard[place(before_s)..place(shown.at_s)];
        // A late play may have been pushed off the page before anybody could see it.
        let in_order = came.iter().filter(|heard| heard.at_s == heard.shown_s).map(|heard| heard.at_s);
        listener.missed.extend(in_order);
        let database = &self.database;
        listener.missed.retain(|at_s| !database.has_play(moment(*at_s)));
        let num_came = came.len();
        let untold = listener.missed.iter().find(|at_s| !database.has_play_gap(moment(**at_s))).copied();
        let is_false = commit.gap.is_some() && num_came < PLAYS_PAGE_LEN && listener.habits.offline == 0;
        if let Some(at_s) = untold {
            self.violated("G14", format!("the play of {} is neither held nor in a gap", moment(at_s)));
        }
        if is_false {
            let gap = commit.gap;
            self.violated("G14", format!("{num_came} plays since the last page, and a gap is told: {gap:?}"));
        }
    }
}
