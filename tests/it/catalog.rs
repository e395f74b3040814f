//! A library of real names, in many scripts and with all the punctuation that people use, is stored byte for byte.

use super::support::{Backend, Database, Sandbox, Segno, both};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

both! {
    fn real_names_arrive_byte_for_byte(backend) {
        let Some(catalog) = Catalog::read() else { return };
        let (database, sandbox) = (Database::new(backend), Sandbox::start(&["--tracks", "0", "--albums", "0"]));
        sandbox.post("library", &catalog.library());
        Segno::on(&database, &sandbox, &["sync"]).succeed();

        assert_eq!(names(&database, "tracks"), catalog.tracks.iter().map(|track| (track.id.clone(), track.title.clone())).collect());
        assert_eq!(names(&database, "artists"), catalog.artists);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL") as usize, catalog.tracks.len());
        assert_eq!(database.count("followed_artists WHERE removed_at IS NULL") as usize, catalog.artists.len());
        let sql = "SELECT track_id || ' ' || artist_id AS line FROM track_artists";
        let linked: BTreeSet<String> = database.lines(sql).into_iter().collect();
        assert_eq!(linked, catalog.tracks.iter().map(|track| format!("{} {}", track.id, track.artist_id)).collect());
        let genres: BTreeSet<String> = database.lines("SELECT name AS line FROM playlists").into_iter().collect();
        assert_eq!(genres, catalog.genres());
        sandbox.library().assert_held_by(&database);
    }
}

struct Track {
    id: String,
    title: String,
    artist_id: String,
    genre: String,
}

struct Catalog {
    tracks: Vec<Track>,
    /// Names by id.
    artists: BTreeMap<String, String>,
}

impl Catalog {
    /// `None`, with a notice, if the folder is missing.
    fn read() -> Option<Catalog> {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "shared", "data", "catalog.csv"].iter().collect();
        let Some(text) = read(&path) else {
            eprintln!("SKIPPED: there is no {}", path.display());
            return None;
        };
        let mut rows = records(&text).into_iter();
        let header = rows.next().expect("a header");
        let place = |name: &str| header.iter().position(|field| field == name).expect("the column is there");
        let [id, title, artist_id, artist, genre] =
            ["track_id", "title", "artist_id", "artist", "final genre"].map(place);
        let mut catalog = Catalog { tracks: Vec::new(), artists: BTreeMap::new() };
        for row in rows {
            assert_eq!(row.len(), header.len(), "{row:?}");
            catalog.artists.insert(row[artist_id].clone(), row[artist].clone());
            catalog.tracks.push(Track {
                id: row[id].clone(),
                title: row[title].clone(),
                artist_id: row[artist_id].clone(),
                genre: row[genre].clone(),
            });
        }
        assert!(catalog.tracks.len() > 5_000 && !catalog.tracks.iter().all(|track| track.title.is_ascii()));
        Some(catalog)
    }

    fn genres(&self) -> BTreeSet<String> {
        self.tracks.iter().map(|track| track.genre.clone()).collect()
    }

    /// In the form for `POST /_sandbox/library`, with a playlist of at most 60 tracks per genre.
    fn library(&self) -> Value {
        let track = |track: &Track| {
            let artist = json!({ "id": track.artist_id, "name": self.artists[&track.artist_id] });
            json!({ "id": track.id, "name": track.title, "artists": [artist] })
        };
        let playlist = |(number, genre): (usize, String)| {
            let tracks = self.tracks.iter().filter(|track| track.genre == genre);
            let items: Vec<&str> = tracks.map(|track| track.id.as_str()).take(60).collect();
            json!({ "id": format!("genre{number}"), "name": genre, "items": items })
        };
        json!({
            "tracks": self.tracks.iter().map(track).collect::<Vec<_>>(),
            "artists": self.artists.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect::<Vec<_>>(),
            "playlists": self.genres().into_iter().enumerate().map(playlist).collect::<Vec<_>>(),
        })
    }
}

fn read(path: &Path) -> Option<String> {
    path.exists().then(|| std::fs::read_to_string(path).expect("it is UTF-8"))
}

/// The records of a CSV file: fields between commas, quoted where they hold commas, line ends or (doubled) quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut chars) = (false, text.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            char => field.push(char),
        }
    }
    if !record.is_empty() || !field.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

/// Names by id. Encoded in hexadecimal, so that nothing between here and the database can alter them.
fn names(database: &Database, table: &str) -> BTreeMap<String, String> {
    let hex = match database.backend {
        Backend::Sqlite => "hex(name)",
        Backend::Postgres => "upper(encode(convert_to(name, 'UTF8'), 'hex'))",
    };
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    let named = |line: String| {
        let (id, name) = line.split_once(' ').expect("two words");
        let bytes = name.as_bytes().chunks(2).map(byte).collect();
        (id.to_owned(), String::from_utf8(bytes).expect("UTF-8"))
    };
    database.lines(&format!("SELECT id || ' ' || {hex} AS line FROM {table}")).into_iter().map(named).collect()
}

#[test]
fn quoted_fields_are_read() {
    let read = records("a,b\n\"x, \"\"y\"\"\n\",\n1,\"\"\r\nlast");
    assert_eq!(read, [vec!["a", "b"], vec!["x, \"y\"\n", ""], vec!["1", ""], vec!["last"]]);
}
