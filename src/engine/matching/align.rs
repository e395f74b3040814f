//! Pairs the streams and plays of one recording within one pass: as many as possible, in order, with the smallest
//! distances.

use super::{Rule, Window};
use crate::model::stream::{HeardAt, ToldAt};
use std::cmp::Reverse;

/// Largest table of one cluster. A track that was repeated five hundred times without a break fits.
const CELLS_MAX: usize = 300_000;

/// The API often leaves out skipped tracks.
const SKIPPED_COST: i64 = 200;

/// The API seldom reports another id of the same recording.
const OTHER_ID_COST: i64 = 300;

/// How good a pairing is: how many pairs, how unlikely they are, how much was played.
type Score = (u32, Reverse<i64>, i64);

/// Pairs as positions in `heard` and `told`.
pub fn align(
    heard: &[HeardAt],
    told: &[ToldAt],
    mut streams: Vec<usize>,
    mut plays: Vec<usize>,
    window: Window,
    rule: &Rule,
) -> Vec<(usize, usize)> {
    if streams.is_empty() || plays.is_empty() {
        return Vec::new();
    }
    let range = |stream: &usize| window.range(&heard[*stream]);
    let place = |stream: usize| match window {
        Window::Around(crate::model::stream::Meaning::Start) => (heard[stream].start, heard[stream].end, stream),
        Window::Around(_) | Window::Either | Window::Anywhere(_) => (heard[stream].end, heard[stream].start, stream),
    };
    let longest = streams.iter().map(|stream| heard[*stream].ms_played).max().unwrap_or(0);
    let whole = longest - longest / 20;
    plays.sort_by_key(|play| (told[*play].at(), *play));
    // Clusters: no play can be a stream of two of them.
    streams.sort_by_key(|stream| (range(stream).0, *stream));
    let mut pairs = Vec::new();
    let (mut rest, mut from) = (&streams[..], 0);
    while let Some(first) = rest.first() {
        let (lower, mut upper) = range(first);
        let mut len = 1;
        while let Some(next) = rest.get(len).filter(|next| range(next).0 <= upper) {
            upper = upper.max(range(next).1);
            len += 1;
        }
        let (cluster, others) = rest.split_at(len);
        rest = others;
        from += plays[from..].partition_point(|play| told[*play].at() < lower);
        let to = from + plays[from..].partition_point(|play| told[*play].at() <= upper);
        if from < to {
            let mut cluster = cluster.to_vec();
            cluster.sort_by_key(|stream| place(*stream));
            let cost = |stream: usize, play: usize| {
                let (heard, told) = (&heard[stream], &told[play]);
                let seldom = if heard.ms_played < whole { SKIPPED_COST } else { 0 };
                let is_other = heard.keys.is_some_and(|keys| keys.uri != told.keys.uri);
                let other = if is_other { OTHER_ID_COST } else { 0 };
                window.cost(heard, told.at(), rule).map(|cost| cost + seldom + other)
            };
            let played = |stream: usize| heard[stream].ms_played;
            pairs.extend(best(&cluster, &plays[from..to], &cost, &played));
        }
        from = to;
    }
    pairs
}

fn best(
    streams: &[usize],
    plays: &[usize],
    cost: &dyn Fn(usize, usize) -> Option<i64>,
    played: &dyn Fn(usize) -> i64,
) -> Vec<(usize, usize)> {
    if let ([stream], [play]) = (streams, plays) {
        return cost(*stream, *play).map(|_| (*stream, *play)).into_iter().collect();
    }
    let width = plays.len() + 1;
    if (streams.len() + 1).saturating_mul(width) > CELLS_MAX {
        return nearest_first(streams, plays, cost, played);
    }
    // The best score of the first i streams and the first j plays.
    let mut table: Vec<Score> = vec![(0, Reverse(0), 0); (streams.len() + 1) * width];
    let paired = |table: &[Score], i: usize, j: usize| {
        let (stream, play) = (streams[i - 1], plays[j - 1]);
        let (num, Reverse(distance), ms) = table[(i - 1) * width + j - 1];
        cost(stream, play).map(|more| (num + 1, Reverse(distance + more), ms + played(stream)))
    };
    for i in 1..=streams.len() {
        for j in 1..=plays.len() {
            let apart = table[(i - 1) * width + j].max(table[i * width + j - 1]);
            table[i * width + j] = paired(&table, i, j).map_or(apart, |together| together.max(apart));
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (streams.len(), plays.len());
    while i > 0 && j > 0 {
        let here = table[i * width + j];
        if here == table[(i - 1) * width + j] {
            i -= 1;
        } else if here == table[i * width + j - 1] {
            j -= 1;
        } else {
            pairs.push((streams[i - 1], plays[j - 1]));
            (i, j) = (i - 1, j - 1);
        }
    }
    pairs
}

/// For clusters that are too large for the table.
fn nearest_first(
    streams: &[usize],
    plays: &[usize],
    cost: &dyn Fn(usize, usize) -> Option<i64>,
    played: &dyn Fn(usize) -> i64,
) -> Vec<(usize, usize)> {
    /// Most candidates of one play.
    const CANDIDATES_MAX: usize = 64;
    let mut candidates = Vec::new();
    for play in plays {
        let mut of_play: Vec<_> = streams
            .iter()
            .filter_map(|stream| cost(*stream, *play).map(|cost| (cost, Reverse(played(*stream)), *stream, *play)))
            .collect();
        of_play.sort_unstable();
        of_play.truncate(CANDIDATES_MAX);
        candidates.extend(of_play);
    }
    candidates.sort_unstable();
    let (mut used_streams, mut used_plays) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    let mut pairs = Vec::new();
    for (_, _, stream, play) in candidates {
        if !used_streams.contains(&stream) && !used_plays.contains(&play) {
            used_streams.insert(stream);
            used_plays.insert(play);
            pairs.push((stream, play));
        }
    }
    pairs
}
