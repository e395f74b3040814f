//! Which stream of a data export is which play that the API told.
//!
//! The export says when a stream began and ended, to the second. The API says one moment to the millisecond, and nowhere
//! whether that is the beginning or the end; it hears of a play late, and sometimes under another id of the same
//! recording. So the meaning is decided from the data, once per import, and then pairs are looked for in three passes:
//!
//! | pass | the moment of the play lies |
//! |---|---|
//! | 1 | 3 s before to 5 s after what it means: the end or the beginning of the stream |
//! | 2 | the same around the other one |
//! | 3 | anywhere from 15 s before the beginning to 60 s after the end, or after it was logged if it was heard offline |
//!
//! Between the second and the third, streams that the export has lost the names of are taken for the plays that end, or
//! begin, when they do.
//!
//! Each stream and each play is used once. Within a pass the same id comes first, then the same ISRC, then the same title
//! and artist. Of one recording, streams and plays come in the same order, and as many of them as possible are paired;
//! of several ways to do so the one with the smallest offsets counts, measured from the usual one. That matters where a
//! track is repeated or skipped within seconds: whoever takes the nearest first pairs them crosswise or leaves one over.
//!
//! A pass is repeated until it finds nothing more. So the same import again finds nothing.

mod align;
#[cfg(test)]
mod tests;

use crate::model::KnownPlays;
use crate::model::stream::{AFTER_END, BEFORE_START, HeardAt, Meaning, StreamPair, ToldAt, TrackKeys};
use crate::model::{PlaysPage, play};
use std::collections::{BTreeMap, HashMap};

/// What counts as the same moment: the export has whole seconds, and the API's clock is another one.
const EARLY_MS: i64 = 3000;
const LATE_MS: i64 = 5000;

/// Offsets are counted in bins of this width.
const BIN_MS: i64 = 100;
const NUM_BINS: usize = ((EARLY_MS + LATE_MS) / BIN_MS) as usize;

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

/// How pairs are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub meaning: Meaning,
    /// The usual offset from an end, and from a beginning.
    end_usual: i64,
    start_usual: i64,
}

impl Rule {
    /// Before anything is known of the offsets.
    pub fn of(meaning: Meaning) -> Rule {
        Rule { meaning, end_usual: 0, start_usual: 0 }
    }
}

impl Votes {
    /// Counts the votes of some plays. Only the same id counts here: it is no place for doubt.
    pub fn count(&mut self, heard: &[HeardAt], told: &[ToldAt]) {
        let wanted: HashMap<u64, ()> = told.iter().map(|play| (play.keys.uri, ())).collect();
        let mut of_uri: HashMap<u64, (Vec<i64>, Vec<i64>)> = HashMap::new();
        for stream in heard.iter().filter(|stream| stream.slack == 0) {
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

    /// The majority, and the end where there is none.
    pub fn rule(&self) -> Rule {
        let meaning = if self.num_starts > self.num_ends { Meaning::Start } else { Meaning::End };
        Rule { meaning, end_usual: median(&self.end_offsets), start_usual: median(&self.start_offsets) }
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

/// Of sorted moments those that `at` can be.
fn near(moments: &[i64], at: i64) -> &[i64] {
    let from = moments.partition_point(|moment| *moment < at - LATE_MS);
    let to = moments.partition_point(|moment| *moment <= at + EARLY_MS);
    &moments[from..to]
}

fn bin(offset: i64) -> usize {
    usize::try_from((offset + EARLY_MS) / BIN_MS).unwrap_or(0).min(NUM_BINS - 1)
}

fn median(bins: &[u32; NUM_BINS]) -> i64 {
    let total: u64 = bins.iter().map(|count| u64::from(*count)).sum();
    let mut before = 0;
    for (at, count) in bins.iter().enumerate() {
        before += u64::from(*count);
        if total > 0 && before * 2 >= total {
            return i64::try_from(at).unwrap_or(0) * BIN_MS - EARLY_MS + BIN_MS / 2;
        }
    }
    0
}

/// Where a play may lie around a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Around(Meaning),
    Anywhere(Meaning),
}

impl Window {
    /// The moments of a play that can be this stream.
    fn range(self, stream: &HeardAt) -> (i64, i64) {
        match self {
            Window::Around(Meaning::End) => (stream.end - EARLY_MS, stream.end + stream.slack + LATE_MS),
            Window::Around(Meaning::Start) => (stream.start - EARLY_MS, stream.start + stream.slack + LATE_MS),
            Window::Anywhere(_) => {
                let last = (stream.end + stream.slack).max(stream.logged);
                (stream.start - BEFORE_START.num_milliseconds(), last + AFTER_END.num_milliseconds())
            }
        }
    }

    /// How far from the usual place it lies.
    fn distance(self, stream: &HeardAt, at: i64, rule: &Rule) -> i64 {
        let (Window::Around(meaning) | Window::Anywhere(meaning)) = self;
        let (from, usual) = match meaning {
            Meaning::End => (stream.end, rule.end_usual),
            Meaning::Start => (stream.start, rule.start_usual),
        };
        match at - from {
            within if stream.slack > 0 && (0..=stream.slack).contains(&within) => 0,
            offset => (offset - usual).abs(),
        }
    }
}

/// What makes two the same: what a stream and a play have to have in common.
type SameBy = (fn(&HeardAt) -> Option<u64>, fn(&TrackKeys) -> Option<u64>);

/// The same recording, the surest first.
const RECORDING: [SameBy; 4] = [
    (|heard| Some(heard.keys?.uri), |told| Some(told.uri)),
    (|heard| heard.keys?.isrc, |told| told.isrc),
    (|heard| heard.keys?.names, |told| told.names),
    (|heard| heard.keys?.names, |told| told.other_names),
];

/// Nothing but the time: the export has lost the names.
const NAMELESS: [SameBy; 1] = [(|heard| heard.keys.is_none().then_some(0), |_| Some(0))];

/// Pairs streams with plays, one to one.
pub fn pair(heard: &[HeardAt], told: &[ToldAt], rule: &Rule) -> Vec<StreamPair> {
    let this = rule.meaning;
    let other = match this {
        Meaning::End => Meaning::Start,
        Meaning::Start => Meaning::End,
    };
    let passes: [(Window, &[SameBy]); 5] = [
        (Window::Around(this), &RECORDING),
        (Window::Around(other), &RECORDING),
        (Window::Around(this), &NAMELESS),
        (Window::Around(other), &NAMELESS),
        (Window::Anywhere(this), &RECORDING),
    ];
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

/// Finds the streams of plays that the API tells after they were imported.
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
