//! What holds at any time, even right after a process was killed.

use super::{
    super::support::{
        Database, entity_types, membership_of,
        source::{Column, Kind, SEPARATOR, line_of},
    },
    history::{DATED, History, Ids},
    script::Round,
};
use segno::model::EntityType;
use std::collections::{BTreeMap, BTreeSet};

/// Checks after a round; `ended_well` says whether its command ended by itself and reported success.
pub fn check(database: &Database, history: &mut History, round: &Round, ended_well: bool) {
    if !database.has_tables() {
        return;
    }
    no_row_is_invented(database, history);
    items_are_those_of_their_snapshot(database, history);
    the_history_of_playlists_adds_up(database, history);
    places_lie_within_what_is_held(database, history);
    states_agree_with_themselves(database, history);

    let removed = members(database, "IS NOT NULL");
    let known = std::mem::take(&mut history.removed);
    let since = history.since_at_rest.as_ref().expect("a round was taken in");
    for listing in entity_types() {
        let wronged: Vec<_> =
            removed[listing].iter().filter(|id| since[listing].contains(*id) && !is_in(&known, listing, id)).collect();
        assert!(wronged.is_empty(), "{listing}: marked removed, and there all the time: {wronged:?}");
    }
    history.is_verifying = (history.is_verifying && !round.is_verify()) || (round.is_verify() && !ended_well);
    if ended_well {
        what_was_there_all_through_is_held(database, history, round);
        if round.is_whole() {
            all_is_complete(database, round);
        }
        if round.is_whole() && !history.is_verifying {
            // No walk is open: items marked removed from here on were removed after this point.
            history.since_at_rest = None;
        }
    }
    history.removed = removed;
}

/// Every row was true at some moment.
fn no_row_is_invented(database: &Database, history: &History) {
    let tables: [(&str, &str, &[Column]); 8] = [
        ("saved_tracks", "", &[("track_id", Kind::Plain), ("added_at", Kind::Time)]),
        ("saved_albums", "", &[("album_id", Kind::Plain), ("added_at", Kind::Time)]),
        ("saved_shows", "", &[("show_id", Kind::Plain), ("added_at", Kind::Time)]),
        ("saved_episodes", "", &[("episode_id", Kind::Plain), ("added_at", Kind::Time)]),
        ("saved_audiobooks", "", &[("audiobook_id", Kind::Plain), ("added_at", Kind::Time)]),
        ("followed_artists", "", &[("artist_id", Kind::Plain)]),
        ("playlists", "", &["id", "name", "owner_id", "snapshot_id"].map(|column| (column, Kind::Plain))),
        // An item without an address is missing, or could not be served.
        (
            "playlist_items",
            " WHERE uri IS NOT NULL",
            &[("playlist_id", Kind::Plain), ("uri", Kind::Plain), ("added_at", Kind::Time)],
        ),
    ];
    for (table, condition, columns) in tables {
        let sql = format!("SELECT {} AS line FROM {table}{condition}", line_of(columns, database.backend));
        let invented: Vec<String> = database.lines(&sql).into_iter().filter(|row| !history.was(table, row)).collect();
        assert!(invented.is_empty(), "{table}: rows that never were: {invented:?}");
    }
}

/// Items under the latest snapshot of their playlist are those of that snapshot, in order. Others may be newer than
/// their snapshot: a reading carries the snapshot that was listed before.
fn items_are_those_of_their_snapshot(database: &Database, history: &History) {
    let read = database.lines(
        "SELECT id || ' ' || items_snapshot_id AS line FROM playlists WHERE items_readable AND items_snapshot_id IS NOT NULL \
         AND id NOT IN (SELECT playlist_id FROM sync_gaps WHERE healed_at IS NULL AND playlist_id IS NOT NULL)",
    );
    let item = line_of(&[("uri", Kind::Plain), ("added_at", Kind::Time)], database.backend);
    for (id, snapshot) in read.iter().filter_map(|line| line.split_once(' ')) {
        if history.latest.get(id).is_none_or(|latest| latest != snapshot) {
            continue;
        }
        let sql = format!("SELECT {item} AS line FROM playlist_items WHERE playlist_id = '{id}' ORDER BY position");
        let held = database.lines(&sql);
        let listed = &history.contents[&(id.to_owned(), snapshot.to_owned())];
        // Rows that were counted but not given are missing among the others.
        let hidden = database.number("items_hidden", &format!("playlists WHERE id = '{id}'")) as usize;
        let mut rest = listed.iter();
        let is_among = held.iter().all(|item| rest.any(|one| one == item));
        let is_whole = held.len() + hidden == listed.len();
        assert!(is_among && is_whole, "the playlist {id} at {snapshot}: {held:?}, {hidden} hidden, of {listed:?}");
    }
}

/// The additions to a playlist and removals from it, from its first version on, add up to its items; nothing is
/// reported as removed that never was away, nor as added that never was there.
fn the_history_of_playlists_adds_up(database: &Database, history: &History) {
    // A reading that was not compared yet, since part of it could not be served, is in no version.
    let whole = "playlist_id NOT IN (SELECT playlist_id FROM playlist_walks)";
    let sums = format!(
        "SELECT playlist_id || ' ' || CAST(sum(items_added - items_removed) AS TEXT) AS line FROM playlist_versions WHERE \
         {whole} GROUP BY playlist_id"
    );
    for (id, sum) in database.lines(&sums).iter().filter_map(|line| line.split_once(' ')) {
        let known = format!("playlist_items WHERE playlist_id = '{id}' AND (uri IS NOT NULL OR track_id IS NOT NULL)");
        let held = database.count(&known).to_string();
        assert_eq!(sum, held, "the versions of playlist {id}, and its items");
    }
    let kinds = "SELECT kind || ' ' || playlist_id || ' ' || uri AS line FROM playlist_changes JOIN playlist_versions v ON \
                 v.id = version_id WHERE uri IS NOT NULL";
    for change in database.lines(kinds) {
        let [kind, id, uri] = change.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{change}") };
        let versions = history.contents.iter().filter(|((playlist, _), _)| playlist == id);
        let is_it = |item: &&String| item.split_once(SEPARATOR).is_some_and(|(held, _)| held == uri);
        let counts: BTreeSet<usize> = versions.map(|(_, items)| items.iter().filter(is_it).count()).collect();
        // If it always occurred as often, it was neither added nor removed.
        assert!(counts.len() > 1, "{kind} in playlist {id}: {uri}, which stood there {counts:?} times at all times");
    }
}

/// A first sync is no further than the rows that it committed; additions to the listing push its place on.
fn places_lie_within_what_is_held(database: &Database, history: &History) {
    for (listing, table) in DATED {
        let of = format!("WHERE entity_type = '{listing}'");
        let under_way = format!("sync_states {of} AND phase = 'initial_sync' AND NOT is_complete");
        let place = database.number("max(last_synced_offset)", &under_way);
        let odd = database.count(&format!("sync_odd_items {of}"));
        let unserved = database.number("sum(offset_to - offset_from)", &format!("sync_gaps {of}"));
        let (held, arrived) = (database.count(table), history.num_arrivals.get(listing).copied().unwrap_or(0));
        let bound = held + odd + unserved + arrived;
        assert!(place <= bound, "{listing}: at {place} with {held} rows, {odd} odd ones, {unserved} + {arrived}");
    }
}

/// The states, a line each, first syncs first.
pub fn states(database: &Database) -> Vec<String> {
    if !database.has_tables() {
        return Vec::new();
    }
    database.lines(
        "SELECT phase || ' ' || entity_type || ' ' || CAST(generation AS TEXT) || CASE WHEN is_complete THEN ' complete' \
         ELSE ' open' END || CASE WHEN completed_at IS NULL THEN ' never' ELSE ' once' END || CASE WHEN failed_at IS NULL \
         THEN ' well' ELSE ' failed' END || CASE WHEN last_updated_at < started_at THEN ' backwards' ELSE ' forwards' END \
         || ' ' || CAST(last_synced_offset AS TEXT) || ' of ' || coalesce(CAST(total_estimated AS TEXT), '?') || ' ' || \
         coalesce(error_message, '-') AS line FROM sync_states ORDER BY phase DESC, entity_type",
    )
}

fn states_agree_with_themselves(database: &Database, history: &mut History) {
    for state in states(database) {
        let words: Vec<&str> = state.splitn(11, ' ').collect();
        let [phase, entity, generation, is_complete, was_complete, failed, direction, .., error] = words[..] else {
            panic!("{state}")
        };
        assert!(is_complete == "open" || was_complete == "once", "complete, and never was: {state}");
        assert!(failed == "well" || error != "-", "failed of nothing: {state}");
        assert_eq!(direction, "forwards", "{state}");
        let generation = generation.parse().expect("a number");
        let before = history.generations.insert(format!("{entity} {phase}"), generation);
        assert!(before.is_none_or(|before| before <= generation), "from generation {before:?}: {state}");
        let was_complete = history.completed.contains(entity);
        match (phase, is_complete) {
            ("initial_sync", "complete") => drop(history.completed.insert(entity.to_owned())),
            ("initial_sync", _) => assert!(!was_complete, "it was complete: {state}"),
            _ => assert!(was_complete || generation == 0, "before the first sync is complete: {state}"),
        }
    }
}

fn what_was_there_all_through_is_held(database: &Database, history: &History, round: &Round) {
    let active = members(database, "IS NULL");
    for listing in entity_types().filter(|listing| round.is_whole() || round.args.contains(listing)) {
        if database.count(&format!("sync_gaps WHERE entity_type = '{listing}' AND healed_at IS NULL")) > 0 {
            continue;
        }
        let lost = history.throughout[listing].difference(&active[listing]);
        let lost: Vec<_> = lost.filter(|id| !history.maybe_hidden.contains(*id)).collect();
        assert!(lost.is_empty(), "{listing}: there all through the run, and not held: {lost:?}");
    }
}

fn all_is_complete(database: &Database, round: &Round) {
    let open =
        database.lines("SELECT entity_type AS line FROM sync_states WHERE phase = 'initial_sync' AND NOT is_complete");
    assert!(open.is_empty(), "{:?} ended well, and {open:?} are not complete", round.args);
    assert_eq!((database.count("playlist_walks"), database.count("playlist_items_before")), (0, 0), "no walk is open");
}

/// Ids of the rows that are marked removed, or that are not.
fn members(database: &Database, removed_at: &str) -> Ids {
    let of = |entity: &EntityType| {
        let (table, column) = membership_of(*entity);
        let sql = format!("SELECT {column} AS line FROM {table} WHERE removed_at {removed_at}");
        (entity.as_str(), database.lines(&sql).into_iter().collect::<BTreeSet<_>>())
    };
    EntityType::ALL.iter().map(of).collect::<BTreeMap<_, _>>()
}

fn is_in(ids: &Ids, listing: &str, id: &str) -> bool {
    ids.get(listing).is_some_and(|ids| ids.contains(id))
}
