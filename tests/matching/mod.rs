//! How well an export is matched with the plays that the API reported, measured on lives that are fully known.
//!
//! | number | counts |
//! |---|---|
//! | rows | what would be in the database: streams, and plays that no stream is paired with |
//! | doubled | listens that are there once too often |
//! | lost | listens that are not there, as another one has taken their row |
//! | wrong | pairs of two different listens |
//! | really doubled, really lost | the same, except for two that were mistaken for each other and that nothing distinguishes, see [`is_alike`] |
//!
//! The row of a pair stands for the listen of its play, since the play gives it its moment.

use segno::{
    data_export::Export,
    engine::matching::{Votes, pair},
    model::stream::{HeardAt, Meaning, StreamKind, ToldAt, TrackKeys},
    sandbox::listener::{Generation, Life, Told, ToldAs},
};
use std::{collections::HashMap, fs};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    pub plays: usize,
    pub told: usize,
    pub rows: usize,
    pub doubled: usize,
    pub lost: usize,
    pub wrong: usize,
    pub really_doubled: usize,
    pub really_lost: usize,
    /// Lives whose meaning was decided correctly.
    pub num_decided: usize,
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Score) {
        self.plays += other.plays;
        self.told += other.told;
        self.rows += other.rows;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.really_doubled += other.really_doubled;
        self.really_lost += other.really_lost;
        self.num_decided += other.num_decided;
    }
}

/// Lives `num_plays` long, told one way, exported in one format.
pub fn score(seed: u64, num_plays: usize, told_as: ToldAs, generation: Generation) -> Score {
    let life = Life::new(seed, num_plays, told_as);
    let heard = heard(&life, generation);
    let told: Vec<ToldAt> = life
        .told
        .iter()
        .map(|told| {
            let at = chrono::DateTime::from_timestamp_millis(told.played_at).expect("a moment");
            let names = TrackKeys::of_names(&told.title, &told.artist);
            let isrc = Some(TrackKeys::of_isrc(&told.isrc));
            let keys = TrackKeys { uri: TrackKeys::of_uri(&told.uri), isrc, names, other_names: None };
            ToldAt { key: (at, told.uri.clone()), keys }
        })
        .collect();
    let mut votes = Votes::default();
    votes.count(&heard, &told);
    let rule = votes.rule();
    let truth: HashMap<_, usize> = told.iter().zip(&life.told).map(|(told, life)| (&told.key, life.heard)).collect();
    let pairs = pair(&heard, &told, &rule);
    // How often each listen is in the database.
    let mut times = vec![1_i32; life.heard.len()];
    life.told.iter().for_each(|told| times[told.heard] += 1);
    pairs.iter().for_each(|found| times[found.stream as usize] -= 1);
    let place: HashMap<_, &Told> = told.iter().zip(&life.told).map(|(told, life)| (&told.key, life)).collect();
    let swaps = pairs.iter().map(|found| (place[&found.play], found.stream as usize));
    let surplus = surplus(&times, swaps.filter(|(play, stream)| is_alike(&life, play, *stream)));
    let expected = if told_as == ToldAs::Starts { Meaning::Start } else { Meaning::End };
    Score {
        plays: life.heard.len(),
        told: told.len(),
        rows: life.heard.len() + told.len() - pairs.len(),
        doubled: times.iter().filter(|times| **times > 1).count(),
        lost: times.iter().filter(|times| **times < 1).count(),
        really_doubled: surplus.values().filter(|surplus| **surplus > 0).count(),
        really_lost: surplus.values().filter(|surplus| **surplus < 0).count(),
        wrong: pairs.iter().filter(|found| truth[&found.play] as i64 != found.stream).count(),
        num_decided: usize::from(rule.meaning == expected),
    }
}

/// How many surplus rows there are for groups of listens that nothing distinguishes.
fn surplus<'a>(times: &[i32], swaps: impl Iterator<Item = (&'a Told, usize)>) -> HashMap<usize, i32> {
    let mut group: Vec<usize> = (0..times.len()).collect();
    let first = |group: &[usize], mut at: usize| {
        while group[at] != at {
            at = group[at];
        }
        at
    };
    for (play, stream) in swaps {
        let (one, other) = (first(&group, play.heard), first(&group, stream));
        group[one.max(other)] = one.min(other);
    }
    let mut surplus = HashMap::new();
    for (at, times) in times.iter().enumerate() {
        *surplus.entry(first(&group, at)).or_default() += times - 1;
    }
    surplus
}

/// Whether a play fits one listen as well as another: the same track, or two that have lost their names in the export,
/// which began or ended within the second that the export resolves plus the two by which the API varies. The database
/// then has the right number of rows, tracks, minutes and moments; which of the two the API reported cannot be known.
fn is_alike(life: &Life, play: &Told, other: usize) -> bool {
    let (own, other) = (&life.heard[play.heard], &life.heard[other]);
    let near = |moment: i64| (moment - play.played_at).abs() <= 3000;
    (own.track == other.track || (own.is_lost && other.is_lost)) && (near(other.end) || near(other.start))
}

/// The streams read from the export, each with its place in the life.
fn heard(life: &Life, generation: Generation) -> Vec<HeardAt> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut heard = Vec::new();
    for file in life.export(generation) {
        let path = folder.path().join(&file.name);
        fs::write(&path, &file.text).expect("a file");
        let mut streams = Vec::new();
        let read = Export::find(&[path]).expect("a file").read(|batch| {
            streams.extend(batch.streams);
            Ok(())
        });
        assert!(read.is_ok() && streams.len() == file.heard.len());
        for (stream, place) in streams.into_iter().zip(&file.heard) {
            let is_named = stream.kind == StreamKind::Track;
            let uri = stream.uri.as_deref().unwrap_or_default();
            // As known to the catalogue, from a sync.
            let isrc = format!("ZZAAA{:07}", life.heard[*place].track);
            let keys = is_named.then(|| TrackKeys {
                uri: TrackKeys::of_uri(uri),
                isrc: Some(TrackKeys::of_isrc(&isrc)),
                names: TrackKeys::of_names(
                    stream.name.as_deref().unwrap_or_default(),
                    stream.creator.as_deref().unwrap_or_default(),
                ),
                other_names: None,
            });
            let (start, end) = (stream.started_at.timestamp_millis(), stream.ended_at.timestamp_millis());
            let logged = stream.logged_at.timestamp_millis();
            let exact = HeardAt::exact(*place as i64, start, end, keys);
            heard.push(HeardAt { logged, ms_played: stream.ms_played, ..exact });
        }
    }
    heard.sort_by_key(|stream| (stream.end, stream.id));
    HeardAt::bound_each_other(&mut heard, |stream| life.heard[stream.id as usize].offline_until.is_some());
    heard
}
