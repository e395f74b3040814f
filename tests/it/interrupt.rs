//! Stopped at any instant, by any cause, a sync carries on from where it was: nothing that was committed is lost or
//! requested again.

use super::support::{Backend, Database, NUM_ENTITY_TYPES, Sandbox, Segno, both, entity_types, wait_until};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Requests of an entity type that a kill may waste: the batch being committed and the one being fetched, of four pages
/// each.
const IN_FLIGHT_MAX: u64 = 2 * 4;

both! {
    fn resume_after_partial_sync(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        kill_after(
            &database,
            Segno::on(&database, &sandbox, &["sync"]),
            "sync_batches WHERE entity_type = 'tracks'",
            2,
        );

        let committed = database.number("last_synced_offset", "sync_states WHERE entity_type = 'tracks'");
        assert_eq!(database.count("saved_tracks"), committed, "rows and checkpoint are one");
        let begun = sandbox.log_of("tracks").iter().filter(|asked| asked.end() > committed).count() as u64;
        assert!(begun <= IN_FLIGHT_MAX, "{begun} requests were under way beyond {committed}");
        let cursor = database.value("cursor", "sync_states WHERE entity_type = 'artists'");
        let is_read = "items_snapshot_id = snapshot_id";
        let read: BTreeSet<String> = database.lines(&format!("SELECT id AS line FROM playlists WHERE {is_read}")).into_iter().collect();
        let open = open_entities(&database);
        assert!(open.contains("tracks"), "the kill came too late: {open:?}");

        sandbox.forget_requests();
        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        assert_eq!(ended.entity("tracks")["resumed_from"].as_u64(), Some(committed));
        // The last committed slot is requested once more: it proves that the place is still right. At the very end one
        // look at the head finds what was saved since the first process began.
        let asked: Vec<u64> = sandbox.log_of("tracks").iter().map(|asked| asked.offset()).collect();
        let (head, pages) = asked.split_last().expect("tracks were asked for");
        assert_eq!((pages.iter().min().copied(), *head), (Some(committed - 1), 0), "{asked:?}");
        assert!(asked.len() as u64 <= (1500 - committed).div_ceil(49) + 2, "{asked:?}");
        if open.contains("artists") && !cursor.is_empty() {
            let after: Vec<_> = sandbox.log_of("artists").into_iter().map(|asked| asked.parameter("after").map(str::to_owned)).collect();
            assert_eq!(after[0].as_deref(), Some(cursor.as_str()), "{after:?}");
        }
        let again: Vec<_> = sandbox.log_of("playlist_items").into_iter().filter(|asked| asked.playlist_id().is_some_and(|id| read.contains(id))).collect();
        assert!(again.is_empty(), "playlists that were read are read again: {again:?}");

        assert_like_an_undisturbed_run(&database, &sandbox);
    }

    fn sync_interrupt_resume_complete(backend) {
        let sandbox = library();
        let undisturbed = Database::new(backend);
        sandbox.configure(json!({ "latency_ms": 0 }));
        Segno::on(&undisturbed, &sandbox, &["sync"]).succeed();
        sandbox.configure(json!({ "latency_ms": 15 }));
        let database = Database::new(backend);
        let lives = live_until_complete(&database, &sandbox);
        assert!(lives.len() > 6, "{} lives: it was hardly interrupted", lives.len());
        database.assert_same_library(&undisturbed);
        assert_frugal(&database, &sandbox, &lives);
        sandbox.library().assert_held_by(&undisturbed);
    }

    fn the_place_inside_a_long_playlist_is_kept(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 0, 1, 1200));
        let id = sandbox.library().rows("playlists")[0]["id"].as_str().expect("an id").to_owned();
        let offsets = || sandbox.log_of("playlist_items").iter().map(|asked| asked.offset()).collect::<Vec<_>>();
        sandbox.configure(json!({ "latency_ms": 150 }));
        let sync = || Segno::on(&database, &sandbox, &["sync", "playlists"]);
        kill_after(&database, sync(), "playlist_items", 400);
        let committed = database.count("playlist_items");
        sandbox.forget_requests();
        kill_after(&database, sync(), "playlist_items", committed + 200);
        assert_eq!(offsets().iter().min(), Some(&committed), "nothing is read again, and nothing left out");

        // A playlist that changed meanwhile is read from its beginning.
        sandbox.edit_one(json!({ "op": "playlist_move", "index": 0, "from": 3, "to": 900 }));
        sandbox.configure(json!({ "latency_ms": 0 }));
        sandbox.forget_requests();
        sync().succeed();
        assert_eq!(offsets().iter().filter(|offset| **offset == 0).count(), 1, "{:?}", offsets());
        assert_eq!(database.count(&format!("playlist_items WHERE playlist_id = '{id}'")), 1200);
        sandbox.library().assert_held_by(&database);
    }

    fn a_walk_for_what_was_removed_survives_a_kill(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(800, 0, 0, 0, 0));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        // More than a search is worth.
        let mut gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 500, "count": 20 }));
        sandbox.configure(json!({ "latency_ms": 60 }));
        let sync = || Segno::on(&database, &sandbox, &["sync", "tracks"]);
        let seen = "sync_batches WHERE entity_type = 'tracks' AND phase = 'incremental_sync'";
        kill_after(&database, sync(), seen, 6);
        kill_after(&database, sync(), seen, 9);
        assert_eq!(database.count("saved_tracks WHERE removed_at IS NOT NULL"), 0, "nothing is proven yet");

        // Additions and removals behind the walk meanwhile do not confuse it.
        gone.extend(sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 700, "count": 2 })));
        gone.extend(sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 100, "count": 2 })));
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 4 }));
        sandbox.edit_one(json!({ "op": "resave_track", "offset": 300 }));
        sync().succeed();
        sandbox.library().assert_held_by(&database);
        let removed = database.lines("SELECT track_id AS line FROM saved_tracks WHERE removed_at IS NOT NULL");
        assert_eq!(removed.into_iter().collect::<BTreeSet<_>>(), gone.into_iter().collect());
    }

    fn what_kills_it_while_it_starts_does_no_harm(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(120, 20, 20, 2, 20));
        for after_ms in (0..240).step_by(12) {
            let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
            std::thread::sleep(Duration::from_millis(after_ms));
            running.kill();
        }
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        assert_like_an_undisturbed_run(&database, &sandbox);
    }

    /// A syncer that dies between the last batch of its walk and the note that the walk is over has everything it
    /// needs.
    fn the_end_of_a_walk_is_remembered(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(0, 0, 120, 0, 0));
        // It passes the point when it starts, for each of three pages, and when the batch is committed.
        let ended = Segno::on(&database, &sandbox, &["sync", "artists", "--json"]).env("SEGNO_FAULTS", "syncer.other=5").succeed();
        assert!(ended.stderr.contains("fault at syncer.other"), "{}", ended.told());
        let artists = sandbox.library().rows("artists");
        let last = artists.last().and_then(|artist| artist["id"].as_str());
        let log = sandbox.log_of("artists");
        assert!(log.iter().skip(3).all(|asked| asked.parameter("after") == last), "pages were read twice: {log:#?}");
        assert_eq!(database.number("sum(items_processed)", "sync_batches"), 120);
        assert_eq!(database.number("last_synced_offset", "sync_states"), 120);
        sandbox.library().assert_held_by(&database);
    }

    fn a_stop_is_clean_and_days_may_pass(backend) {
        let (database, sandbox) = (Database::new(backend), library());
        let running = Segno::on(&database, &sandbox, &["sync"]).spawn();
        let tracks = "sync_batches WHERE entity_type = 'tracks'";
        wait_until("three batches of tracks are committed", || database.has_tables() && database.count(tracks) >= 3);
        let told_at = Instant::now();
        running.signal("TERM");
        let ended = running.wait();
        assert!(told_at.elapsed() < Duration::from_secs(10), "it took {:?} to stop", told_at.elapsed());
        assert_eq!(ended.code, Some(130), "{}", ended.told());
        assert!(ended.stderr.contains("running again carries on"), "{}", ended.told());
        assert!(ended.stdout.contains("the next run carries on"), "{}", ended.told());
        let place = database.number("last_synced_offset", "sync_states WHERE entity_type = 'tracks'");
        assert!((500..1300).contains(&place), "the stop came at {place}");

        sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 1400, "count": 5 }));
        let gone = sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 100, "count": 5 }));
        sandbox.edit_one(json!({ "op": "add_tracks", "count": 30 }));
        sandbox.edit_one(json!({ "op": "remove_albums", "offset": 3, "count": 2 }));
        sandbox.edit_one(json!({ "op": "add_albums", "count": 2 }));
        sandbox.edit_one(json!({ "op": "unfollow", "index": 4, "count": 2 }));
        sandbox.edit_one(json!({ "op": "follow", "count": 5 }));
        sandbox.edit_one(json!({ "op": "playlist_remove", "index": 0, "position": 10, "count": 3 }));
        sandbox.edit_one(json!({ "op": "move_playlist", "from": 3, "to": 9 }));

        let ended = Segno::on(&database, &sandbox, &["sync", "--json"]).succeed();
        assert_eq!(ended.entity("tracks")["resumed_from"].as_u64(), Some(place));
        sandbox.library().assert_held_by(&database);
        for id in gone {
            assert_eq!(database.count(&format!("saved_tracks WHERE track_id = '{id}' AND removed_at IS NOT NULL")), 1);
            assert_eq!(database.count(&format!("tracks WHERE id = '{id}'")), 1);
        }
    }
}

/// Every batch counts here: 1,500 tracks, two pages of albums and artists, short playlists and a long one.
fn library() -> Sandbox {
    let sandbox = Sandbox::exact(1500, 150, 120, 12, 60);
    sandbox.edit_one(json!({ "op": "add_playlist", "items": 620 }));
    sandbox.configure(json!({ "latency_ms": 60 }));
    sandbox
}

/// Runs a command and kills it once there are this many rows.
fn kill_after(database: &Database, command: Segno, from: &str, rows: u64) {
    let mut running = command.spawn();
    wait_until("enough is committed", || database.has_tables() && database.count(from) >= rows);
    assert!(running.is_running(), "the kill comes too late");
    running.kill();
    database.settle();
}

fn assert_like_an_undisturbed_run(database: &Database, sandbox: &Sandbox) {
    sandbox.configure(json!({ "latency_ms": 0 }));
    let undisturbed = Database::new(database.backend);
    Segno::on(&undisturbed, sandbox, &["sync"]).succeed();
    database.assert_same_library(&undisturbed);
    sandbox.library().assert_held_by(database);
}

/// Entity types whose first sync is not complete.
fn open_entities(database: &Database) -> BTreeSet<String> {
    let complete =
        database.lines("SELECT entity_type AS line FROM sync_states WHERE phase = 'initial_sync' AND is_complete");
    entity_types().map(str::to_owned).filter(|entity| !complete.contains(entity)).collect()
}

/// What one process did before it was killed, or ended.
#[derive(Debug)]
struct Life {
    /// Requests of each entity type, as the sandbox counted them.
    sent: BTreeMap<&'static str, u64>,
    /// Those of committed batches.
    committed: BTreeMap<&'static str, u64>,
    /// Entity types of which the next process may repeat a request that has been committed, once for each request.
    to_repeat: Vec<String>,
}

/// Syncs, killing the process after every batch with something new, until one ends by itself.
fn live_until_complete(database: &Database, sandbox: &Sandbox) -> Vec<Life> {
    let news = "sync_batches WHERE items_new > 0";
    let (mut lives, mut has_tables): (Vec<Life>, bool) = (Vec::new(), false);
    loop {
        assert!(lives.len() < 50, "it never ends: {lives:?}");
        sandbox.forget_requests();
        let (news_before, committed_before) =
            if has_tables { (database.count(news), committed_requests(database)) } else { (0, BTreeMap::new()) };
        let mut running = Segno::on(database, sandbox, &["sync", "--json"]).spawn();
        let mut is_running = true;
        while is_running && !(has_tables && database.count(news) > news_before) {
            std::thread::sleep(Duration::from_millis(2));
            has_tables = has_tables || database.has_tables();
            is_running = running.is_running();
        }
        if is_running {
            running.kill();
            database.settle();
        } else {
            let ended = running.wait();
            assert_eq!(ended.code, Some(0), "{}", ended.told());
        }
        let mut committed = committed_requests(database);
        for (entity, before) in committed_before {
            *committed.entry(entity).or_default() -= before;
        }
        lives.push(Life { sent: sent_requests(sandbox), committed, to_repeat: to_repeat(database) });
        if !is_running {
            return lives;
        }
    }
}

fn committed_requests(database: &Database) -> BTreeMap<&'static str, u64> {
    let of = |entity| database.number("sum(requests)", &format!("sync_batches WHERE entity_type = '{entity}'"));
    entity_types().map(|entity| (entity, of(entity))).collect()
}

/// The last page of each listing that was read to its end and is not judged yet; and the listing of playlists, which a
/// process that continues their items reads once more.
fn to_repeat(database: &Database) -> Vec<String> {
    let open = "SELECT entity_type AS line FROM sync_states WHERE phase = 'initial_sync' AND NOT is_complete \
                AND total_estimated IS NOT NULL";
    let is_at_end = "last_synced_offset >= total_estimated AND checkpoint LIKE '%\"stage\":\"walk\"%'";
    let mut entities = database.lines(&format!("{open} AND {is_at_end}"));
    entities.extend(database.lines(&format!("{open} AND entity_type = 'playlists'")));
    entities
}

fn sent_requests(sandbox: &Sandbox) -> BTreeMap<&'static str, u64> {
    let stats = sandbox.get("stats");
    let of = |entity: &str| {
        let items = if entity == "playlists" { stats["by_family"]["playlist_items"].as_u64().unwrap_or(0) } else { 0 };
        stats["by_family"][entity].as_u64().unwrap_or(0) + items
    };
    entity_types().map(|entity| (entity, of(entity))).collect()
}

/// A kill wastes only what was in flight; and the commits of all lives together are hardly more than one life needs.
fn assert_frugal(database: &Database, sandbox: &Sandbox, lives: &[Life]) {
    for life in lives {
        for entity in entity_types() {
            let wasted = life.sent[entity] - life.committed.get(entity).copied().unwrap_or(0);
            assert!(wasted <= IN_FLIGHT_MAX, "{entity}: {wasted} requests came to nothing: {lives:?}");
        }
    }
    let least = sandbox.library().least_requests() as f64;
    let committed =
        |phase: &str| database.number("sum(requests)", &format!("sync_batches WHERE phase = '{phase}_sync'")) as f64;
    // What a killed process left to be repeated counts only if the next one got as far as a commit of it.
    let num_repeated = |[life, next]: &[Life; 2]| {
        life.to_repeat.iter().filter(|entity| next.committed.get(entity.as_str()).is_some_and(|num| *num > 0)).count()
    };
    let repeated: usize = lives.array_windows().map(num_repeated).sum();
    let needed = least * 1.03 + 2.0 + repeated as f64;
    let of_each = database.lines(
        "SELECT entity_type || ' ' || sum(requests) AS line FROM sync_batches WHERE phase = 'initial_sync' GROUP BY entity_type",
    );
    let told = || format!("{} requests where {least} would do, {of_each:?}: {lives:?}", committed("initial"));
    assert!(committed("initial") <= needed, "{}", told());
    // Every life looks at the complete listings, in batches of the other phase.
    let sent: u64 = lives.iter().flat_map(|life| life.sent.values()).sum();
    let wasted = lives.len() as f64 * (NUM_ENTITY_TYPES * (IN_FLIGHT_MAX + 1)) as f64;
    assert!(sent as f64 <= needed + committed("incremental") + wasted, "{sent} requests: {lives:?}");
    let again = "sync_batches WHERE phase = 'initial_sync' AND entity_type <> 'playlists'";
    assert_eq!(database.number("sum(items_unchanged)", again), 0, "what was committed came again: {lives:?}");
}
