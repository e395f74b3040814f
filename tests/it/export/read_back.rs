//! Parquet, JSON Lines and CSV, read by common tools: DuckDB, pyarrow and Python.

use super::*;
use std::collections::BTreeMap;

const PACKAGES: &[&str] = &["duckdb", "pyarrow"];

/// How many rows each list has, the same for all readers; `None` if they are not installed.
fn read_back(folder: &Path) -> Option<BTreeMap<String, u64>> {
    let read = python(PACKAGES, include_str!("read_back.py"), folder)?;
    let line = |line: &str| line.split_once('\t').map(|(list, num)| (list.to_owned(), num.parse().expect("a number")));
    Some(read.lines().filter_map(line).collect())
}

/// Everything, in the three formats that can hold everything.
fn exported(database: &Database) -> std::path::PathBuf {
    let folder = database.folder.path().join("library");
    for format in ["csv", "jsonl", "parquet"] {
        export(database, &["--format", format, "--out", folder.to_str().expect("UTF-8")]).succeed();
    }
    folder
}

both! {
    fn the_three_general_formats_hold_the_same_for_all_who_read_them(backend) {
        let database = filled(backend);
        let Some(lists) = read_back(&exported(&database)) else { return };
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
            assert_eq!(lists.get(list), Some(&database.count(from)), "{list}: {lists:?}");
        }
        let items: u64 = lists.iter().filter(|(list, _)| list.starts_with("playlists/")).map(|(_, num)| num).sum();
        let of_library = "playlist_items i JOIN library_playlists l ON l.playlist_id = i.playlist_id WHERE l.removed_at IS NULL";
        assert_eq!(items, database.count(of_library));
        assert!(lists["changes"] > 1000, "{lists:?}");
    }
}

#[test]
fn a_table_of_several_row_groups_is_read_back_whole() {
    let database = Database::new(Backend::Sqlite);
    let sandbox = Sandbox::exact(20, 2, 2, 1, 2);
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120001) \
         INSERT INTO plays (account_id, played_at, track_uri, track_id, ms_played, source) \
         SELECT 1, strftime('%Y-%m-%d %H:%M:%S', 1600000000 + i * 60, 'unixepoch') || '.000000+00:00', \
         'spotify:track:' || t.track_id, t.track_id, CASE WHEN i % 3 THEN i END, 'api' FROM n, (SELECT min(track_id) AS track_id FROM saved_tracks) t",
    );
    let file = database.folder.path().join("listening.parquet");
    export(&database, &["listening", "--format", "parquet", "--out", file.to_str().expect("UTF-8")]).succeed();
    let program = "import sys, pyarrow.parquet as p, duckdb\nf = p.ParquetFile(sys.argv[1])\n\
                   n, s = duckdb.execute('SELECT count(*), sum(ms_played) FROM read_parquet(?)', [sys.argv[1]]).fetchone()\n\
                   assert f.metadata.num_rows == n, n\nprint(f.num_row_groups > 2, n, s)";
    let Some(found) = python(PACKAGES, program, &file) else { return };
    let sum: u64 = (1..=120_001_u64).filter(|i| i % 3 != 0).sum();
    assert_eq!(found, format!("True 120001 {sum}"));
}
