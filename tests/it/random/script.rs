//! What happens in a life: how large the library is, what a person does to it, what fails, and when the process dies.
//! Everything is random; anything that depends on the library uses it as it is when the round begins.

use super::super::support::{Library, entity_types};
use fastrand::Rng;
use serde_json::{Value, json};
use std::fmt;

/// Sizes at which pages and batches end, and others.
const SIZES: [u32; 10] = [1, 20, 49, 50, 51, 99, 120, 199, 200, 201];

/// Interesting places in a listing, besides its ends: where pages end.
const EDGES: [usize; 6] = [48, 49, 50, 98, 99, 196];

/// The families of a sync.
const FAMILIES: [&str; 8] =
    ["tracks", "albums", "artists", "playlists", "playlist_items", "shows", "episodes", "audiobooks"];

/// One command, and everything that happens meanwhile.
pub struct Round {
    /// Before it starts.
    pub edits_before: Vec<Value>,
    /// Edits at the n-th request, and faults.
    pub rules: Vec<Value>,
    pub args: Vec<&'static str>,
    pub env: Vec<(&'static str, String)>,
    pub latency_ms: u64,
    pub expires_tokens: bool,
    pub kill: Option<Kill>,
    /// The API gives false answers: what a command reports in this round proves nothing, and it may fail.
    pub is_misled: bool,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// Once this many requests have been answered; 0 is from its start.
    pub requests: u64,
    /// And then this much later.
    pub then_ms: u64,
}

/// The arguments of a sandbox.
pub fn library(rng: &mut Rng, seed: u64) -> Vec<String> {
    let tracks = if rng.bool() { rng.u32(220..420) } else { one_of(rng, &SIZES) };
    let sizes = [
        ("--tracks", tracks),
        ("--albums", one_of(rng, &SIZES).min(120)),
        ("--artists", one_of(rng, &SIZES).min(120)),
        // Their listing, too, has a second page now and then.
        ("--playlists", if rng.u8(..8) == 0 { 53 } else { rng.u32(1..14) }),
        ("--playlist-items", one_of(rng, &[0, 9, 49, 50, 60])),
        ("--shows", one_of(rng, &SIZES).min(60)),
        ("--episodes", one_of(rng, &SIZES).min(120)),
        ("--audiobooks", one_of(rng, &SIZES).min(60)),
        ("--seed", u32::try_from(seed % 1_000_000).expect("less than a million")),
    ];
    let mut args: Vec<String> = sizes.iter().flat_map(|(name, size)| [(*name).to_owned(), size.to_string()]).collect();
    if rng.bool() {
        args.push("--no-odd-rows".to_owned());
    }
    args
}

/// Whether an edit leaves counts, heads and snapshots as they were.
pub fn is_hidden(edit: &Value) -> bool {
    edit["op"] == "rename_track" || (edit["op"] == "add_tracks" && !edit["offset"].is_null())
}

impl Round {
    /// `gone` are tracks that may be saved again.
    pub fn new(rng: &mut Rng, library: &Library, gone: &[String], is_first: bool) -> Round {
        let mut dice = Dice { rng, library, gone, has_moved_playlist: false, was_unauthorized: false };
        // A first run sends more.
        let num_requests = if is_first { 40 } else { 12 };
        let mut rules: Vec<Value> = (0..dice.rng.u8(..5)).map(|_| dice.edit_at_a_request(num_requests)).collect();
        // After the edits, which would not be applied after a fault.
        rules.extend((0..dice.rng.u8(..4)).map(|_| dice.fault(num_requests)));
        if dice.rng.u8(..4) == 0 {
            rules.push(dice.slow_fault(num_requests));
        }
        // Before the faults, which decide the answer.
        let is_misled = dice.rng.u8(..3) == 0;
        let lies: Vec<Value> =
            (0..if is_misled { dice.rng.u8(1..4) } else { 0 }).map(|_| dice.lie(num_requests)).collect();
        rules.splice(0..0, lies);
        let edits_before = if is_first { Vec::new() } else { (0..dice.rng.u8(..5)).map(|_| dice.edit()).collect() };
        let args = match dice.rng.u8(..10) {
            _ if is_first => vec!["sync"],
            0..=1 => vec!["verify"],
            3..=4 => vec!["run"],
            2 => vec!["sync", one_of(dice.rng, &entity_types().collect::<Vec<_>>())],
            _ => vec!["sync"],
        };
        let mut env = vec![
            ("SEGNO_SYNC_INITIAL_BATCH_SIZE", one_of(dice.rng, &["50", "120", "200"]).to_owned()),
            ("SEGNO_SYNC_INCREMENTAL_BATCH_SIZE", one_of(dice.rng, &["20", "50"]).to_owned()),
        ];
        if dice.rng.u8(..6) == 0 {
            env.push(("SEGNO_FAULTS", dice.panics()));
        }
        let is_service = args == ["run"];
        if is_service {
            // Six hours become four seconds.
            env.push(("SEGNO_FAULT_HASTE", "5400".to_owned()));
        }
        let is_killed = is_service || dice.rng.u8(..10) < 6;
        let kill = is_killed.then(|| match dice.rng.u8(..6) {
            0 => Kill { requests: 0, then_ms: dice.rng.u64(..200) },
            _ => Kill { requests: dice.rng.u64(1..=num_requests), then_ms: dice.rng.u64(..25) },
        });
        let latency_ms = if is_killed { dice.rng.u64(2..20) } else { dice.rng.u64(..4) };
        // Nor is a token renewed twice for one request.
        let expires_tokens = dice.rng.u8(..5) == 0 && !dice.was_unauthorized;
        Round { edits_before, rules, args, env, latency_ms, expires_tokens, kill, is_misled }
    }

    pub fn is_verify(&self) -> bool {
        self.args == ["verify"]
    }

    /// A service, which is stopped when a command would be killed.
    pub fn is_service(&self) -> bool {
        self.args == ["run"]
    }

    /// Whether all listings are read.
    pub fn is_whole(&self) -> bool {
        self.args.len() == 1 && !self.is_service()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Round { edits_before: _, rules, args, env, latency_ms, expires_tokens, kill, is_misled } = self;
        let command = args.join(" ");
        write!(f, "segno {command} {env:?}, latency {latency_ms} ms, tokens end: {expires_tokens}, {kill:?}")?;
        write!(f, ", misled: {is_misled}")?;
        rules.iter().enumerate().try_for_each(|(at, rule)| write!(f, "\n  rule {at}: {rule}"))
    }
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// The random choices of a round.
struct Dice<'a> {
    rng: &'a mut Rng,
    library: &'a Library,
    gone: &'a [String],
    has_moved_playlist: bool,
    was_unauthorized: bool,
}

impl Dice<'_> {
    fn len(&self, listing: &str) -> usize {
        self.library.state[listing].as_array().map_or(0, Vec::len)
    }

    /// A place in a list, preferring its head and the edges of pages.
    fn place(&mut self, len: usize) -> usize {
        let place = match self.rng.u8(..8) {
            0 => 0,
            1..=2 => one_of(self.rng, &EDGES),
            3 => len.saturating_sub(1 + self.rng.usize(..3)),
            _ => self.rng.usize(..len.max(1)),
        };
        // Others may be removed before this one is applied.
        place.min(len.saturating_sub(5))
    }

    fn few(&mut self) -> usize {
        match self.rng.u8(..10) {
            0..=5 => 1,
            6..=8 => self.rng.usize(2..=3),
            // More than a search is worth, and more than a page.
            _ => one_of(self.rng, &[12, 55]),
        }
    }

    fn edit(&mut self) -> Value {
        let (tracks, albums, artists) = (self.len("tracks"), self.len("albums"), self.len("artists"));
        if self.rng.u8(..5) == 0 {
            return self.edit_of_what_is_spoken();
        }
        match self.rng.u8(..26) {
            0..=3 => json!({ "op": "remove_tracks", "offset": self.place(tracks), "count": self.few() }),
            4..=6 => json!({ "op": "add_tracks", "count": self.few() }),
            7..=8 => json!({ "op": "resave_track", "offset": self.place(tracks) }),
            9..=10 if !self.gone.is_empty() => {
                json!({ "op": "add_tracks", "ids": [self.gone[self.rng.usize(..self.gone.len())]] })
            }
            9..=11 => json!({ "op": "remove_albums", "offset": self.place(albums), "count": self.few() }),
            12..=13 => json!({ "op": "add_albums", "count": self.few() }),
            14 => json!({ "op": "unfollow", "index": self.place(artists), "count": self.few() }),
            15 => json!({ "op": "follow", "count": self.few() }),
            16 if tracks > 0 && self.rng.bool() => {
                let name = format!("Renamed {}", self.rng.u32(..));
                json!({ "op": "rename_track", "offset": self.place(tracks), "name": name })
            }
            16 if tracks > 0 => json!({ "op": "add_tracks", "count": self.few(), "offset": self.place(tracks) }),
            _ => self.edit_of_playlists(),
        }
    }

    fn edit_of_what_is_spoken(&mut self) -> Value {
        let what = one_of(self.rng, &["shows", "episodes", "audiobooks"]);
        if self.rng.bool() {
            json!({ "op": "save", "what": what, "count": self.few() })
        } else {
            json!({ "op": "unsave", "what": what, "offset": self.place(self.len(what)), "count": self.few() })
        }
    }

    fn edit_of_playlists(&mut self) -> Value {
        let playlists = self.len("playlists");
        let index = self.rng.usize(..playlists.max(1));
        let items = self.library.state["playlists"][index]["items"].as_array().map_or(0, Vec::len);
        match self.rng.u8(..9) {
            0 => json!({ "op": "add_playlist", "items": self.rng.usize(..130) }),
            1 if playlists > 2 => json!({ "op": "remove_playlist", "index": index }),
            // Two that are dragged past each other between two pages of the listing cannot be noticed.
            2 if playlists > 1 && !std::mem::replace(&mut self.has_moved_playlist, true) => {
                json!({ "op": "move_playlist", "from": index, "to": self.rng.usize(..playlists - 1) })
            }
            3 => json!({ "op": "rename_playlist", "index": index, "name": format!("Renamed {}", self.rng.u32(..)) }),
            4..=5 if items > 0 => {
                json!({ "op": "playlist_remove", "index": index, "position": self.place(items), "count": self.few() })
            }
            6 if items > 1 => {
                json!({ "op": "playlist_move", "index": index, "from": self.place(items), "to": self.place(items) })
            }
            _ => json!({ "op": "playlist_insert", "index": index, "position": self.place(items), "count": self.few() }),
        }
    }

    fn edit_at_a_request(&mut self, num_requests: u64) -> Value {
        let when = one_of(self.rng, &["before", "after"]);
        let edits: Vec<Value> = (0..self.rng.usize(1..=2)).map(|_| self.edit()).collect();
        json!({ "skip": self.rng.u64(..num_requests), "times": 1, "do": { "kind": "edit", "when": when, "edits": edits } })
    }

    fn fault(&mut self, num_requests: u64) -> Value {
        let action = match self.rng.u8(..8) {
            0..=1 => json!({ "kind": "status", "status": one_of(self.rng, &[500, 502, 503, 504]) }),
            2 => json!({ "kind": "cut", "bytes": self.rng.u32(..3_000) }),
            3 => json!({ "kind": "truncate", "bytes": self.rng.u32(..3_000) }),
            4 => json!({ "kind": "status", "status": 200, "body": "<html>", "content_type": "text/html" }),
            5 => json!({ "kind": "status", "status": 200, "body": "{}", "content_type": "application/json" }),
            // A fresh token that is refused again means something else.
            6 if !std::mem::replace(&mut self.was_unauthorized, true) => json!({ "kind": "unauthorized" }),
            _ => json!({ "kind": "delay", "ms": self.rng.u64(20..200) }),
        };
        let families = FAMILIES.iter().chain(&["*", "*", "token"]);
        // Only the API can find a token expired.
        let is_unauthorized = action["kind"] == "unauthorized";
        let families: Vec<&str> = families.copied().filter(|family| !is_unauthorized || *family != "token").collect();
        let times = if is_unauthorized { 1 } else { self.rng.u64(1..=2) };
        json!({ "family": one_of(self.rng, &families), "skip": self.rng.u64(..num_requests / 3), "times": times, "do": action })
    }

    /// A wrong answer, or a refusal of a permitted request.
    fn lie(&mut self, num_requests: u64) -> Value {
        const REFUSALS: [&str; 6] =
            ["unauthorized", "premium", "forbidden", "google_forbidden", "google_bad_request", "not_found"];
        let mut family = one_of(self.rng, &FAMILIES);
        let (skip, times) = (self.rng.u64(..num_requests / 4), self.rng.u64(1..=3));
        let place = self.rng.usize(..120);
        let (action, times) = match self.rng.u8(..10) {
            0 => (json!({ "kind": "cap", "rows": self.rng.usize(7..45) }), None),
            1 => (json!({ "kind": "hide", "places": [place, place + 1] }), None),
            2 => (json!({ "kind": "stale", "back": self.rng.usize(1..3) }), Some(times)),
            3 => (json!({ "kind": "ignore_offset" }), Some(times)),
            4 => (json!({ "kind": "next", "says": one_of(self.rng, &["null", "onward", "absent"]) }), Some(times)),
            5 => (json!({ "kind": "totals", "values": [place, place + 1] }), Some(times)),
            6 => (json!({ "kind": "count_items", "total": one_of(self.rng, &[0, 7, 200]) }), Some(times)),
            _ => (json!({ "kind": "refuse", "like": one_of(self.rng, &REFUSALS) }), Some(times)),
        };
        // Older items of the same number, under a snapshot that is new to us, cannot be recognised as wrong.
        if family == "playlist_items" && action["kind"] == "stale" {
            family = "playlists";
        }
        json!({ "family": family, "skip": skip, "times": times, "do": action })
    }

    /// A fault that takes a second.
    fn slow_fault(&mut self, num_requests: u64) -> Value {
        let action = match self.rng.u8(..6) {
            0..=2 => json!({ "kind": "hang" }),
            // From here on the gate is careful, in later processes too.
            3 => json!({ "kind": "rate_limited", "retry_after": "1" }),
            _ => json!({ "kind": "quota", "retry_after": "1" }),
        };
        json!({ "family": one_of(self.rng, &FAMILIES), "skip": self.rng.u64(..num_requests / 4), "times": 1, "do": action })
    }

    /// An actor dies, and another takes its place.
    fn panics(&mut self) -> String {
        let points = [
            "writer.commit",
            "writer.committed",
            "gate.acquire",
            "gate.return",
            "syncer.tracks.page",
            "syncer.other",
            "fetch.albums",
            "fetch.artists",
            "fetch.playlist_items",
        ];
        format!("{}={}", one_of(self.rng, &points), self.rng.u8(1..6))
    }
}
