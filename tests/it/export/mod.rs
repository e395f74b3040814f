//! `segno export`: the output equals the database, in the formats of the tools that read it.

mod read_back;

use super::support::{Backend, Database, Ended, Sandbox, Segno, both, python, read_by};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

fn export(database: &Database, args: &[&str]) -> Segno {
    Segno::new(database.folder.path(), &[&["export"], args].concat()).env("SEGNO_DATABASE_URL", &database.url())
}

/// A library with all the oddities of the sandbox, and plays.
fn filled(backend: Backend) -> Database {
    let (database, sandbox) = (Database::new(backend), Sandbox::start(&["--tracks", "1300", "--playlists", "6"]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    database.execute(
        "INSERT INTO plays (account_id, played_at, track_uri, track_id, ms_played, source) \
         SELECT account_id, added_at, 'spotify:track:' || track_id, track_id, 201340, 'api' FROM saved_tracks \
         WHERE added_at IS NOT NULL AND track_id NOT LIKE 'spotify:%'",
    );
    database
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let record = |record: Result<csv::StringRecord, csv::Error>| {
        record.expect("well-formed").iter().map(str::to_owned).collect()
    };
    reader.records().map(record).collect()
}

fn lines(database: &Database, sql: &str) -> BTreeSet<String> {
    database.lines(sql).into_iter().collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_nothing_left(folder: &Path) {
    let names = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name());
    let parts: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".part")).collect();
    assert!(parts.is_empty(), "{parts:?}");
}

fn told(ended: &Ended, text: &str) {
    assert!(ended.stderr.contains(text), "{text}: {}", ended.told());
}

both! {
    fn every_list_comes_out_whole(backend) {
        let database = filled(backend);
        let folder = database.folder.path().join("library");
        let at = |name: &str| folder.join(name);
        for format in ["csv", "jsonl"] {
            let ended = export(&database, &["--format", format, "--out", folder.to_str().expect("UTF-8")]).succeed();
            told(&ended, "rows to ");
            for (list, from) in [
                ("tracks", "saved_tracks WHERE removed_at IS NULL"),
                ("albums", "saved_albums WHERE removed_at IS NULL"),
                ("artists", "followed_artists WHERE removed_at IS NULL"),
                ("shows", "saved_shows WHERE removed_at IS NULL"),
                ("episodes", "saved_episodes WHERE removed_at IS NULL"),
                ("audiobooks", "saved_audiobooks WHERE removed_at IS NULL"),
                ("playlists", "library_playlists WHERE removed_at IS NULL"),
                ("listening", "listening"),
            ] {
                let text = read(&at(&format!("{list}.{format}")));
                let num = if format == "csv" { records(&text).len() - 1 } else { text.lines().count() };
                assert_eq!(num as u64, database.count(from), "{list} as {format}");
            }
        }
        let text = read(&at("tracks.csv"));
        let rows = records(&text);
        assert_eq!(rows[0][..4], ["added_at", "added_by", "position", "uri"]);
        let uris: BTreeSet<String> = rows[1..].iter().map(|row| row[3].clone()).collect();
        let held = "SELECT coalesce(t.uri, CASE WHEN t.id LIKE 'spotify:%' THEN t.id ELSE 'spotify:track:' || t.id END) \
                    AS line FROM saved_tracks s JOIN tracks t ON t.id = s.track_id WHERE s.removed_at IS NULL";
        assert_eq!(uris, lines(&database, held));
        let dates: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
        assert!(dates.is_sorted_by(|a, b| a >= b), "newest first");
        let names: BTreeSet<String> = read(&at("tracks.jsonl"))
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        let named = lines(&database, "SELECT name AS line FROM saved_tracks JOIN tracks ON id = track_id");
        assert_eq!(names, named);
        if let Some(num) = python(&[], "import csv,sys;print(len(list(csv.reader(open(sys.argv[1],newline='')))))", &at("tracks.csv")) {
            assert_eq!(num, rows.len().to_string());
        }
        assert_nothing_left(&folder);
    }

    fn playlists_come_out_for_the_tools_that_read_them(backend) {
        let database = filled(backend);
        let folder = database.folder.path();
        let zip = folder.join("spotify_playlists.zip");
        export(&database, &["--format", "exportify", "--out", zip.to_str().expect("UTF-8")]).succeed();
        let program = "import sys,zipfile,csv,io\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
                       for n in sorted(z.namelist()):\n rows=list(csv.reader(io.TextIOWrapper(z.open(n),'utf-8')))\n \
                       assert all(len(r)==19 for r in rows),n\n print(n,len(rows)-1)";
        if let Some(listed) = python(&[], program, &zip) {
            let sizes: Vec<(&str, u64)> = listed
                .lines()
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(name, num)| (name, num.parse().expect("a number")))
                .collect();
            let items: u64 = sizes.iter().filter(|(name, _)| *name != "liked.csv").map(|(_, num)| num).sum();
            let of_library = "playlist_items i JOIN library_playlists l ON l.playlist_id = i.playlist_id \
                              WHERE l.removed_at IS NULL AND i.uri IS NOT NULL";
            assert_eq!(items, database.count(of_library), "{listed}");
            let liked = database.count("saved_tracks WHERE removed_at IS NULL");
            assert!(sizes.contains(&("liked.csv", liked)), "{listed}");
        }
        let longest = "SELECT p.name AS line FROM playlists p JOIN playlist_items i ON i.playlist_id = p.id \
                       GROUP BY p.id, p.name ORDER BY count(*) DESC LIMIT 1";
        let name = database.lines(longest).remove(0);
        let items = format!("playlist_items i JOIN playlists p ON p.id = i.playlist_id WHERE i.uri IS NOT NULL AND p.name = '{}'", name.replace('\'', "''"));
        let num = database.count(&items);
        let m3u8 = export(&database, &["--playlist", &name, "--format", "m3u8"]).succeed().stdout;
        assert!(m3u8.starts_with("#EXTM3U\n#PLAYLIST:"), "{m3u8}");
        assert_eq!(m3u8.lines().filter(|line| !line.starts_with('#')).count() as u64, num);
        let jspf = export(&database, &["--playlist", &name, "--format", "jspf"]).succeed().stdout;
        let jspf: Value = serde_json::from_str(&jspf).expect("JSON");
        assert_eq!(jspf["playlist"]["track"].as_array().map(|tracks| tracks.len() as u64), Some(num));
        let file = folder.join("list.xspf");
        export(&database, &["--playlist", &name, "--format", "xspf", "--out", file.to_str().expect("UTF-8")]).succeed();
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/export/xspf.rng");
        if read_by("xmllint", &["--noout", "--relaxng", rules], &file).is_some() {
            let tracks = "count(//*[local-name() = 'track'])";
            assert_eq!(read_by("xmllint", &["--xpath", tracks], &file), Some(num.to_string()));
        }
        assert_nothing_left(folder);
    }

    fn what_was_listened_to_comes_out_for_those_who_count(backend) {
        let database = filled(backend);
        let listens = export(&database, &["listening", "--format", "listenbrainz"]).succeed();
        let num = database.count("plays");
        // Half of it was played.
        let named = "plays p JOIN tracks t ON t.id = p.track_id WHERE t.name <> '' AND coalesce(t.duration_ms, 60000) <= 2 * 201340 \
                     AND EXISTS (SELECT 1 FROM track_artists a WHERE a.track_id = t.id)";
        assert_eq!(listens.stdout.lines().count() as u64, database.count(named), "{}", listens.stderr);
        let first: Value = serde_json::from_str(listens.stdout.lines().next().expect("a listen")).expect("JSON");
        assert!(first["listened_at"].is_i64() && first["track_metadata"]["artist_name"].is_string(), "{first}");
        let streams = export(&database, &["--format", "spotify", "--out", "-", "listening"]).succeed().stdout;
        let rows: Vec<Value> = serde_json::from_str(&streams).expect("JSON");
        assert_eq!(rows.len() as u64, num);
        let since = export(&database, &["listening", "--format", "jsonl", "--since", "2025-01-01"]).succeed().stdout;
        let after = database.count("plays WHERE played_at >= '2025-01-01 00:00:00.000000+00:00'");
        assert_eq!(since.lines().count() as u64, after);
    }

    fn a_reader_that_has_seen_enough_is_no_reason_to_fail(backend) {
        let database = filled(backend);
        for format in ["csv", "jsonl", "parquet", "exportify", "exportify-net", "m3u8", "xspf", "jspf"] {
            let segno = export(&database, &["tracks", "--format", format]);
            let ended = segno.through("\"$@\" | head -n 1; exit ${PIPESTATUS[0]}").succeed();
            assert!(!ended.stderr.contains("cannot write"), "{format}: {}", ended.told());
        }
    }

    fn what_cannot_be_exported_is_said(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(20, 2, 2, 1, 2));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        for (args, parts) in [
            (&["--format", "csv"][..], &["several lists", "--out"][..]),
            (&["tracks", "--format", "spotify"], &["does not hold tracks"]),
            (&["--playlist", "nothing is called this", "--format", "csv"], &["no playlist called"]),
            (&["--playlist", "x", "--format", "listenbrainz"], &["holds no playlists"]),
            (&["tracks", "--format", "csv", "--account", "nobody"], &["is not an account here"]),
            (&["tracks", "--format", "cvs"], &["cvs", "csv"]),
        ] {
            export(&database, args).run().assert_refused(2, parts);
        }
        let nowhere = database.folder.path().join("no/such/folder/tracks.csv");
        let args = ["tracks", "--format", "csv", "--out", nowhere.to_str().expect("UTF-8")];
        export(&database, &args).run().assert_refused(1, &["cannot write to"]);
    }

    fn a_file_that_may_not_grow_is_said_and_not_left_half_written(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1500, 2, 2, 1, 2));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let segno = export(&database, &["tracks", "--format", "csv", "--out", "tracks.csv"]);
        let ended = segno.through("ulimit -f 64; \"$@\"").run();
        ended.assert_refused(1, &["cannot write the export: File too large"]);
        assert!(!database.folder.path().join("tracks.csv").exists());
        assert_nothing_left(database.folder.path());
        if backend == Backend::Sqlite {
            let fresh = Database::new(backend);
            let ended = Segno::on(&fresh, &sandbox, &["sync"]).through("ulimit -f 64; \"$@\"").run();
            assert_eq!(ended.code, Some(1), "{}", ended.told());
            told(&ended, "check the limit of file sizes (ulimit -f)");
        }
    }

    fn no_database_is_replaced(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(20, 2, 2, 1, 2));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let folder = database.folder.path();
        fs::write(folder.join("other.db"), "SQLite format 3\0 and more").expect("a file");
        let mut places = vec![("other.db", "a SQLite database")];
        if backend == Backend::Sqlite {
            std::os::unix::fs::symlink("segno.db", folder.join("link")).expect("a link");
            let (ours, part) = ("the database that segno uses", "a part of the database that segno uses");
            places.extend([("segno.db", ours), ("link", ours), ("segno.db-wal", part), ("segno.db-journal", part)]);
        }
        for (name, what) in places {
            let args = ["tracks", "--format", "csv", "--out", name];
            export(&database, &args).run().assert_refused(2, &[&format!("{name} is {what}, which would be lost")]);
            let args = ["--format", "csv", "--out", name];
            export(&database, &args).run().assert_refused(2, &[&format!("{name} is {what}")]);
        }
        assert_eq!(database.count("saved_tracks"), 20);
        assert_eq!(read(&folder.join("other.db")), "SQLite format 3\0 and more");
        assert_nothing_left(folder);
        // A list of the name of the database, in the folder of the database.
        if backend == Backend::Sqlite {
            let file = folder.join("tracks.csv");
            fs::copy(database.file(), &file).expect("a copy");
            let args = ["--format", "csv", "--out", "."];
            let url = format!("sqlite:{}", file.display());
            let ended = export(&database, &args).env("SEGNO_DATABASE_URL", &url).run();
            ended.assert_refused(2, &["tracks.csv is the database that segno uses"]);
            assert_nothing_left(folder);
        }
    }
}
