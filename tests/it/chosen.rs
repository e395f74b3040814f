//! `sync.playlists`: excluded playlists are not requested, keep their rows, and are reported.

use super::support::{Backend, Database, Sandbox, Segno, both};
use serde_json::json;

fn sync(database: &Database, sandbox: &Sandbox, playlists: &str) -> Segno {
    Segno::on(database, sandbox, &["sync", "playlists"]).env("SEGNO_SYNC_PLAYLISTS", playlists)
}

/// A library of three playlists, and their names.
fn three() -> (Sandbox, Vec<(String, String)>) {
    let sandbox = Sandbox::exact(40, 2, 2, 3, 10);
    let listed = sandbox.library().rows("playlists");
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().expect("text").to_owned();
    let named = listed.iter().map(|row| (text(row, "id"), text(row, "name"))).collect();
    (sandbox, named)
}

fn num_items(database: &Database, id: &str) -> u64 {
    database.count(&format!("playlist_items WHERE playlist_id = '{id}'"))
}

both! {
    fn a_playlist_that_is_left_out_is_not_read_and_is_said(backend) {
        let (database, (sandbox, named)) = (Database::new(backend), three());
        let (id, name) = &named[1];
        sync(&database, &sandbox, &format!("!{name}")).succeed();
        assert_eq!(num_items(&database, id), 0);
        for (other, _) in [&named[0], &named[2]] {
            assert!(num_items(&database, other) > 0, "{other}");
        }
        assert!(!sandbox.log_of("playlist_items").iter().any(|asked| asked.playlist_id() == Some(id)), "not one request");
        assert_eq!(database.count("library_playlists WHERE removed_at IS NULL"), 3, "it is in the library");

        let status = |playlists: &str, args: &[&str]| {
            Segno::on(&database, &sandbox, args).env("SEGNO_SYNC_PLAYLISTS", playlists).succeed()
        };
        let text = status(&format!("!{name}"), &["status"]).stdout;
        assert!(text.contains("1 playlist left out by sync.playlists"), "{text}");
        let json = status("owned,!x*", &["status", "--json"]).json();
        let entity = json["accounts"][0]["entities"].as_array().expect("entities").iter().find(|entity| entity["entity_type"] == "playlists");
        assert_eq!(entity.expect("playlists")["left_out_playlists"], json!(0));
    }

    fn what_was_read_before_it_was_left_out_stays_as_it_was(backend) {
        let (database, (sandbox, named)) = (Database::new(backend), three());
        sync(&database, &sandbox, "*").succeed();
        let before = database.lines("SELECT uri || '|' || position AS line FROM playlist_items ORDER BY 1");
        sandbox.edit_one(json!({ "op": "playlist_remove", "index": 0, "position": 0 }));
        // By its id, among the allowed ones.
        sync(&database, &sandbox, &named[1].0).succeed();
        let after = database.lines("SELECT uri || '|' || position AS line FROM playlist_items ORDER BY 1");
        assert_eq!(after, before, "as it was");
        assert_eq!(database.count("library_playlists WHERE removed_at IS NULL"), 3);
        assert_eq!(database.count("held_removals"), 0);
        // Wanted again, it is read.
        sync(&database, &sandbox, "owned").succeed();
        let held: std::collections::BTreeSet<String> = database
            .lines("SELECT playlist_id || '|' || position || '|' || uri AS line FROM playlist_items")
            .into_iter()
            .collect();
        assert_eq!(held, sandbox.library().playlist_items());
    }
}
