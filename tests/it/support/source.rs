//! The library as the API shows it, read by a naive client: page after page while nothing moves, every field taken
//! literally. The contents of a database are compared with it, table by table and column by column.

use super::http;
use super::{Backend, Database, Sandbox, block_on};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The expected contents of a library's tables; a row is its columns as text.
pub struct Source {
    tables: BTreeMap<&'static str, BTreeSet<String>>,
    /// The rows of [`THINGS`] again, by id.
    things: BTreeMap<&'static str, BTreeMap<String, Vec<Value>>>,
    /// Dates of saved rows that have lost their track.
    silent_dates: BTreeSet<String>,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Plain,
    Bool,
    /// UTC, to the second.
    Time,
}

/// A name, or an expression.
pub type Column = (&'static str, Kind);

type Table = (&'static str, &'static [Column]);

/// Separates the columns of a line: no name contains it.
pub const SEPARATOR: &str = "\u{1f}";

/// The tables of items that can be listened to, whose rows stay when nothing lists them any more.
const THINGS: [&str; 6] = ["tracks", "albums", "artists", "shows", "episodes", "audiobooks"];

/// The columns that come from the API. A row that is marked removed is not part of the library.
const TABLES: &[Table] = &[
    (
        "tracks",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("album_id", Kind::Plain),
            ("duration_ms", Kind::Plain),
            ("explicit", Kind::Bool),
            ("disc_number", Kind::Plain),
            ("track_number", Kind::Plain),
            ("isrc", Kind::Plain),
        ],
    ),
    (
        "albums",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("album_type", Kind::Plain),
            ("release_date", Kind::Plain),
            ("release_date_precision", Kind::Plain),
            ("total_tracks", Kind::Plain),
            ("upc", Kind::Plain),
            ("image_url", Kind::Plain),
        ],
    ),
    ("artists", &[("id", Kind::Plain), ("name", Kind::Plain), ("genres", Kind::Plain), ("image_url", Kind::Plain)]),
    ("track_artists", &[("track_id", Kind::Plain), ("position", Kind::Plain), ("artist_id", Kind::Plain)]),
    ("album_artists", &[("album_id", Kind::Plain), ("position", Kind::Plain), ("artist_id", Kind::Plain)]),
    ("saved_tracks", &[("track_id", Kind::Plain), ("added_at", Kind::Time), ("removed_at", Kind::Time)]),
    ("saved_albums", &[("album_id", Kind::Plain), ("added_at", Kind::Time), ("removed_at", Kind::Time)]),
    ("followed_artists", &[("artist_id", Kind::Plain), ("removed_at", Kind::Time)]),
    (
        "shows",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("publisher", Kind::Plain),
            ("description", Kind::Plain),
            ("media_type", Kind::Plain),
            ("explicit", Kind::Bool),
            ("total_episodes", Kind::Plain),
            ("image_url", Kind::Plain),
        ],
    ),
    (
        "episodes",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("show_id", Kind::Plain),
            ("duration_ms", Kind::Plain),
            ("explicit", Kind::Bool),
            ("release_date", Kind::Plain),
            ("release_date_precision", Kind::Plain),
            ("image_url", Kind::Plain),
        ],
    ),
    (
        "audiobooks",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("authors", Kind::Plain),
            ("narrators", Kind::Plain),
            ("publisher", Kind::Plain),
            ("description", Kind::Plain),
            ("edition", Kind::Plain),
            ("explicit", Kind::Bool),
            ("total_chapters", Kind::Plain),
            ("image_url", Kind::Plain),
        ],
    ),
    ("saved_shows", &[("show_id", Kind::Plain), ("added_at", Kind::Time), ("removed_at", Kind::Time)]),
    ("saved_episodes", &[("episode_id", Kind::Plain), ("added_at", Kind::Time), ("removed_at", Kind::Time)]),
    ("saved_audiobooks", &[("audiobook_id", Kind::Plain), ("added_at", Kind::Time), ("removed_at", Kind::Time)]),
    (
        "playlists",
        &[
            ("id", Kind::Plain),
            ("name", Kind::Plain),
            ("description", Kind::Plain),
            ("owner_id", Kind::Plain),
            ("owner_name", Kind::Plain),
            ("public", Kind::Bool),
            ("collaborative", Kind::Bool),
            ("snapshot_id", Kind::Plain),
            ("total_items", Kind::Plain),
            // An empty one need not be read.
            ("(items_readable OR total_items = 0)", Kind::Bool),
        ],
    ),
    ("library_playlists", &[("playlist_id", Kind::Plain), ("position", Kind::Plain), ("removed_at", Kind::Time)]),
    (
        "playlist_items",
        &[
            ("playlist_id", Kind::Plain),
            ("position", Kind::Plain),
            ("uri", Kind::Plain),
            ("kind", Kind::Plain),
            ("track_id", Kind::Plain),
            ("name", Kind::Plain),
            ("added_at", Kind::Time),
            ("added_by", Kind::Plain),
        ],
    ),
];

impl Source {
    /// Reads everything that the sandbox serves. Its counters include that, so read them before.
    pub fn read(sandbox: &Sandbox) -> Source {
        let reader = Reader::sign_in(sandbox);
        let mut facts = Facts::default();
        for row in reader.listing("me/tracks") {
            if let Some(id) = facts.track(&row["track"]) {
                facts.add("saved_tracks", &[&id, &row["added_at"], &Value::Null]);
            } else {
                facts.silent_dates.insert(word(&row["added_at"]));
            }
        }
        for row in reader.listing("me/albums") {
            let id = facts.album(&row["album"]).expect("a saved album has an id");
            // Its tracks are included, without their album.
            for track in row["album"]["tracks"]["items"].as_array().into_iter().flatten() {
                let (mut track, mut album) = (track.clone(), row["album"].clone());
                album["tracks"] = Value::Null;
                track["album"] = album;
                facts.track(&track);
            }
            facts.add("saved_albums", &[&id, &row["added_at"], &Value::Null]);
        }
        for artist in reader.followed_artists() {
            facts.artist(&artist);
            facts.add("followed_artists", &[&artist["id"], &Value::Null]);
        }
        for row in reader.listing("me/shows") {
            if let Some(id) = facts.show(&row["show"]) {
                facts.add("saved_shows", &[&id, &row["added_at"], &Value::Null]);
            }
        }
        for row in reader.listing("me/episodes") {
            if let Some(id) = facts.episode(&row["episode"]) {
                facts.add("saved_episodes", &[&id, &row["added_at"], &Value::Null]);
            }
        }
        for row in reader.listing("me/audiobooks") {
            // Bare, or in a row that says when it was saved.
            let audiobook = either(&row["audiobook"], &row);
            if let Some(id) = facts.audiobook(audiobook) {
                facts.add("saved_audiobooks", &[&id, &row["added_at"], &Value::Null]);
            }
        }
        for (position, playlist) in reader.listing("me/playlists").iter().enumerate() {
            if playlist.is_null() {
                continue;
            }
            let id = playlist["id"].as_str().expect("a playlist has an id");
            let items =
                ["items", "tracks"].iter().find_map(|name| reader.try_listing(&format!("playlists/{id}/{name}")));
            let total = either(&playlist["items"]["total"], &playlist["tracks"]["total"]);
            let is_readable = items.is_some() || *total == 0;
            let items = items.unwrap_or_default();
            for (at, item) in items.iter().enumerate() {
                facts.playlist_item(id, at, item);
            }
            facts.add("library_playlists", &[&playlist["id"], &json!(position), &Value::Null]);
            let owner = &playlist["owner"];
            facts.add(
                "playlists",
                &[
                    &playlist["id"],
                    &playlist["name"],
                    &playlist["description"],
                    &owner["id"],
                    &owner["display_name"],
                    &playlist["public"],
                    &playlist["collaborative"],
                    &playlist["snapshot_id"],
                    total,
                    &json!(is_readable),
                ],
            );
        }
        facts.into_source()
    }

    /// Everything that can be listened to, with all details, independent of any library.
    pub fn catalogue(sandbox: &Sandbox) -> Source {
        let (catalogue, mut facts) = (sandbox.get("catalogue"), Facts::default());
        let rows = |name: &str| catalogue[name].as_array().expect("rows").iter();
        rows("tracks").for_each(|track| drop(facts.track(track)));
        rows("albums").for_each(|album| drop(facts.album(album)));
        rows("artists").for_each(|artist| facts.artist(artist));
        rows("shows").for_each(|show| drop(facts.show(show)));
        rows("episodes").for_each(|episode| drop(facts.episode(episode)));
        rows("audiobooks").for_each(|audiobook| drop(facts.audiobook(audiobook)));
        facts.into_source()
    }

    /// Asserts that a database that has been through changes holds this. Anything else in it is marked removed, or was
    /// true once: everything that it ever saw is in the `catalogue`, and `names` are those that a track has ever had.
    pub fn assert_current_in(
        &self,
        database: &Database,
        catalogue: &Source,
        names: &BTreeMap<String, BTreeSet<String>>,
    ) {
        for (table, columns) in TABLES {
            let sql = format!("SELECT {} AS line FROM {table}", line_of(columns, database.backend));
            let listed = "(SELECT playlist_id FROM library_playlists WHERE removed_at IS NULL)";
            let lines = match *table {
                "playlists" => database.lines(&format!("{sql} WHERE id IN {listed}")),
                "playlist_items" => database.lines(&format!("{sql} WHERE playlist_id IN {listed}")),
                table if table == "followed_artists" || table == "library_playlists" || table.starts_with("saved_") => {
                    database.lines(&format!("{sql} WHERE removed_at IS NULL"))
                }
                _ => database.lines(&sql),
            };
            let held: BTreeSet<String> = lines.into_iter().collect();
            if THINGS.contains(table) {
                let rows: Vec<Vec<&str>> = held.iter().map(|line| line.split(SEPARATOR).collect()).collect();
                self.assert_things(table, columns, &rows, catalogue, names);
                continue;
            }
            let once_true = if table.ends_with("_artists") && *table != "followed_artists" {
                &catalogue.tables[table]
            } else {
                &self.tables[table]
            };
            // A row with nothing but its date may be any track of that date, so none of that date can be expected to be
            // gone.
            let may_be_silent =
                |row: &str| row.split(SEPARATOR).nth(1).is_some_and(|date| self.silent_dates.contains(date));
            // The artist of a local file is known from the listing alone.
            let was_local = |row: &str| table.ends_with("_artists") && is_local(row);
            let untrue = held.difference(once_true).filter(|row| *table != "saved_tracks" || !may_be_silent(row));
            let untrue = untrue.filter(|row| !was_local(row));
            let untrue: Vec<_> = untrue.take(3).collect();
            let missing: Vec<_> = self.tables[table].difference(&held).take(3).collect();
            assert!(
                untrue.is_empty() && missing.is_empty(),
                "{table}: the database lacks {missing:#?}, and has {untrue:#?}"
            );
        }
    }

    /// Fields that a listing now gives are in the row; the rest of the row was given before.
    fn assert_things(
        &self,
        table: &str,
        columns: &[Column],
        rows: &[Vec<&str>],
        catalogue: &Source,
        names: &BTreeMap<String, BTreeSet<String>>,
    ) {
        let (current, all) = (&self.things[table], &catalogue.things[table]);
        let held: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
        let missing: Vec<_> = current.keys().filter(|id| !held.contains(id.as_str())).take(3).collect();
        assert!(missing.is_empty(), "{table}: the database lacks {missing:?}");
        for row in rows {
            let id = row[0];
            // A local file belongs to the listener alone.
            let Some(whole) = all.get(id).or_else(|| current.get(id)) else {
                assert!(is_local(id), "{table}: nothing has ever had the id {id}: {row:?}");
                continue;
            };
            for (at, (column, _)) in columns.iter().enumerate() {
                let said = current.get(id).map(|thing| &thing[at]).filter(|value| !value.is_null() && **value != "");
                let is_true = match said {
                    Some(value) => row[at] == word(value),
                    None => {
                        let had = *column == "name" && names.get(id).is_some_and(|names| names.contains(row[at]));
                        had || ["null", "", word(&whole[at]).as_str()].contains(&row[at])
                    }
                };
                assert!(is_true, "{table}: the {column} of {row:?}; listed is {said:?}, and known {:?}", whole[at]);
            }
        }
    }

    /// Asserts that a database which was synced once, from nothing, holds this and nothing else.
    pub fn assert_held_by(&self, database: &Database) {
        for (table, columns) in TABLES {
            let sql = format!("SELECT {} AS line FROM {table}", line_of(columns, database.backend));
            let lines = database.lines(&sql);
            let (held, listed) = (lines.iter().cloned().collect::<BTreeSet<_>>(), &self.tables[table]);
            let extra: Vec<_> = held.difference(listed).take(3).collect();
            let missing: Vec<_> = listed.difference(&held).take(3).collect();
            assert!(held == *listed, "{table}: the database lacks {missing:#?}, and has {extra:#?}");
            assert_eq!(lines.len(), listed.len(), "{table}: a row comes twice");
        }
    }
}

fn is_local(id: &str) -> bool {
    id.starts_with("spotify:local:") || id.starts_with("local:")
}

/// A SQL expression: the columns of a row as one text.
pub fn line_of(columns: &[Column], backend: Backend) -> String {
    let text = |(name, kind): &Column| match (kind, backend) {
        (Kind::Plain, _) => format!("coalesce(CAST({name} AS TEXT), 'null')"),
        (Kind::Bool, _) => format!("CASE WHEN {name} THEN 'true' WHEN NOT {name} THEN 'false' ELSE 'null' END"),
        (Kind::Time, Backend::Sqlite) => format!("coalesce(replace(substr({name}, 1, 19), ' ', 'T') || 'Z', 'null')"),
        (Kind::Time, Backend::Postgres) => {
            format!("coalesce(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'null')")
        }
    };
    columns.iter().map(text).collect::<Vec<_>>().join(&format!(" || '{SEPARATOR}' || "))
}

fn either<'a>(first: &'a Value, second: &'a Value) -> &'a Value {
    if first.is_null() { second } else { first }
}

/// The facts read so far. Among several mentions of one item, each field comes from the first that has it.
#[derive(Default)]
struct Facts {
    rows: BTreeMap<&'static str, BTreeSet<String>>,
    artists: BTreeMap<String, Vec<Value>>,
    albums: BTreeMap<String, Vec<Value>>,
    tracks: BTreeMap<String, Vec<Value>>,
    shows: BTreeMap<String, Vec<Value>>,
    episodes: BTreeMap<String, Vec<Value>>,
    audiobooks: BTreeMap<String, Vec<Value>>,
    silent_dates: BTreeSet<String>,
}

impl Facts {
    fn add(&mut self, table: &'static str, row: &[&Value]) {
        self.rows.entry(table).or_default().insert(text(row.iter().copied()));
    }

    fn track(&mut self, track: &Value) -> Option<Value> {
        let id = track["id"].as_str()?;
        let album_id = self.album(&track["album"]).unwrap_or_default();
        self.artists_of("track_artists", id, &track["artists"]);
        let own = ["duration_ms", "explicit", "disc_number", "track_number"].map(|name| track[name].clone());
        let [duration, explicit, disc, number] = own;
        let isrc = track["external_ids"]["isrc"].clone();
        let row = vec![track["id"].clone(), track["name"].clone(), album_id, duration, explicit, disc, number, isrc];
        merge(self.tracks.entry(id.to_owned()).or_default(), row);
        Some(track["id"].clone())
    }

    fn album(&mut self, album: &Value) -> Option<Value> {
        let id = album["id"].as_str()?;
        self.artists_of("album_artists", id, &album["artists"]);
        let names = ["id", "name", "album_type", "release_date", "release_date_precision", "total_tracks"];
        let mut row: Vec<Value> = names.iter().map(|name| album[*name].clone()).collect();
        row.extend([album["external_ids"]["upc"].clone(), widest(&album["images"])]);
        merge(self.albums.entry(id.to_owned()).or_default(), row);
        Some(album["id"].clone())
    }

    fn artists_of(&mut self, table: &'static str, id: &str, artists: &Value) {
        for (position, artist) in artists.as_array().expect("artists").iter().enumerate() {
            self.artist(artist);
            self.add(table, &[&json!(id), &json!(position), &artist["id"]]);
        }
    }

    /// An artist, in full or only mentioned.
    fn artist(&mut self, artist: &Value) {
        let id = artist["id"].as_str().expect("an artist has an id");
        let genres = artist["genres"].as_array().map_or(Value::Null, |genres| json!(json!(genres).to_string()));
        let row = vec![artist["id"].clone(), artist["name"].clone(), genres, widest(&artist["images"])];
        merge(self.artists.entry(id.to_owned()).or_default(), row);
    }

    fn show(&mut self, show: &Value) -> Option<Value> {
        let id = show["id"].as_str()?;
        let names = ["id", "name", "publisher", "description", "media_type", "explicit", "total_episodes"];
        let mut row: Vec<Value> = names.iter().map(|name| said(&show[*name])).collect();
        row.push(widest(&show["images"]));
        merge(self.shows.entry(id.to_owned()).or_default(), row);
        Some(show["id"].clone())
    }

    fn episode(&mut self, episode: &Value) -> Option<Value> {
        let id = episode["id"].as_str()?;
        let show_id = self.show(&episode["show"]).unwrap_or_default();
        let mut row = vec![episode["id"].clone(), episode["name"].clone(), show_id];
        let names = ["duration_ms", "explicit", "release_date", "release_date_precision"];
        row.extend(names.iter().map(|name| episode[*name].clone()));
        row.push(widest(&episode["images"]));
        merge(self.episodes.entry(id.to_owned()).or_default(), row);
        Some(episode["id"].clone())
    }

    fn audiobook(&mut self, audiobook: &Value) -> Option<Value> {
        let id = audiobook["id"].as_str()?;
        let named = |field: &str| {
            let names = audiobook[field].as_array().expect("names").iter().map(|named| named["name"].clone());
            json!(Value::from_iter(names).to_string())
        };
        let mut row = vec![audiobook["id"].clone(), audiobook["name"].clone(), named("authors"), named("narrators")];
        let names = ["publisher", "description", "edition", "explicit", "total_chapters"];
        row.extend(names.iter().map(|name| said(&audiobook[*name])));
        row.push(widest(&audiobook["images"]));
        merge(self.audiobooks.entry(id.to_owned()).or_default(), row);
        Some(audiobook["id"].clone())
    }

    fn playlist_item(&mut self, playlist_id: &str, at: usize, item: &Value) {
        let media = either(&item["item"], &item["track"]);
        let kind = match media["type"].as_str() {
            _ if item["is_local"] == true => "local",
            None => "missing",
            Some("track") => "track",
            Some("episode") => "episode",
            Some(kind) => panic!("a {kind} in a playlist"),
        };
        let track_id = match kind {
            "track" => self.track(media).expect("a track has an id"),
            "local" => self.local_file(media),
            _ => Value::Null,
        };
        // An empty name counts as missing.
        let name = if media["name"] == "" { &Value::Null } else { &media["name"] };
        let (at, kind) = (json!(at), json!(kind));
        let added_by = &item["added_by"]["id"];
        let row = [&json!(playlist_id), &at, &media["uri"], &kind, &track_id, name, &item["added_at"], added_by];
        self.add("playlist_items", &row);
    }

    /// A local file has only names: its id is its URI, and those of its artist and its album are made of their names.
    fn local_file(&mut self, media: &Value) -> Value {
        let mut file = media.clone();
        file["id"] = media["uri"].clone();
        let artist = media["artists"][0]["name"].as_str().unwrap_or_default();
        file["artists"] =
            if artist.is_empty() { json!([]) } else { json!([{ "id": format!("local:{artist}"), "name": artist }]) };
        if let Some(album) = media["album"]["name"].as_str().filter(|album| !album.is_empty()) {
            file["album"]["id"] = json!(format!("local:{artist}:{album}"));
        }
        for number in ["disc_number", "track_number", "duration_ms"] {
            if file[number] == 0 {
                file[number] = Value::Null;
            }
        }
        self.track(&file).expect("a local file has a URI")
    }

    fn into_source(self) -> Source {
        let Facts { rows: mut tables, artists, albums, tracks, shows, episodes, audiobooks, silent_dates } = self;
        let things = BTreeMap::from([
            ("artists", artists),
            ("albums", albums),
            ("tracks", tracks),
            ("shows", shows),
            ("episodes", episodes),
            ("audiobooks", audiobooks),
        ]);
        for (table, rows) in &things {
            tables.insert(table, rows.values().map(|row| text(row.iter())).collect());
        }
        for (table, _) in TABLES {
            tables.entry(table).or_default();
        }
        Source { tables, things, silent_dates }
    }
}

fn merge(known: &mut Vec<Value>, row: Vec<Value>) {
    if known.is_empty() {
        *known = row;
        return;
    }
    for (known, new) in known.iter_mut().zip(row) {
        if known.is_null() || *known == "" {
            *known = new;
        }
    }
}

fn text<'a>(row: impl Iterator<Item = &'a Value>) -> String {
    row.map(word).collect::<Vec<_>>().join(SEPARATOR)
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An empty text counts as missing.
fn said(value: &Value) -> Value {
    if value == "" { Value::Null } else { value.clone() }
}

fn widest(images: &Value) -> Value {
    let images = images.as_array().cloned().unwrap_or_default();
    let widest = images.iter().rev().max_by_key(|image| image["width"].as_u64());
    widest.map_or(Value::Null, |image| image["url"].clone())
}

/// A client that reads one page after the other.
struct Reader<'a> {
    sandbox: &'a Sandbox,
    token: String,
}

impl Reader<'_> {
    fn sign_in(sandbox: &Sandbox) -> Reader<'_> {
        let [accounts, client_id, refresh_token] =
            ["SEGNO_SPOTIFY_ACCOUNTS_URL", "SEGNO_SPOTIFY_CLIENT_ID", "SEGNO_SPOTIFY_REFRESH_TOKEN"]
                .map(|name| &sandbox.env[name]);
        let form = format!("grant_type=refresh_token&client_id={client_id}&refresh_token={refresh_token}");
        let request = http::client().post(format!("{accounts}/api/token"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let (status, answer) = send(request);
        assert_eq!(status, 200, "{answer}");
        Reader { sandbox, token: answer["access_token"].as_str().expect("a token").to_owned() }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}/{path}", self.sandbox.env["SEGNO_SPOTIFY_API_URL"]);
        send(http::client().get(url).header("authorization", format!("Bearer {}", self.token)))
    }

    fn listing(&self, path: &str) -> Vec<Value> {
        self.try_listing(path).unwrap_or_else(|| panic!("{path} is served"))
    }

    fn try_listing(&self, path: &str) -> Option<Vec<Value>> {
        let mut rows = Vec::new();
        loop {
            let place = format!("{path}?limit=50&offset={}&additional_types=track,episode", rows.len());
            let (status, page) = self.get(&place);
            if status != 200 {
                return None;
            }
            rows.extend(page["items"].as_array().expect("items").iter().cloned());
            if page["next"].is_null() {
                return Some(rows);
            }
        }
    }

    fn followed_artists(&self) -> Vec<Value> {
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.get(&format!("me/following?type=artist&limit=50{after}"));
            assert_eq!(status, 200, "{page}");
            rows.extend(page["artists"]["items"].as_array().expect("items").iter().cloned());
            let Some(cursor) = page["artists"]["cursors"]["after"].as_str() else { return rows };
            after = format!("&after={cursor}");
        }
    }
}

fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    block_on(async {
        let response = request.send().await.expect("the sandbox answers");
        let (status, body) = (response.status().as_u16(), response.bytes().await.expect("a body"));
        (status, serde_json::from_slice(&body).unwrap_or_default())
    })
}
