-- What each account may see of a playlist and has read of it, and readings that take several commits.
-- The same tables, columns and meaning as migrations/postgres.

-- How many items the newest whole reading brought; null: nobody has read it whole.
ALTER TABLE playlists ADD COLUMN items_held INTEGER;
-- How many more the API counted then and did not give.
ALTER TABLE playlists ADD COLUMN items_hidden INTEGER NOT NULL DEFAULT 0;
-- Counts the whole readings. A reading that began before the latest one ended is older than that.
ALTER TABLE playlists ADD COLUMN items_generation INTEGER NOT NULL DEFAULT 0;

CREATE TABLE playlist_readings (
    account_id        INTEGER NOT NULL REFERENCES accounts (id),
    playlist_id       TEXT NOT NULL REFERENCES playlists (id),
    items_readable    INTEGER NOT NULL DEFAULT 1,
    -- The snapshot that this account has read whole last, and when.
    snapshot_id       TEXT,
    read_at           TEXT,
    -- Why the latest tries came to nothing; null: the last one did not.
    failure           TEXT CHECK (failure IN ('refused', 'failed', 'miscounted', 'unsteady', 'held', 'unchanged')),
    reason            TEXT,
    tries             INTEGER NOT NULL DEFAULT 0,
    since             TEXT,
    tried_snapshot_id TEXT,
    tried_total       INTEGER,
    next_try_at       TEXT,
    -- A reading under way: which whole reading it follows, how far it has come, how many rows were counted on the way
    -- and not given, and whether its items stand in playlist_items already, since there were none.
    walk_generation   INTEGER,
    walk_offset       INTEGER,
    walk_hidden       INTEGER NOT NULL DEFAULT 0,
    walk_in_place     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, playlist_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX playlist_readings_of_playlist ON playlist_readings (playlist_id);

-- Items of readings under way, apart from the items that are known until the reading is whole.
CREATE TABLE playlist_items_read (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    playlist_id TEXT NOT NULL REFERENCES playlists (id),
    position    INTEGER NOT NULL,
    uri         TEXT,
    kind        TEXT NOT NULL,
    track_id    TEXT,
    name        TEXT,
    added_at    TEXT,
    added_by    TEXT,
    PRIMARY KEY (account_id, playlist_id, position)
) STRICT, WITHOUT ROWID;

-- A playlist that was only ever refused has not been read.
UPDATE playlists SET items_held = (SELECT count(*) FROM playlist_items i WHERE i.playlist_id = playlists.id)
WHERE items_checked_at IS NOT NULL
  AND (items_readable OR id IN (SELECT playlist_id FROM playlist_versions)
       OR id IN (SELECT playlist_id FROM playlist_items));
INSERT INTO playlist_readings
    (account_id, playlist_id, items_readable, snapshot_id, read_at, failure, reason, tries, since, tried_snapshot_id,
     next_try_at)
SELECT l.account_id, p.id, p.items_readable,
       CASE WHEN p.items_readable THEN p.items_snapshot_id END,
       CASE WHEN p.items_readable THEN p.items_checked_at END,
       CASE WHEN NOT p.items_readable THEN 'refused' END,
       CASE WHEN NOT p.items_readable THEN 'the API does not show its items to this account' END,
       CASE WHEN p.items_readable THEN 0 ELSE 2 END,
       CASE WHEN NOT p.items_readable THEN p.items_checked_at END,
       CASE WHEN NOT p.items_readable THEN p.items_snapshot_id END,
       CASE WHEN NOT p.items_readable THEN strftime('%Y-%m-%d %H:%M:%f', p.items_checked_at, '+7 days') || '000+00:00' END
FROM library_playlists l JOIN playlists p ON p.id = l.playlist_id
WHERE p.items_checked_at IS NOT NULL;
-- A refusal read nothing, and of a reading that was cut off nobody knows what its items are.
UPDATE playlists SET items_snapshot_id = NULL
WHERE NOT items_readable OR id IN (SELECT playlist_id FROM playlist_walks);
