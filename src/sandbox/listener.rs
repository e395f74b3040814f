//! The life of a listener, as told by both of Spotify's sources: the data export, which contains all of it, and the Web
//! API, which knows most.
//!
//! It contains what happens to people: a song on repeat, songs skipped within seconds, a pause over dinner, a flight
//! without a network, an evening in a private session, a music video, another id for the same recording, and rows that
//! have lost their names at Spotify. Everything comes from one seed.

use fastrand::Rng;
use serde_json::{Value, json};

/// What the API's moment means in this life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldAs {
    Ends,
    Starts,
    /// Four ends to one start: clients differ.
    Mixed,
}

impl ToldAs {
    pub const ALL: [ToldAs; 3] = [ToldAs::Ends, ToldAs::Starts, ToldAs::Mixed];
}

/// The three formats that the extended history has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 21 keys, until 2024: `endsong_0.json`.
    Old,
    /// 19 keys, in 2024.
    Middle,
    /// 23 keys, since 2025.
    New,
}

impl Generation {
    pub const ALL: [Generation; 3] = [Generation::Old, Generation::Middle, Generation::New];
}

/// Something that was heard, in unix milliseconds.
#[derive(Clone, Debug)]
pub struct Listening {
    pub start: i64,
    pub end: i64,
    pub ms_played: i64,
    pub track: usize,
    /// Logged this much later, when the device was online again.
    pub offline_until: Option<i64>,
    pub is_private: bool,
    pub is_video: bool,
    /// Whether the export has lost its name.
    pub is_lost: bool,
    pub is_skipped: bool,
}

/// A play as the API reports it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its index in [`Life::heard`].
    pub heard: usize,
    pub played_at: i64,
    pub uri: String,
    pub isrc: String,
    pub title: String,
    pub artist: String,
}

/// A file of the export, and the listen of each of its rows.
#[derive(Clone, Debug)]
pub struct ExportFile {
    pub name: String,
    pub text: String,
    pub heard: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Life {
    pub heard: Vec<Listening>,
    pub told: Vec<Told>,
}

/// Different tracks of a life.
const TRACKS: usize = 900;

/// Rows of one file.
const FILE_LEN: usize = 16_000;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// 2021-01-01.
const BIRTH: i64 = 1_609_459_200_000;

/// Until this date `offline_timestamp` was in milliseconds.
const MILLISECONDS_UNTIL: i64 = 1_672_531_200_000;

impl Life {
    pub fn new(seed: u64, num_plays: usize, told_as: ToldAs) -> Life {
        let mut rng = Rng::with_seed(seed);
        let mut heard = Vec::with_capacity(num_plays);
        let (mut now, mut track) = (BIRTH, 0);
        let mut offline_until = None;
        while heard.len() < num_plays {
            // Silence between songs: days and evenings.
            now += match rng.u32(..1000) {
                0..12 => rng.i64(6 * 60 * MINUTE..DAY),
                12..40 => rng.i64(MINUTE..120 * MINUTE),
                40..400 => rng.i64(0..2 * SECOND),
                _ => 0,
            };
            if rng.f64() >= 0.12 {
                track = rng.usize(..TRACKS);
            }
            if offline_until.is_some_and(|until| now > until) {
                offline_until = None;
            }
            if offline_until.is_none() && rng.f64() < 0.005 {
                offline_until = Some(now + rng.i64(10 * MINUTE..DAY));
            }
            let length = length_of(track);
            let is_skipped = rng.f64() < 0.3;
            let ms_played = if is_skipped { rng.i64(0..length) * rng.i64(0..=10) / 10 } else { length };
            let pause = if rng.f64() < 0.04 { rng.i64(SECOND..30 * MINUTE) } else { 0 };
            let (start, end) = (now, now + ms_played + pause);
            now = end;
            heard.push(Listening {
                start,
                end,
                ms_played,
                track,
                offline_until: offline_until.map(|until: i64| until.max(end)),
                is_private: rng.f64() < 0.02,
                is_video: rng.f64() < 0.02,
                is_lost: rng.f64() < 0.01,
                is_skipped,
            });
        }
        let told = tell(&mut rng, &heard, told_as);
        Life { heard, told }
    }

    /// The files of an export.
    pub fn export(&self, generation: Generation) -> Vec<ExportFile> {
        let of_kind = |is_video: bool| -> Vec<usize> {
            (0..self.heard.len()).filter(|at| self.heard[*at].is_video == is_video).collect()
        };
        let mut files = Vec::new();
        for (is_video, places) in [(false, of_kind(false)), (true, of_kind(true))] {
            for (number, places) in places.chunks(FILE_LEN).enumerate() {
                let rows: Vec<Value> = places.iter().map(|at| self.row(*at, generation)).collect();
                let name = match (generation, is_video) {
                    (Generation::Old, false) => format!("endsong_{number}.json"),
                    (Generation::Old, true) => "endvideo.json".to_owned(),
                    (_, false) => format!("Streaming_History_Audio_2021-2026_{number}.json"),
                    (_, true) => "Streaming_History_Video_2021-2026.json".to_owned(),
                };
                let text = match generation {
                    Generation::New => serde_json::to_string_pretty(&rows),
                    Generation::Old | Generation::Middle => serde_json::to_string(&rows),
                };
                files.push(ExportFile { name, text: text.expect("rows are JSON"), heard: places.to_vec() });
            }
        }
        files
    }

    fn row(&self, at: usize, generation: Generation) -> Value {
        let listening = &self.heard[at];
        let Listening { start, ms_played, track, offline_until, .. } = *listening;
        let logged = offline_until.unwrap_or(listening.end);
        // Known for nearly all.
        let offline_timestamp = match at % 100 {
            0 => json!(0),
            1 => json!(null),
            _ if start < MILLISECONDS_UNTIL => json!(start),
            _ => json!(start / SECOND),
        };
        // An offline stream cannot be placed without its beginning.
        let offline_timestamp = if offline_until.is_some() { json!(start / SECOND) } else { offline_timestamp };
        let named = |text: String| if listening.is_lost { json!(null) } else { json!(text) };
        let mut row = json!({
            "ts": text_of(logged / SECOND),
            "platform": "android",
            "ms_played": ms_played,
            "conn_country": "NL",
            "master_metadata_track_name": named(title_of(track)),
            "master_metadata_album_artist_name": named(artist_of(track)),
            "master_metadata_album_album_name": named(format!("Album {}", track / 10)),
            "spotify_track_uri": named(uri_of(track, false)),
            "episode_name": null,
            "episode_show_name": null,
            "spotify_episode_uri": null,
            "reason_start": "trackdone",
            "reason_end": if listening.is_skipped { "fwdbtn" } else { "trackdone" },
            "shuffle": false,
            "skipped": listening.is_skipped,
            "offline": offline_until.is_some(),
            "offline_timestamp": offline_timestamp,
            "incognito_mode": listening.is_private,
        });
        let more = match generation {
            Generation::Old => {
                json!({"username": "u1", "ip_addr_decrypted": "192.0.2.7", "user_agent_decrypted": "unknown"})
            }
            Generation::Middle => json!({"ip_addr": "192.0.2.7"}),
            Generation::New => json!({"ip_addr": "192.0.2.7", "audiobook_title": null, "audiobook_uri": null,
                "audiobook_chapter_uri": null, "audiobook_chapter_title": null}),
        };
        let fields = row.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        row
    }
}

/// The plays that the API knows, oldest first: about seven of ten, skipped ones seldom, private ones never.
fn tell(rng: &mut Rng, heard: &[Listening], told_as: ToldAs) -> Vec<Told> {
    let mut told = Vec::new();
    for (at, listening) in heard.iter().enumerate() {
        let seen = if listening.is_skipped { 0.4 } else { 0.86 };
        if listening.is_private || rng.f64() >= seen {
            continue;
        }
        let is_end = match told_as {
            ToldAs::Ends => true,
            ToldAs::Starts => false,
            ToldAs::Mixed => rng.f64() < 0.8,
        };
        let moment = if is_end { listening.end } else { listening.start };
        // Another id of the same recording, as the API relinks it in another market.
        let is_linked = rng.f64() < 0.03;
        told.push(Told {
            heard: at,
            played_at: moment + rng.i64(-200..1500),
            uri: uri_of(listening.track, is_linked),
            isrc: format!("ZZAAA{:07}", listening.track),
            title: title_of(listening.track),
            artist: artist_of(listening.track),
        });
    }
    told.sort_by_key(|told| told.played_at);
    told
}

fn length_of(track: usize) -> i64 {
    // Some are jingles.
    if track.is_multiple_of(40) { 4 * SECOND } else { 120 * SECOND + (track as i64 * 7919) % (180 * SECOND) }
}

fn title_of(track: usize) -> String {
    format!("Song {track}")
}

fn artist_of(track: usize) -> String {
    format!("Artist {}", track / 30)
}

fn uri_of(track: usize, is_linked: bool) -> String {
    format!("spotify:track:{}{track:021}", if is_linked { 'L' } else { '0' })
}

fn text_of(seconds: i64) -> String {
    let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_everything_that_makes_matching_hard() {
        let life = Life::new(7, 4000, ToldAs::Mixed);
        let share = |is: fn(&Listening) -> bool| life.heard.iter().filter(|heard| is(heard)).count() as f64 / 4000.0;
        assert!((0.25..0.35).contains(&share(|heard| heard.is_skipped)));
        assert!(share(|heard| heard.offline_until.is_some()) > 0.02);
        assert!(share(|heard| heard.end - heard.start > heard.ms_played) > 0.02);
        assert!(share(|heard| heard.is_lost) > 0.004 && share(|heard| heard.is_private) > 0.01);
        let repeats = life.heard.windows(2).filter(|pair| pair[0].track == pair[1].track).count();
        assert!((400..600).contains(&repeats), "{repeats}");
        assert!((0.6..0.8).contains(&(life.told.len() as f64 / 4000.0)), "{}", life.told.len());
        assert!(life.heard.windows(2).all(|pair| pair[0].end <= pair[1].start), "one thing at a time");
    }

    #[test]
    fn each_generation_has_its_keys_and_its_files() {
        let life = Life::new(7, 300, ToldAs::Ends);
        for (generation, num_keys, first) in [
            (Generation::Old, 21, "endsong_0.json"),
            (Generation::Middle, 19, "Streaming_History_Audio_2021-2026_0.json"),
            (Generation::New, 23, "Streaming_History_Audio_2021-2026_0.json"),
        ] {
            let files = life.export(generation);
            assert_eq!((files[0].name.as_str(), files.len()), (first, 2));
            let rows: Vec<Value> = serde_json::from_str(&files[0].text).expect("JSON");
            assert_eq!(rows[0].as_object().expect("a row").len(), num_keys);
            assert_eq!(rows.len() + files[1].heard.len(), 300);
        }
    }
}
