//! What holds once the library stands still and the last run has ended: every table equals the sandbox's own truth.

use super::{
    super::support::{
        Database, NUM_ENTITY_TYPES, Sandbox, Source,
        source::{Kind, line_of},
    },
    history::History,
    invariants::states,
};

pub fn assert_equal(database: &Database, sandbox: &Sandbox, history: &History) {
    database.assert_references_hold();
    Source::read(sandbox).assert_current_in(database, &Source::catalogue(sandbox), &history.names);

    assert_eq!(database.count("sync_gaps WHERE healed_at IS NULL"), 0, "{:?}", database.rows("sync_gaps"));
    let states = states(database);
    // A first sync has one phase, and each entity type may have had several runs.
    let num_initial = states.iter().filter(|state| state.starts_with("initial_sync ")).count() as u64;
    assert_eq!(num_initial, NUM_ENTITY_TYPES, "{states:#?}");
    assert!(states.iter().all(|state| state.contains(" complete once well ")), "{states:#?}");
    versions_add_up(database, history);
}

/// The history of a playlist begins once, and adds up to its present items; an empty place holds nothing.
fn versions_add_up(database: &Database, history: &History) {
    for table in ["playlist_walks", "playlist_items_before"] {
        assert_eq!(database.rows(table), [""; 0], "{table}: nothing is under way");
    }
    let wrong = database.lines(
        "SELECT p.id || ': ' || CAST(count(v.id) AS TEXT) || ' versions, ' || CAST(sum(v.items_added) AS TEXT) || \
         ' added, ' || CAST(sum(v.items_removed) AS TEXT) || ' removed' AS line \
         FROM playlists p JOIN playlist_versions v ON v.playlist_id = p.id GROUP BY p.id \
         HAVING sum(v.items_added) - sum(v.items_removed) \
           <> (SELECT count(*) FROM playlist_items i WHERE i.playlist_id = p.id AND i.uri IS NOT NULL) \
         OR sum(CASE WHEN v.is_first THEN 1 ELSE 0 END) <> 1",
    );
    assert_eq!(wrong, [""; 0], "histories that do not lead to what is held");
    let without = "playlists WHERE items_readable AND total_items > 0 AND items_snapshot_id IS NOT NULL \
                   AND id NOT IN (SELECT playlist_id FROM playlist_versions)";
    assert_eq!(database.count(without), 0, "playlists without a history");

    let told = |kind: &str| {
        format!("(SELECT count(*) FROM playlist_changes c WHERE c.version_id = v.id AND c.kind = '{kind}')")
    };
    let (added, removed) = (told("added"), told("removed"));
    let miscounted = database.count(&format!(
        "playlist_versions v WHERE NOT is_first AND (items_added <> {added} OR items_removed <> {removed})"
    ));
    assert_eq!(miscounted, 0, "versions whose changes are others than they say");
    let change = line_of(
        &[("v.playlist_id", Kind::Plain), ("c.uri", Kind::Plain), ("c.added_at", Kind::Time)],
        database.backend,
    );
    let changes = database.lines(&format!(
        "SELECT {change} AS line FROM playlist_changes c JOIN playlist_versions v ON v.id = c.version_id \
         WHERE c.uri IS NOT NULL"
    ));
    let invented: Vec<_> = changes.iter().filter(|row| !history.was("playlist_items", row)).collect();
    assert!(invented.is_empty(), "changes of what never was in the playlist: {invented:?}");
    let strange = database
        .lines("SELECT playlist_id || ' ' || snapshot_id AS line FROM playlist_versions WHERE snapshot_id IS NOT NULL");
    let known = |line: &&String| {
        line.split_once(' ').is_some_and(|(id, at)| history.contents.contains_key(&(id.to_owned(), at.to_owned())))
    };
    assert!(strange.iter().all(|line| known(&line)), "versions of snapshots that never were: {strange:?}");
}
