//! A library full of odd rows (G8): each is recorded and counted, costs only itself, and never stops a run.

use super::support::{Backend, Database, Sandbox, Segno, both};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Slots from one page of a listing to the next: pages of 50 share a slot with their neighbours.
const STRIDE: usize = 49;

/// Where in its page a row is replaced.
const INDEX: usize = 10;

/// Makes an odd row of a given entity type.
type MakeOdd = Box<dyn Fn(&str) -> Odd>;

/// A row that the API gives instead of the real one, and its expected outcome.
struct Odd {
    row: Value,
    /// Its reason in `sync_odd_items`, if it is recorded.
    reason: Option<&'static str>,
    /// Whether the item at that place is in the library all the same.
    stays: bool,
    /// The id of what is in the library instead.
    instead: Option<&'static str>,
}

fn lost(row: Value, reason: &'static str) -> Odd {
    Odd { row, reason: Some(reason), stays: false, instead: None }
}

fn recorded(row: Value, reason: &'static str) -> Odd {
    Odd { row, reason: Some(reason), stays: true, instead: None }
}

fn unremarkable(row: Value) -> Odd {
    Odd { row, reason: None, stays: true, instead: None }
}

fn kept_as(id: &'static str, row: Value) -> Odd {
    Odd { row, reason: None, stays: false, instead: Some(id) }
}

/// A saved track as the API gives it, with some fields of the track inside replaced.
fn saved(id: &str, fields: Value) -> Value {
    let mut track = json!({ "id": id, "name": "Odd one out", "type": "track", "uri": format!("spotify:track:{id}"),
        "duration_ms": 1000, "explicit": false, "is_local": false, "album": { "id": "oddalbum", "name": "Odd" },
        "artists": [{ "id": "oddartist", "name": "Nobody" }] });
    let object = track.as_object_mut().expect("an object");
    object.extend(fields.as_object().expect("fields").clone());
    json!({ "added_at": "2021-02-03T04:05:06Z", "track": track })
}

fn odd_tracks(id: &dyn Fn(usize) -> String) -> Vec<Odd> {
    let mut rows: Vec<MakeOdd> = vec![
        Box::new(|_| lost(Value::Null, "null")),
        Box::new(|_| lost(json!({}), "null")),
        Box::new(|_| lost(json!({ "added_at": "2021-02-03T04:05:06Z", "track": null }), "null")),
        Box::new(|id| lost(saved(id, json!({ "id": null, "uri": null })), "missing_id")),
        Box::new(|id| lost(saved(id, json!({ "id": 7, "uri": null })), "undecodable: track.id")),
        // Its URI shows what it is, too.
        Box::new(|id| recorded(saved(id, json!({ "id": null })), "missing_id")),
        Box::new(|id| recorded(saved(id, json!({ "id": "" })), "missing_id")),
        Box::new(|id| recorded(saved(id, json!({ "id": 7 })), "undecodable: track.id")),
        Box::new(|id| lost(saved(id, json!({ "uri": "spotify:episode:odd" })), "misplaced")),
        Box::new(|id| lost(saved(id, json!({ "uri": "spotify:hologram:odd" })), "unknown_kind")),
        Box::new(|_| lost(json!({ "track": "a word" }), "undecodable: track")),
        Box::new(|_| lost(json!("a word"), "undecodable: row")),
        Box::new(|_| lost(json!([1, 2]), "undecodable: row")),
        Box::new(|id| {
            let file = json!({ "id": null, "is_local": true, "uri": "spotify:local:a:b:c:9" });
            kept_as("spotify:local:a:b:c:9", saved(id, file))
        }),
        Box::new(|id| recorded(saved(id, json!({ "name": "" })), "missing_name")),
        Box::new(|id| recorded(saved(id, json!({ "name": null })), "missing_name")),
        Box::new(|id| recorded(saved(id, json!({ "explicit": "no" })), "undecodable: track.explicit")),
        Box::new(|id| recorded(saved(id, json!({ "album": "a word" })), "undecodable: track.album")),
        Box::new(|id| recorded(saved(id, json!({ "album": [] })), "undecodable: track.album")),
        Box::new(|id| unremarkable(saved(id, json!({ "album": null, "artists": null, "duration_ms": null })))),
        Box::new(|id| unremarkable(saved(id, json!({ "duration_ms": 1e300, "mood": { "deep": [1, [2]] } })))),
        Box::new(|id| {
            recorded(saved(id, json!({ "name": "nul\u{0}l \u{1F3B5} \u{202E}" })), "undecodable: track.name")
        }),
        Box::new(|id| {
            let mut row = saved(id, json!({}));
            row["added_at"] = json!("yesterday");
            row["colour"] = json!("blue");
            recorded(row, "undecodable: added_at")
        }),
    ];
    rows.drain(..).enumerate().map(|(page, row)| row(&id(page * STRIDE + INDEX))).collect()
}

/// Puts each odd row into a page of its own.
fn rules(family: &str, rows: &[Odd]) -> Vec<Value> {
    let rule = |(page, odd): (usize, &Odd)| {
        let at = page * STRIDE + INDEX;
        json!({ "family": family, "offset_from": at, "offset_to": at + 1,
            "do": { "kind": "replace_row", "index": INDEX, "with": odd.row } })
    };
    rows.iter().enumerate().map(rule).collect()
}

/// The odd items of a listing in `sync_odd_items`.
fn odd_items(database: &Database, entity: &str) -> BTreeMap<usize, String> {
    let sql = format!(
        "SELECT CAST(position AS TEXT) || '|' || reason AS line FROM sync_odd_items \
         WHERE entity_type = '{entity}' AND playlist_id = ''"
    );
    let lines = database.lines(&sql);
    let pairs = lines.iter().map(|line| line.split_once('|').expect("two columns"));
    pairs.map(|(at, reason)| (at.parse().expect("a place"), reason.to_owned())).collect()
}

fn expected_odd_items(rows: &[Odd]) -> BTreeMap<usize, String> {
    let places = rows.iter().enumerate().map(|(page, odd)| (page * STRIDE + INDEX, odd.reason));
    places.filter_map(|(at, reason)| Some((at, reason?.to_owned()))).collect()
}

/// Ids of a listing that the database must contain: all but those whose rows were lost.
fn expected_ids(sandbox: &Sandbox, listing: &str, rows: &[Odd]) -> Vec<String> {
    let state = sandbox.library().state;
    let is_lost = |at: usize| at % STRIDE == INDEX && rows.get(at / STRIDE).is_some_and(|odd| !odd.stays);
    let listed = state[listing].as_array().expect("a listing").iter().enumerate();
    let mut ids: Vec<String> =
        listed.filter(|(at, _)| !is_lost(*at)).filter_map(|(_, row)| Some(row["id"].as_str()?.to_owned())).collect();
    ids.extend(rows.iter().filter_map(|odd| odd.instead.map(str::to_owned)));
    ids.sort();
    ids
}

fn held_ids(database: &Database, table: &str, column: &str) -> Vec<String> {
    let mut ids = database.lines(&format!("SELECT {column} AS line FROM {table} WHERE removed_at IS NULL"));
    ids.sort();
    ids
}

both! {
    /// On PostgreSQL a person's own index refuses long names without a pattern.
    fn a_name_that_an_index_of_theirs_refuses_costs_itself_only(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(260, 5, 5, 1, 5));
        let at = STRIDE + INDEX;
        let id = sandbox.library().state["tracks"][at]["id"].as_str().expect("an id").to_owned();
        let mut random = fastrand::Rng::with_seed(15);
        let name: String = std::iter::repeat_with(|| random.alphanumeric()).take(100_000).collect();
        let row = saved(&id, json!({ "name": name }));
        sandbox.rules(json!([{ "family": "tracks", "offset_from": at, "offset_to": at + 1,
            "do": { "kind": "replace_row", "index": INDEX, "with": row } }]));
        Segno::on(&database, &sandbox, &["sync", "albums"]).succeed();
        database.execute("CREATE INDEX theirs ON tracks (name)");
        for _ in 0..2 {
            let ended = Segno::on(&database, &sandbox, &["sync", "tracks", "--json"]).succeed();
            assert_eq!(ended.entity("tracks")["state"], "complete", "{}", ended.told());
            assert_eq!(database.count("saved_tracks WHERE removed_at IS NULL"), 260, "{}", ended.told());
        }
        let reasons = odd_items(&database, "tracks");
        let expected = if backend == Backend::Sqlite { "undecodable: track.name" } else { "refused by the database: index row" };
        assert!(reasons.values().any(|reason| reason.starts_with(expected)), "{reasons:?}");
        let len = database.lines("SELECT CAST(max(length(name)) AS TEXT) AS line FROM tracks");
        assert_eq!(len[0] == "16384", backend == Backend::Sqlite, "{len:?}");
    }
}

both! {
    fn odd_saved_tracks_cost_only_themselves(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(1200, 0, 0, 0, 0));
        let state = sandbox.library().state;
        let rows = odd_tracks(&|at| state["tracks"][at]["id"].as_str().expect("an id").to_owned());
        assert!(rows.len() * STRIDE < 1200, "a page for each");
        sandbox.rules(rules("tracks", &rows).into());
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        let num_recorded = rows.iter().filter(|odd| odd.reason.is_some()).count();
        assert_eq!(ended.entity("tracks")["odd"], num_recorded, "{}", ended.told());
        assert_eq!(odd_items(&database, "tracks"), expected_odd_items(&rows));
        assert_eq!(held_ids(&database, "saved_tracks", "track_id"), expected_ids(&sandbox, "tracks", &rows));
        // The name that PostgreSQL would refuse arrived without its NUL.
        assert_eq!(database.count("tracks WHERE name = 'null \u{1F3B5} \u{202E}'"), 1);
        assert_eq!(database.count("saved_tracks WHERE added_at IS NULL"), 1);
        assert_eq!(database.count("sync_gaps"), 0);
        // An item that does not belong among the tracks has kept its name.
        let named = "sync_odd_items WHERE reason = 'misplaced' AND name = 'Odd one out' AND uri = 'spotify:episode:odd'";
        assert_eq!(database.count(named), 1);

        // Another run meets the same rows, and takes nothing for removed.
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NOT NULL"), 0);
        assert_eq!(held_ids(&database, "saved_tracks", "track_id"), expected_ids(&sandbox, "tracks", &rows));

        // Once the rows are right again, none of them are odd.
        sandbox.rules(json!([]));
        Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        assert_eq!(odd_items(&database, "tracks"), BTreeMap::new());
        assert_eq!(database.count("tracks WHERE name = ''"), 0);
    }

    /// The generated library has them all: null rows, local files, episodes, takedowns, playlists of others.
    fn a_library_of_everyday_oddities_arrives_as_it_is(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::start(&["--tracks", "800"]));
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        let library = sandbox.library();
        library.assert_held_by(&database);
        let null_tracks = positions(&library.state["tracks"], Value::is_null);
        let recorded: Vec<usize> = odd_items(&database, "tracks")
            .into_iter().filter(|(_, reason)| reason == "null").map(|(at, _)| at).collect();
        assert_eq!(recorded, null_tracks);
        assert!(!null_tracks.is_empty(), "{}", ended.told());
        assert_eq!(odd_items(&database, "playlists").into_keys().collect::<Vec<_>>(),
            positions(&library.state["playlists"], Value::is_null));
        let held = database.lines(
            "SELECT i.playlist_id || '|' || CAST(i.position AS TEXT) || '|' || i.kind || '|' || \
             coalesce(i.track_id, '-') || '|' || coalesce(i.name, '-') AS line FROM playlist_items i",
        );
        let mut held: Vec<String> = held.into_iter().collect();
        held.sort();
        let mut listed = items_in_full(&library.state["playlists"]);
        listed.sort();
        assert_eq!(held.len(), listed.len());
        for (held, listed) in held.iter().zip(&listed) {
            assert_eq!(held, listed);
        }
    }
}

fn positions(rows: &Value, is_odd: impl Fn(&Value) -> bool) -> Vec<usize> {
    let rows = rows.as_array().expect("a listing").iter().enumerate();
    rows.filter(|(_, row)| is_odd(row)).map(|(at, _)| at).collect()
}

/// The items of all readable playlists, as `playlist|position|kind|track|name`.
fn items_in_full(playlists: &Value) -> Vec<String> {
    let playlists = playlists.as_array().expect("a listing");
    let readable = playlists.iter().filter(|playlist| playlist["readable"] == true);
    readable
        .flat_map(|playlist| {
            let items = playlist["items"].as_array().expect("items").iter().enumerate();
            items.map(|(at, item)| {
                let text = |field: &str| item[field].as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
                // A local file has no other id than its URI.
                let track_id = if item["kind"] == "local" { "uri" } else { "track_id" };
                let id = playlist["id"].as_str().expect("an id");
                format!("{id}|{at}|{}|{}|{}", text("kind"), text(track_id), text("name"))
            })
        })
        .collect()
}

#[test]
fn odd_albums_artists_and_playlists_cost_only_themselves() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(0, 300, 160, 120, 1));
    let state = sandbox.library().state;
    let id = |listing: &str, at: usize| state[listing][at]["id"].as_str().expect("an id").to_owned();
    let album = |page: usize, fields: Value| {
        let mut album = json!({ "id": id("albums", page * STRIDE + INDEX), "name": "Odd", "artists": [] });
        album.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
        json!({ "added_at": "2021-02-03T04:05:06Z", "album": album })
    };
    let albums = [
        lost(Value::Null, "null"),
        lost(album(1, json!({ "id": null })), "missing_id"),
        recorded(album(2, json!({ "name": "" })), "missing_name"),
        unremarkable(album(3, json!({ "artists": null, "total_tracks": null, "images": [null], "label": 5 }))),
        recorded(album(4, json!({ "images": "none" })), "undecodable: album.images"),
    ];
    let playlists = [
        lost(Value::Null, "null"),
        lost(json!({ "name": "Nobody's" }), "missing_id"),
        recorded(
            json!({ "id": id("playlists", 2 * STRIDE + INDEX), "name": null, "items": { "total": 1 } }),
            "missing_name",
        ),
    ];
    // Followed artists are paged by cursor: a page at a time, in order. The last row of a page is its cursor.
    let artist = |index: usize, row: Value| json!({ "family": "artists", "times": 1, "do": { "kind": "replace_row", "index": index, "with": row } });
    let artists =
        [artist(49, Value::Null), artist(0, json!({ "id": null })), artist(5, json!({ "id": id("artists", 105) }))];
    sandbox.rules([rules("albums", &albums), rules("playlists", &playlists), artists.into()].concat().into());

    let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
    assert_eq!(held_ids(&database, "saved_albums", "album_id"), expected_ids(&sandbox, "albums", &albums));
    assert_eq!(odd_items(&database, "albums"), expected_odd_items(&albums));
    assert_eq!(
        held_ids(&database, "library_playlists", "playlist_id"),
        expected_ids(&sandbox, "playlists", &playlists)
    );
    assert_eq!(odd_items(&database, "playlists"), expected_odd_items(&playlists));
    // Two artists are lost, the third has no name; the pages after the null at the end of one were read.
    assert_eq!(database.count("followed_artists WHERE removed_at IS NULL"), 158, "{}", ended.told());
    let reasons: Vec<(usize, String)> = odd_items(&database, "artists").into_iter().collect();
    let expected = [(49, "null"), (50, "missing_id"), (105, "missing_name")];
    assert_eq!(reasons, expected.map(|(at, reason)| (at, reason.to_owned())), "{}", ended.told());
    for (entity, num_odd) in [("albums", 4), ("artists", 3), ("playlists", 3)] {
        assert_eq!(ended.entity(entity)["odd"], num_odd, "{}", ended.told());
    }
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    for table in ["saved_albums", "followed_artists", "library_playlists"] {
        assert_eq!(database.count(&format!("{table} WHERE removed_at IS NOT NULL")), 0, "{table}");
    }
}

both! {
    /// An item of a playlist is identified by its position: whatever is odd there, the others keep theirs.
    fn odd_items_of_a_playlist_keep_their_positions(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 4, 150));
        let state = sandbox.library().state;
        let media = |fields: Value| {
            let mut media = json!({ "id": "odd1", "name": "Odd", "type": "track", "uri": "spotify:track:odd1" });
            media.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
            json!({ "added_at": "2021-02-03T04:05:06Z", "item": media })
        };
        let local = json!({ "added_at": null, "is_local": true,
            "item": { "id": null, "name": "Tape", "uri": "spotify:local:Me::Tape:7", "is_local": true } });
        let both_dialects = json!({ "item": null, "track": { "id": "odd1", "name": "Odd", "uri": "spotify:track:odd1" } });
        // The given row, what replaces it, and what is recorded.
        let odd: [(Value, &str, &str); 12] = [
            (Value::Null, "missing|-|-|-", "null"),
            (json!({ "added_at": "2021-02-03T04:05:06Z", "item": null, "track": null }), "missing|-|-|-", "null"),
            (json!("a word"), "missing|-|-|-", "undecodable: row"),
            (media(json!({ "id": null })), "track|spotify:track:odd1|odd1|Odd", "missing_id"),
            (media(json!({ "id": null, "uri": null, "name": null })), "missing|-|-|-", "missing_id"),
            (media(json!({ "type": "track", "id": "ep1", "uri": "spotify:episode:ep1" })), "episode|spotify:episode:ep1|-|Odd", ""),
            (media(json!({ "type": "chapter", "id": "ch1", "uri": "spotify:episode:ch1" })), "chapter|spotify:episode:ch1|-|Odd", ""),
            (local, "local|spotify:local:Me::Tape:7|spotify:local:Me::Tape:7|Tape", ""),
            (media(json!({ "name": "" })), "track|spotify:track:odd1|odd1|-", "missing_name"),
            (media(json!({ "type": "track", "uri": "spotify:hologram:h1" })), "unknown|spotify:hologram:h1|-|Odd", "unknown_kind"),
            (media(json!({ "album": [], "artists": {} })), "track|spotify:track:odd1|odd1|Odd", "undecodable: item.artists"),
            (both_dialects, "track|spotify:track:odd1|odd1|Odd", ""),
        ];
        // Four playlists of three pages each: a row in each page.
        let place = |n: usize| (state["playlists"][n / 3]["id"].as_str().expect("an id"), n % 3 * 50 + 7);
        let rule = |(n, (row, ..)): (usize, &(Value, &str, &str))| {
            let (id, at) = place(n);
            json!({ "path_prefix": format!("/v1/playlists/{id}/items"), "offset_from": at, "offset_to": at + 1,
                "do": { "kind": "replace_row", "index": 7, "with": row } })
        };
        sandbox.rules(odd.iter().enumerate().map(rule).collect());
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();

        let replaced: BTreeMap<(&str, usize), &str> = odd.iter().enumerate().map(|(n, odd)| (place(n), odd.1)).collect();
        let sql = "SELECT playlist_id || '|' || CAST(position AS TEXT) || '|' || kind || '|' || coalesce(uri, '-') || '|' \
                   || coalesce(track_id, '-') || '|' || coalesce(name, '-') AS line FROM playlist_items";
        let mut held = database.lines(sql);
        held.sort();
        let mut expected = Vec::new();
        for playlist in state["playlists"].as_array().expect("a listing") {
            let id = playlist["id"].as_str().expect("an id");
            for (at, item) in playlist["items"].as_array().expect("items").iter().enumerate() {
                let text = |field: &str| item[field].as_str().unwrap_or("-").to_owned();
                let real = format!("{}|{}|{}|{}", text("kind"), text("uri"), text("track_id"), text("name"));
                let stands = replaced.get(&(id, at)).map_or(real, |odd| (*odd).to_owned());
                expected.push(format!("{id}|{at}|{stands}"));
            }
        }
        expected.sort();
        assert_eq!(held, expected);
        let recorded = odd.iter().enumerate().filter(|(_, odd)| !odd.2.is_empty());
        let mut recorded: Vec<String> =
            recorded.map(|(n, odd)| format!("{}|{}|{}", place(n).0, place(n).1, odd.2)).collect();
        recorded.sort();
        let sql = "SELECT playlist_id || '|' || CAST(position AS TEXT) || '|' || reason AS line FROM sync_odd_items \
                   WHERE entity_type = 'playlists'";
        let mut held = database.lines(sql);
        held.sort();
        assert_eq!(held, recorded);
        assert_eq!(ended.entity("playlists")["odd"], recorded.len(), "{}", ended.told());
    }
}

/// The API omits a field everywhere: the rows are kept as far as possible, and completed when it is back.
#[test]
fn a_field_that_is_missing_everywhere_stops_nothing() {
    for fields in [
        json!(["name"]),
        json!(["added_at", "added_by"]),
        json!(["images", "track.album", "track.artists", "album.artists", "item.album", "item.artists"]),
        json!(["external_ids", "release_date", "total_tracks", "duration_ms", "is_local", "type", "uri"]),
        json!(["snapshot_id", "owner", "public", "collaborative", "description"]),
    ] {
        let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(260, 60, 60, 4, 60));
        sandbox.rules(json!([{ "do": { "kind": "drop_fields", "fields": fields } }]));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        let counts = ["saved_tracks", "saved_albums", "followed_artists", "library_playlists", "playlist_items"]
            .map(|table| database.count(table));
        assert_eq!(counts, [260, 60, 60, 4, 240], "{fields}: {}", ended.told());
        sandbox.rules(json!([]));
        Segno::on(&database, &sandbox, &["reset", "--all"]).succeed();
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let fresh = Database::new(Backend::Sqlite);
        Segno::on(&fresh, &sandbox, &["sync"]).succeed();
        database.assert_same_library(&fresh);
    }
}

/// G3: a row that has lost its object is still in the listing. Its item was not seen to be gone.
#[test]
fn rows_that_lose_their_tracks_remove_nothing() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(1000, 0, 0, 0, 0));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.edit(json!([{ "op": "remove_tracks", "offset": 700, "count": 1 }]));
    let state = sandbox.library().state;
    let null = |page: usize| {
        let at = page * STRIDE + INDEX;
        let row = json!({ "added_at": state["tracks"][at]["added_at"], "track": null });
        json!({ "family": "tracks", "offset_from": at, "offset_to": at + 1,
            "do": { "kind": "replace_row", "index": INDEX, "with": row } })
    };
    sandbox.rules((1..6).map(null).collect());
    for _ in 0..2 {
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let removed = database.count("saved_tracks WHERE removed_at IS NOT NULL");
        assert!(removed <= 1, "{removed} of the five rows without a track, and one that is gone, were marked removed");
    }
    sandbox.rules(json!([]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

/// The API renames a field, as it did in 2026: no row has a track any more, and none is taken for removed.
#[test]
fn a_listing_whose_rows_all_lose_their_tracks_removes_nothing() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(300, 0, 0, 0, 0));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    // A removal, so that the count requires a whole walk.
    sandbox.edit(json!([{ "op": "remove_tracks", "offset": 200, "count": 1 }]));
    sandbox.rules(json!([{ "family": "tracks", "do": { "kind": "drop_fields", "fields": ["track", "item"] } }]));
    for run in 1..=3 {
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let removed = database.count("saved_tracks WHERE removed_at IS NOT NULL");
        assert!(removed <= 1, "{removed} of 300 tracks were marked removed in run {run}");
    }
    sandbox.rules(json!([]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    sandbox.library().assert_held_by(&database);
}

both! {
    /// Rows that contain nothing, not even when they were added, may be any of the unseen items.
    fn rows_that_say_nothing_remove_nothing_until_they_can_be_read(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(300, 0, 0, 40, 1));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.edit(json!([{ "op": "remove_tracks", "offset": 250 }, { "op": "remove_playlist", "index": 30 }]));
        // The row of the tracks is in the middle, where a search for the removal begins.
        let says_nothing = |family: &str, at: usize, index: usize| {
            json!({ "family": family, "offset_from": at, "offset_to": at + 1,
                "do": { "kind": "replace_row", "index": index, "with": null } })
        };
        sandbox.rules(json!([says_nothing("tracks", 4 * STRIDE + INDEX, INDEX), says_nothing("playlists", 12, 12)]));
        let notes = [
            ("tracks", "2 tracks cannot be found, but 1 row did not say what it holds"),
            ("playlists", "2 playlists cannot be found, but 1 row did not say what it holds"),
        ];
        for _ in 0..2 {
            let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
            for (entity, note) in notes {
                assert!(ended.stdout.contains(note), "{}", ended.told());
                assert!(database.state(entity, "incremental_sync", "error_message").contains(note), "{}", ended.told());
            }
            for table in ["saved_tracks", "library_playlists"] {
                assert_eq!(database.count(&format!("{table} WHERE removed_at IS NOT NULL")), 0, "{}", ended.told());
            }
        }
        sandbox.rules(json!([]));
        let ended = Segno::on(&database, &sandbox, &["sync"]).succeed();
        sandbox.library().assert_held_by(&database);
        for (entity, _) in notes {
            assert_eq!(database.state(entity, "incremental_sync", "error_message"), "", "{}", ended.told());
        }
    }
}
