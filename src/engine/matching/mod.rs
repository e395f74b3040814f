//! Which stream of a data export is which play that the API reported.
//!
//! The export contains the beginning and end of a stream, to the second. The API reports one moment, to the
//! millisecond, without saying whether it is the beginning or the end; it learns of a play late, and sometimes under
//! another id of the same recording. So its meaning is decided from the data, once per import, together with how the
//! moments lie around ends and beginnings. Then pairs are looked for in passes:
//!
//! | pass | the moment of the play lies |
//! |---|---|
//! | 1 | 3 s before to 5 s after the moment that it means, the end or the beginning of the stream; where some mean the other, either |
//! | 2 | the same, for streams whose names the export has lost |
//! | 3 | around the other one: those with names, and those without |
//! | 4 | anywhere from 15 s before the beginning to 60 s after the end, or after it was logged if it was heard offline |
//!
//! The times of some streams are less precise. An offline one may have been paused, which the export does not say; it
//! ended before the next one began. For others only the end is known; they began after the one before. The first three
//! passes look at such a stretch as a whole ([`HeardAt::bound_each_other`]).
//!
//! Each stream and each play is used once. Within a pass the same ISRC comes first, then the same id, then the same
//! title and artist. The streams and plays of one recording are paired in order, as many as possible. Among several
//! ways to do so the likeliest wins, judged by the offsets of this import, by how many plays mean the other moment, and
//! by how often the API leaves out skipped tracks. That matters where a track is repeated or skipped within seconds:
//! taking the nearest first would pair them crosswise or leave one over.
//!
//! A pass is repeated until it finds nothing more, so running the same import again finds nothing.

mod align;
#[cfg(test)]
mod tests;

use crate::model::KnownPlays;
use crate::model::stream::{AFTER_END, BEFORE_START, HeardAt, Meaning, StreamPair, ToldAt, TrackKeys};
use crate::model::{PlaysPage, play};
use std::collections::{BTreeMap, HashMap};

/// What counts as the same moment: the export has whole seconds, and the API has another clock.
const EARLY_MS: i64 = 3000;
const LATE_MS: i64 = 5000;

/// Offsets are counted in bins of this width.
const BIN_MS: i64 = 100;
const NUM_BINS: usize = ((EARLY_MS + LATE_MS) / BIN_MS) as usize;

/// Bins on either side that a bin is averaged with.
const SMOOTH: usize = 2;

/// Weight of what is assumed about the offsets before any is seen, as a number of observations.
const NUM_BEFORE: f64 = 2.0;

/// The other meaning counts as chance if it occurs less than once in this many plays.
const UNANIMOUS: u64 = 40;

const OTHER_COST_MAX: i64 = 700;

/// A pair that costs this much is left to the last pass, so that anything less unusual comes first.
const COST_MAX: i64 = 800;

/// Cost of a moment within a stretch of which nothing more is known.
const WITHIN_COST: i64 = 700;

/// How plays lie around the ends and the beginnings of streams, where they cannot be mistaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    /// Plays near an end of the same track, and near no beginning of it.
    pub num_ends: u64,
    pub num_starts: u64,
    end_offsets: [u32; NUM_BINS],
    start_offsets: [u32; NUM_BINS],
}

impl Default for Votes {
    fn default() -> Votes {
        Votes { num_ends: 0, num_starts: 0, end_offsets: [0; NUM_BINS], start_offsets: [0; NUM_BINS] }
    }
}

/// How pairs are judged. Costs are hundredths of a nat: a hundred more means e times less likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub meaning: Meaning,
    /// The API means the same moment in all of its plays but for a few.
    is_unanimous: bool,
    /// Cost of a play that means the other moment.
    other_cost: i64,
    end_costs: [i64; NUM_BINS],
    start_costs: [i64; NUM_BINS],
}

impl Rule {
    /// Before anything is known of the offsets.
    pub fn of(meaning: Meaning) -> Rule {
        let (end_costs, start_costs) = (costs(&[0; NUM_BINS]), costs(&[0; NUM_BINS]));
        Rule { meaning, is_unanimous: true, other_cost: OTHER_COST_MAX, end_costs, start_costs }
    }
}

impl Votes {
    /// Counts the votes of some plays. Only the same id counts here: votes have to be certain.
    pub fn count(&mut self, heard: &[HeardAt], told: &[ToldAt]) {
        let wanted: HashMap<u64, ()> = told.iter().map(|play| (play.keys.uri, ())).collect();
        let mut of_uri: HashMap<u64, (Vec<i64>, Vec<i64>)> = HashMap::new();
        for stream in heard.iter().filter(|stream| stream.latest_start == stream.start) {
            let Some(uri) = stream.keys.map(|keys| keys.uri).filter(|uri| wanted.contains_key(uri)) else { continue };
            let (ends, starts) = of_uri.entry(uri).or_default();
            ends.push(stream.end);
            starts.push(stream.start);
        }
        for (ends, starts) in of_uri.values_mut() {
            ends.sort_unstable();
            starts.sort_unstable();
        }
        for play in told {
            let Some((ends, starts)) = of_uri.get(&play.keys.uri) else { continue };
            let at = play.at();
            match (only(near(ends, at)), only(near(starts, at))) {
                (Near::One(end), Near::None) => {
                    self.num_ends += u64::from((at - end).abs() <= EARLY_MS);
                    self.end_offsets[bin(at - end)] += 1;
                }
                (Near::None, Near::One(start)) => {
                    self.num_starts += u64::from((at - start).abs() <= EARLY_MS);
                    self.start_offsets[bin(at - start)] += 1;
                }
                (Near::Several, Near::None) => self.num_ends += 1,
                (Near::None, Near::Several) => self.num_starts += 1,
                (Near::One(_) | Near::Several, Near::One(_) | Near::Several) | (Near::None, Near::None) => {}
            }
        }
    }

    /// Follows the majority; without one, the end.
    pub fn rule(&self) -> Rule {
        let meaning = if self.num_starts > self.num_ends { Meaning::Start } else { Meaning::End };
        let (most, least) = (self.num_starts.max(self.num_ends), self.num_starts.min(self.num_ends));
        let share = (least as f64 + 1.0) / (most as f64 + 2.0);
        Rule {
            meaning,
            is_unanimous: least * UNANIMOUS <= most,
            other_cost: cost(share).min(OTHER_COST_MAX),
            end_costs: costs(&self.end_offsets),
            start_costs: costs(&self.start_offsets),
        }
    }
}

enum Near {
    None,
    One(i64),
    Several,
}

fn only(near: &[i64]) -> Near {
    match near {
        [] => Near::None,
        [one] => Near::One(*one),
        [_, _, ..] => Near::Several,
    }
}

/// The part of the sorted moments that `at` can match.
fn near(moments: &[i64], at: i64) -> &[i64] {
    let from = moments.partition_point(|moment| *moment < at - LATE_MS);
    let to = moments.partition_point(|moment| *moment <= at + EARLY_MS);
    &moments[from..to]
}

fn bin(offset: i64) -> usize {
    usize::try_from((offset + EARLY_MS) / BIN_MS).unwrap_or(0).min(NUM_BINS - 1)
}

/// The cost of each offset: at first its distance, and the more is known, the more it depends on what is usual.
fn costs(bins: &[u32; NUM_BINS]) -> [i64; NUM_BINS] {
    std::array::from_fn(|at| {
        let around = &bins[at.saturating_sub(SMOOTH)..(at + SMOOTH + 1).min(NUM_BINS)];
        let count: u32 = around.iter().sum();
        let offset = (at as i64 * BIN_MS + BIN_MS / 2 - EARLY_MS).unsigned_abs();
        let before = NUM_BEFORE * (-(offset as f64) / 1000.0).exp();
        let total: u32 = bins.iter().sum();
        cost((f64::from(count) / around.len() as f64 + before) / (f64::from(total) + NUM_BEFORE * 20.0))
    })
}

fn cost(share: f64) -> i64 {
    (-100.0 * share.ln()) as i64
}

/// Where a play may lie around a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Around(Meaning),
    /// Around the end or the beginning.
    Either,
    Anywhere(Meaning),
}

impl Window {
    /// Bounds of the moments at which a play can be this stream; [`Window::cost`] excludes some between them.
    fn range(self, stream: &HeardAt) -> (i64, i64) {
        match self {
            Window::Around(Meaning::End) => (stream.end - EARLY_MS, stream.latest_end + LATE_MS),
            Window::Around(Meaning::Start) => (stream.earliest_start - EARLY_MS, stream.latest_start + LATE_MS),
            Window::Either => (stream.earliest_start - EARLY_MS, stream.latest_end + LATE_MS),
            Window::Anywhere(_) => {
                let last = stream.latest_end.max(stream.logged);
                (stream.start - BEFORE_START.num_milliseconds(), last + AFTER_END.num_milliseconds())
            }
        }
    }

    /// How unlikely it is that the play of this moment is the stream; `None`: it cannot be.
    fn cost(self, stream: &HeardAt, at: i64, rule: &Rule) -> Option<i64> {
        let around = |meaning: Meaning| {
            let (usual, from, to, costs) = match meaning {
                Meaning::End => (stream.end, stream.end, stream.latest_end, &rule.end_costs),
                Meaning::Start => (stream.start, stream.earliest_start, stream.latest_start, &rule.start_costs),
            };
            let near = |offset: i64| (-EARLY_MS..=LATE_MS).contains(&offset).then(|| costs[bin(offset)]);
            let outside = if at < from { at - from } else { (at - to).max(0) };
            let stretch = near(outside)
                .filter(|_| from < to)
                .map(|cost| if outside == 0 { WITHIN_COST } else { WITHIN_COST.max(cost) });
            let best = near(at - usual).into_iter().chain(stretch).min().filter(|cost| *cost < COST_MAX);
            best.map(|cost| cost + if meaning == rule.meaning { 0 } else { rule.other_cost })
        };
        match self {
            Window::Around(meaning) => around(meaning),
            Window::Either => around(Meaning::End).into_iter().chain(around(Meaning::Start)).min(),
            Window::Anywhere(meaning) => {
                let (lower, upper) = self.range(stream);
                let from = if meaning == Meaning::End { stream.end } else { stream.start };
                (lower..=upper).contains(&at).then(|| (at - from).abs() / 10)
            }
        }
    }
}

/// A key that a stream and a play have to share.
type SameBy = (fn(&HeardAt) -> Option<u64>, fn(&TrackKeys) -> Option<u64>);

/// Keys of the same recording, the most certain first.
const RECORDING: [SameBy; 4] = [
    (|heard| heard.keys?.isrc, |told| told.isrc),
    (|heard| Some(heard.keys?.uri), |told| Some(told.uri)),
    (|heard| heard.keys?.names, |told| told.names),
    (|heard| heard.keys?.names, |told| told.other_names),
];

/// Nothing but the time, as the export has lost the names.
const NAMELESS: [SameBy; 1] = [(|heard| heard.keys.is_none().then_some(0), |_| Some(0))];

/// Pairs streams with plays, one to one.
pub fn pair(heard: &[HeardAt], told: &[ToldAt], rule: &Rule) -> Vec<StreamPair> {
    let this = rule.meaning;
    let other = match this {
        Meaning::End => Meaning::Start,
        Meaning::Start => Meaning::End,
    };
    let recordings: &[Window] = if rule.is_unanimous { &[Window::Around(this)] } else { &[Window::Either] };
    let first = recordings.iter().map(|window| (*window, &RECORDING[..]));
    let nameless = (Window::Around(this), &NAMELESS[..]);
    let last: [(Window, &[SameBy]); 3] =
        [(Window::Around(other), &RECORDING), (Window::Around(other), &NAMELESS), (Window::Anywhere(this), &RECORDING)];
    let passes = first.chain([nameless]).chain(last);
    let mut left = Left { heard: vec![true; heard.len()], told: vec![true; told.len()] };
    let mut pairs = Vec::new();
    for (window, same) in passes {
        loop {
            let before = pairs.len();
            for same_by in same {
                pass(heard, told, rule, window, *same_by, &mut left, &mut pairs);
            }
            if pairs.len() == before {
                break;
            }
        }
    }
    pairs
}

/// What is not paired yet.
struct Left {
    heard: Vec<bool>,
    told: Vec<bool>,
}

fn pass(
    heard: &[HeardAt],
    told: &[ToldAt],
    rule: &Rule,
    window: Window,
    (of_heard, of_told): SameBy,
    left: &mut Left,
    pairs: &mut Vec<StreamPair>,
) {
    // In the order of their keys, so that the same data gives the same pairs.
    let mut groups: BTreeMap<u64, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (at, play) in told.iter().enumerate().filter(|(at, _)| left.told[*at]) {
        if let Some(key) = of_told(&play.keys) {
            groups.entry(key).or_default().1.push(at);
        }
    }
    for (at, stream) in heard.iter().enumerate().filter(|(at, _)| left.heard[*at]) {
        if let Some((streams, _)) = of_heard(stream).and_then(|key| groups.get_mut(&key)) {
            streams.push(at);
        }
    }
    for (streams, plays) in groups.into_values() {
        for (stream, play) in align::align(heard, told, streams, plays, window, rule) {
            left.heard[stream] = false;
            left.told[play] = false;
            let (stream, play) = (&heard[stream], &told[play]);
            let (offset_ms, from_start_ms) = (play.at() - stream.end, play.at() - stream.start);
            pairs.push(StreamPair { stream: stream.id, play: play.key.clone(), offset_ms, from_start_ms });
        }
    }
}

/// Finds the imported streams of plays that the API reports later.
pub fn pair_page(page: &PlaysPage, known: &KnownPlays) -> Vec<StreamPair> {
    if known.streams.is_empty() {
        return Vec::new();
    }
    let plays = page.plays().filter(|play| !known.paired.contains(&play.key()));
    // A row that the API gives twice is one play.
    let told: BTreeMap<play::PlayKey, ToldAt> = plays.map(|play| (play.key(), ToldAt::of(play))).collect();
    let told: Vec<ToldAt> = told.into_values().collect();
    let rule = known.meaning.map_or_else(
        || {
            let mut votes = Votes::default();
            votes.count(&known.streams, &told);
            votes.rule()
        },
        Rule::of,
    );
    pair(&known.streams, &told, &rule)
}
