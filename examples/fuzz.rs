//! Feeds made-up bytes to everything that parses input from strangers: pages, the listening history, token answers,
//! refusals with their `Retry-After`, settings, database URLs, queries and cursors. Nothing may panic or take long, and
//! the result must fit the database.
//!
//! `cargo run --example fuzz -- [--seconds N] [--seed S]`; the same seed makes the same bytes.

use chrono::{DateTime, Datelike, Utc};
use fastrand::Rng;
use segno::{
    config::{Config, Dirs},
    model::{EntityType, Item, Page, PageRequest, PlaylistItem, PlaysPage, Show, Track},
    spotify::{RETRY_AFTER_CAP, probes},
    store::DatabaseUrl,
    web,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Most CPU time that reading one input may take, in a build without optimisation.
const SLOW: Duration = Duration::from_secs(2);

/// No message may repeat it.
const SECRET: &str = "hunter2hunter2hunter2hunter2hunter2hunter2hunter2";

/// Makes an input and has it parsed.
type Target = fn(&mut Rng) -> Tried;

const TARGETS: [(&str, Target); 8] = [
    ("pages", pages),
    ("history", history),
    ("profiles", profiles),
    ("tokens", tokens),
    ("refusals", refusals),
    ("settings", settings),
    ("urls", urls),
    ("queries", queries),
];

/// Whether it was accepted, or what is wrong with the result; and the input.
struct Tried {
    outcome: Result<bool, String>,
    input: String,
}

#[derive(Default)]
struct Tally {
    tried: u64,
    understood: u64,
    slowest: Duration,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seconds, mut seed) = (60, 0);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|text| text.parse().ok());
        match (arg.as_str(), number) {
            ("--seconds", Some(number)) => seconds = number,
            ("--seed", Some(number)) => seed = number,
            _ => {
                eprintln!("usage: fuzz [--seconds N] [--seed S]");
                return ExitCode::from(2);
            }
        }
    }
    std::panic::set_hook(Box::new(|_| {}));
    let (began, mut tallies, mut num_failed) = (Instant::now(), BTreeMap::<&str, Tally>::new(), 0);
    while began.elapsed() < Duration::from_secs(seconds) && num_failed < 20 {
        for (name, target) in TARGETS {
            let started = cpu_time();
            let tried = catch_unwind(AssertUnwindSafe(|| target(&mut Rng::with_seed(seed))));
            let took = cpu_time().saturating_sub(started);
            let tally = tallies.entry(name).or_default();
            tally.tried += 1;
            tally.slowest = tally.slowest.max(took);
            let problem = match tried {
                Ok(Tried { outcome: Ok(understood), .. }) if took < SLOW => {
                    tally.understood += u64::from(understood);
                    continue;
                }
                Ok(Tried { outcome: Ok(_), input }) => format!("took {took:?}: {input}"),
                Ok(Tried { outcome: Err(why), input }) => format!("{why}: {input}"),
                Err(panic) => {
                    let why = panic.downcast_ref::<String>().map(String::as_str);
                    format!("panicked: {}", why.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
                }
            };
            num_failed += 1;
            println!("{name}, seed {seed}: {}", problem.chars().take(2000).collect::<String>());
        }
        seed += 1;
    }
    for (name, Tally { tried, understood, slowest }) in &tallies {
        println!("{name:<10} {tried:>9} inputs, {understood:>9} understood, the slowest in {slowest:?}");
    }
    println!("{num_failed} findings in {} s", began.elapsed().as_secs());
    if num_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// CPU time of this thread, so that a busy machine makes nothing appear slow.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or_default())
}

fn pages(random: &mut Rng) -> Tried {
    let entity = EntityType::ALL[random.usize(..EntityType::ALL.len())];
    let (request, row) = match random.u8(..6) {
        0 => (PageRequest::Following { after: None, limit: 50 }, artist()),
        1 => {
            let request = PageRequest::PlaylistItems { playlist_id: "p1".into(), offset: 0, limit: 50 };
            (request, json!({ "added_at": "2020-01-01T00:00:00Z", "added_by": { "id": "x" }, "item": track() }))
        }
        _ => {
            let row = match entity {
                EntityType::Tracks => json!({ "added_at": "2020-01-01T00:00:00Z", "track": track() }),
                EntityType::Albums => json!({ "added_at": "2020-01-01T00:00:00Z", "album": album() }),
                EntityType::Artists => artist(),
                EntityType::Playlists => playlist(),
                EntityType::Shows => json!({ "added_at": "2020-01-01T00:00:00Z", "show": show() }),
                EntityType::Episodes => json!({ "added_at": "2020-01-01T00:00:00Z", "episode": episode() }),
                EntityType::Audiobooks if random.bool() => audiobook(),
                EntityType::Audiobooks => json!({ "added_at": "2020-01-01T00:00:00Z", "audiobook": audiobook() }),
            };
            (PageRequest::Listing { entity, offset: 0, limit: 50 }, row)
        }
    };
    let most = if random.u8(..20) == 0 { 300 } else { 6 };
    let num_rows = random.usize(..most);
    let rows: Vec<Value> = (0..num_rows).map(|_| odd(random, row.clone(), 3)).collect();
    let page = json!({ "items": rows, "total": num_rows, "limit": 50, "next": "https://x/?offset=50", "offset": 0 });
    let page = odd(random, page, 1);
    let page = if matches!(request, PageRequest::Following { .. }) { json!({ "artists": page }) } else { page };
    let body = bytes(random, &page.to_string());
    let read = probes::page(&request, &body);
    Tried { outcome: read.map_or(Ok(false), |page| check_page(&page).map(|()| true)), input: shown(&body) }
}

fn history(random: &mut Rng) -> Tried {
    let row =
        json!({ "played_at": "2026-01-02T03:04:05.678Z", "track": track(), "context": { "uri": "spotify:album:b" } });
    let rows: Vec<Value> = (0..random.usize(..6)).map(|_| odd(random, row.clone(), 3)).collect();
    let body = odd(random, json!({ "items": rows, "cursors": { "after": "1", "before": "2" } }), 1);
    let body = bytes(random, &body.to_string());
    let check = |page: PlaysPage| {
        for play in page.plays() {
            check_key("track_uri", &play.track_uri)?;
            check_moment(play.played_at)?;
            play.track.as_ref().map_or(Ok(()), check_track)?;
        }
        Ok(true)
    };
    Tried { outcome: probes::history(&body).map_or(Ok(false), check), input: shown(&body) }
}

fn profiles(random: &mut Rng) -> Tried {
    let user = json!({ "id": "somebody", "account_id": "abc", "display_name": "Some Body", "product": "premium" });
    let body = odd(random, user, 2);
    let body = bytes(random, &body.to_string());
    let check = |profile: segno::spotify::Profile| check_key("id", &profile.spotify_id).map(|()| true);
    Tried { outcome: probes::profile(&body).map_or(Ok(false), check), input: shown(&body) }
}

fn tokens(random: &mut Rng) -> Tried {
    let grant =
        json!({ "access_token": "BQ", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "AQ", "scope": "" });
    let body = odd(random, grant, 2);
    let body = bytes(random, &body.to_string());
    Tried { outcome: Ok(probes::token(&body).is_ok_and(|(given, _)| given)), input: shown(&body) }
}

fn refusals(random: &mut Rng) -> Tried {
    let body = json!({ "error": { "status": 403, "message": format!("no {SECRET} here"), "reason": "x" },
        "error_description": format!("{SECRET} is void") });
    let body = odd(random, body, 2).to_string();
    let body = bytes(random, &body);
    let waits =
        ["3", "0", "-1", "3.5", "1e9", "99999999999999999999", "", "Sun, 22 Nov 2026 14:00:10 GMT", "P1D", " 7 "];
    let wait = waits[random.usize(..waits.len())];
    let (wait, date) = (bytes(random, wait), bytes(random, "Sun, 22 Nov 2026 14:00:00 GMT"));
    let status = random.u16(300..600);
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a moment");
    let input = format!("{status} {:?} {}", String::from_utf8_lossy(&wait), shown(&body));
    let outcome = match probes::refusal(status, &wait, &date, &body, SECRET, now) {
        Some((said, _)) if said.contains(SECRET) => Err("the token is quoted".to_owned()),
        Some((said, _)) if said.contains('\n') || said.len() > 4000 => Err(format!("says too much: {said}")),
        Some((_, Some(wait))) if wait > RETRY_AFTER_CAP => Err(format!("waits {wait:?}")),
        Some((_, wait)) => Ok(wait.is_some()),
        None => Ok(false),
    };
    Tried { outcome, input }
}

fn settings(random: &mut Rng) -> Tried {
    let known = include_str!("../docs/segno.example.toml");
    let text = match random.u8(..3) {
        0 => known.replace("# ", ""),
        1 => format!("[web]\nlisten = \"{}\"\n[sync]\ninterval = \"{}\"\n", word(random), word(random)),
        _ => known.to_owned(),
    };
    let text = bytes(random, &text);
    let names = [
        "SEGNO_DATABASE_URL",
        "SEGNO_SYNC_INTERVAL",
        "SEGNO_WEB_LISTEN",
        "SEGNO_SYNC_ENTITIES",
        "SEGNO_LOG",
        "SEGNO_RATE_LIMIT_REQUESTS",
        "SEGNO_SPOTIFY_API_URL",
        "SEGNO_WEB_HOSTS",
        "SEGNO_UNKNOWN",
    ];
    let mut env: Vec<(String, String)> =
        (0..random.usize(..4)).map(|_| (names[random.usize(..names.len())].to_owned(), word(random))).collect();
    env.push(("SEGNO_WEB_TOKEN".into(), SECRET.into()));
    env.push(("SEGNO_SPOTIFY_REFRESH_TOKEN".into(), SECRET.into()));
    let folder = std::env::temp_dir().join(format!("segno-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("segno.toml");
    std::fs::write(&file, &text).expect("a file");
    let input = format!("{env:?} {}", shown(&text));
    let read = Config::load(Some(&file), env, &folder, &Dirs::of_user());
    let outcome = match read {
        Ok(config) if format!("{config:?}").contains(SECRET) => Err("a secret is printed".to_owned()),
        Ok(_) => Ok(true),
        Err(error) if error.to_string().contains(SECRET) => Err(format!("a secret is printed: {error}")),
        Err(_) => Ok(false),
    };
    Tried { outcome, input }
}

fn urls(random: &mut Rng) -> Tried {
    let parts = [
        "postgres://",
        "postgresql://",
        "sqlite:",
        "u",
        ":",
        "@",
        "host",
        "/",
        "db",
        "?sslmode=",
        "require",
        "prefer",
        "&",
        "hostaddr=",
        "10.0.0.1",
        "%2F",
        "%",
        "%zz",
        ",",
        "[::1]",
        ":5432",
        "options=",
        "-c x",
        " ",
        "\u{0}",
        "é",
        "//",
        "\\",
        "#",
        "password=",
        "connect_timeout=",
        "99999999999",
    ];
    let begin = ["", "postgres://u:SECRET@", "u:SECRET@", "SECRET@", "postgres://h/d?password=SECRET&"];
    let mut text = begin[random.usize(..begin.len())].replace("SECRET", SECRET);
    (0..random.usize(1..14)).for_each(|_| text.push_str(parts[random.usize(..parts.len())]));
    let outcome = match DatabaseUrl::parse(&text) {
        Ok(url) if !matches!(url, DatabaseUrl::Sqlite(_)) && url.to_string().contains(SECRET) => {
            Err(format!("a password is printed: {url}"))
        }
        Ok(_) => Ok(true),
        Err(error) if error.to_string().contains(SECRET) => Err(format!("a password is printed: {error}")),
        Err(_) => Ok(false),
    };
    Tried { outcome, input: text }
}

fn queries(random: &mut Rng) -> Tried {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let key = json!({ "of": "tracks", "key": { "at": "2026-01-01T00:00:00Z", "name": "a", "id": "t" } });
    let key = odd(random, key, 2).to_string();
    let key = bytes(random, &key);
    let encoded = URL_SAFE_NO_PAD.encode(key);
    let cursor = bytes(random, &encoded);
    let cursor = String::from_utf8_lossy(&cursor).into_owned();
    let query =
        format!("limit={}&q={}&since={}&entity_type=tracks&after={cursor}", word(random), word(random), word(random));
    let (is_query, is_cursor) = web::probe(&query, &cursor);
    Tried { outcome: Ok(is_query || is_cursor), input: format!("{query:?} {cursor:?}") }
}

fn check_page(page: &Page) -> Result<(), String> {
    if page.slots.len() > 100 {
        return Err(format!("{} rows", page.slots.len()));
    }
    for slot in &page.slots {
        slot.added_at.map_or(Ok(()), check_moment)?;
        match &slot.item {
            None if slot.odd.is_none() => return Err("a row without an item that is not odd".to_owned()),
            None => {}
            Some(Item::Track(saved)) => check_track(&saved.track)?,
            Some(Item::Album(saved)) => {
                check_key("album", &saved.album.id)?;
                check_text("name", &saved.album.name)?;
                saved.tracks.iter().try_for_each(check_track)?;
            }
            Some(Item::Artist(artist)) => {
                check_key("artist", &artist.id)?;
                check_text("name", &artist.name)?;
            }
            Some(Item::Playlist(playlist)) => {
                check_key("playlist", &playlist.id)?;
                check_text("description", playlist.description.as_deref().unwrap_or_default())?;
            }
            Some(Item::Show(show)) => check_show(show)?,
            Some(Item::Episode(episode)) => {
                check_key("episode", &episode.id)?;
                check_text("name", &episode.name)?;
                episode.show.as_ref().map_or(Ok(()), check_show)?;
            }
            Some(Item::Audiobook(audiobook)) => {
                check_key("audiobook", &audiobook.id)?;
                check_text("name", &audiobook.name)?;
                let mut names = [&audiobook.authors, &audiobook.narrators].into_iter().flatten().flatten();
                names.try_for_each(|name| check_text("author", name))?;
            }
            Some(Item::PlaylistItem(item)) => {
                let PlaylistItem { uri, name, added_at, track, .. } = &**item;
                check_text("uri", uri.as_deref().unwrap_or_default())?;
                check_text("name", name.as_deref().unwrap_or_default())?;
                added_at.map_or(Ok(()), check_moment)?;
                track.as_ref().map_or(Ok(()), check_track)?;
            }
        }
    }
    Ok(())
}

fn check_show(show: &Show) -> Result<(), String> {
    check_key("show", &show.id)?;
    check_text("name", &show.name)?;
    check_text("publisher", show.publisher.as_deref().unwrap_or_default())
}

fn check_track(track: &Track) -> Result<(), String> {
    check_key("track", &track.id)?;
    check_text("name", &track.name)?;
    check_text("isrc", track.isrc.as_deref().unwrap_or_default())?;
    track.artists.iter().try_for_each(|artist| check_text("artist", &artist.name))?;
    track.album.as_ref().map_or(Ok(()), |album| check_key("album", &album.id))
}

/// The limits of an index on both databases.
fn check_key(what: &str, key: &str) -> Result<(), String> {
    if key.len() > 1000 || key.contains('\0') { Err(format!("{what} is no key: {key:?}")) } else { Ok(()) }
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.len() > 16 << 10 || text.contains('\0') {
        Err(format!("{what} is no text: {} bytes", text.len()))
    } else {
        Ok(())
    }
}

fn check_moment(at: DateTime<Utc>) -> Result<(), String> {
    if (1..=9999).contains(&at.year()) { Ok(()) } else { Err(format!("a moment that no database orders: {at}")) }
}

fn artist() -> Value {
    json!({ "id": "a1", "name": "A", "genres": ["x", "y"], "images": [{ "url": "https://i", "width": 64 }],
        "uri": "spotify:artist:a1", "type": "artist" })
}

fn album() -> Value {
    json!({ "id": "b1", "name": "B", "album_type": "album", "release_date": "2020-02-03", "release_date_precision": "day",
        "total_tracks": 3, "images": [], "external_ids": { "upc": "1" }, "artists": [artist()], "uri": "spotify:album:b1",
        "tracks": { "items": [{ "id": "t9", "name": "T", "artists": [artist()], "uri": "spotify:track:t9" }] } })
}

fn track() -> Value {
    json!({ "id": "t1", "name": "T", "duration_ms": 1000, "explicit": false, "disc_number": 1, "track_number": 2,
        "is_local": false, "type": "track", "uri": "spotify:track:t1", "external_ids": { "isrc": "X" },
        "artists": [artist()], "album": album() })
}

fn playlist() -> Value {
    json!({ "id": "p1", "name": "P", "description": "", "owner": { "id": "o", "display_name": "O" }, "public": true,
        "collaborative": false, "snapshot_id": "s", "tracks": { "total": 3 }, "images": null, "uri": "spotify:playlist:p1" })
}

fn show() -> Value {
    json!({ "id": "s1", "name": "S", "publisher": "P", "description": "", "media_type": "audio", "explicit": false,
        "total_episodes": 3, "images": [{ "url": "https://i", "width": 64 }], "uri": "spotify:show:s1", "type": "show" })
}

fn episode() -> Value {
    json!({ "id": "e1", "name": "E", "description": "", "duration_ms": 1000, "explicit": false, "show": show(),
        "release_date": "2020-02-03", "release_date_precision": "day", "images": [], "uri": "spotify:episode:e1",
        "type": "episode" })
}

fn audiobook() -> Value {
    json!({ "id": "u1", "name": "U", "authors": [{ "name": "A" }], "narrators": [{ "name": "N" }], "publisher": "P",
        "description": "", "edition": "Unabridged", "explicit": false, "total_chapters": 9, "images": [],
        "uri": "spotify:show:u1", "type": "audiobook" })
}

/// The value with some of its parts replaced, left out or duplicated.
fn odd(random: &mut Rng, mut value: Value, times: u32) -> Value {
    for _ in 0..random.u32(..=times) {
        change(random, &mut value);
    }
    value
}

fn change(random: &mut Rng, value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && random.u8(..8) > 0 => {
            let name = fields.keys().nth(random.usize(..fields.len())).expect("a field").clone();
            match random.u8(..10) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(text(random), strange(random))),
                _ => change(random, fields.get_mut(&name).expect("a field")),
            }
        }
        Value::Array(elements) if !elements.is_empty() && random.u8(..8) > 0 => {
            let at = random.usize(..elements.len());
            if random.u8(..6) == 0 {
                let element = elements[at].clone();
                elements.extend(std::iter::repeat_n(element, random.usize(..120)));
            } else {
                change(random, &mut elements[at]);
            }
        }
        value => *value = strange(random),
    }
}

fn strange(random: &mut Rng) -> Value {
    match random.u8(..12) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(random.f64() * 1e300),
        4 => json!(u64::MAX),
        5 => json!([]),
        6 => Value::Object(Map::new()),
        7 => (0..random.usize(..200)).fold(json!(1), |inner, _| json!([inner])),
        8 => json!(word(random)),
        _ => json!(text(random)),
    }
}

fn text(random: &mut Rng) -> String {
    let chars = [
        'a',
        'Z',
        '0',
        ' ',
        '\0',
        '\n',
        '\u{1b}',
        '"',
        '\\',
        'é',
        '\u{202e}',
        '\u{feff}',
        '\u{fffd}',
        '\u{1f3b5}',
        ':',
        '%',
        '/',
    ];
    let len = match random.u8(..10) {
        0 => random.usize(..40_000),
        1..=3 => random.usize(..300),
        _ => random.usize(..12),
    };
    (0..len).map(|_| chars[random.usize(..chars.len())]).collect()
}

/// A word that resembles something valid.
fn word(random: &mut Rng) -> String {
    let words = [
        "",
        "6h",
        "-1s",
        "99999999999h",
        "1e3",
        "0",
        "2020-01-01T00:00:00Z",
        "0000-01-01T00:00:00+14:00",
        "off",
        "9999-12-31T23:59:59-14:00",
        "spotify:track:x",
        "spotify:local:a:b:c:9",
        "spotify:local:%00:%ff:%:x",
        "0.0.0.0:0",
        "tracks,albums",
        "sqlite:",
        "postgres://u@h/d",
        "https://api.spotify.com/v1",
        "http://127.0.0.1:1/",
        "*",
        "20%",
        "info",
        "[::1]:80",
        "localhost",
        "\u{0}",
    ];
    words[random.usize(..words.len())].to_owned()
}

/// The text unchanged, or with some of its bytes changed, left out or cut off.
fn bytes(random: &mut Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if random.u8(..3) > 0 || bytes.is_empty() {
        return bytes;
    }
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len());
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, random.u8(..)),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, *b"\\ud83c")),
            _ => drop(bytes.splice(at..at, *b"\xef\xbb\xbf")),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
