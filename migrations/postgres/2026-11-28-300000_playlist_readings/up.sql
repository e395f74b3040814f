-- What each account may see of a playlist and has read of it, and readings that take several commits.
-- The same tables, columns and meaning as migrations/sqlite.

-- How many items the newest whole reading brought; null: nobody has read it whole.
ALTER TABLE playlists ADD COLUMN items_held BIGINT;
-- How many more the API counted then and did not give.
ALTER TABLE playlists ADD COLUMN items_hidden BIGINT NOT NULL DEFAULT 0;
-- Counts the whole readings. A reading that began before the latest one ended is older than that.
ALTER TABLE playlists ADD COLUMN items_generation BIGINT NOT NULL DEFAULT 0;

CREATE TABLE playlist_readings (
    account_id        BIGINT NOT NULL REFERENCES accounts (id),
    playlist_id       TEXT NOT NULL REFERENCES playlists (id),
    items_readable    BOOLEAN NOT NULL DEFAULT TRUE,
    -- The snapshot that this account has read whole last, and when.
    snapshot_id       TEXT,
    read_at           TIMESTAMPTZ,
    -- Why the latest tries came to nothing; null: the last one did not.
    failure           TEXT CHECK (failure IN ('refused', 'failed', 'miscounted', 'unsteady', 'held', 'unchanged')),
    reason            TEXT,
    tries             BIGINT NOT NULL DEFAULT 0,
    since             TIMESTAMPTZ,
    tried_snapshot_id TEXT,
    tried_total       BIGINT,
    next_try_at       TIMESTAMPTZ,
    -- A reading under way: which whole reading it follows, how far it has come, how many rows were counted on the way
    -- and not given, and whether its items stand in playlist_items already, since there were none.
    walk_generation   BIGINT,
    walk_offset       BIGINT,
    walk_hidden       BIGINT NOT NULL DEFAULT 0,
    walk_in_place     BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (account_id, playlist_id)
);
CREATE INDEX playlist_readings_of_playlist ON playlist_readings (playlist_id);

-- Items of readings under way, apart from the items that are known until the reading is whole.
CREATE TABLE playlist_items_read (
    account_id  BIGINT NOT NULL REFERENCES accounts (id),
    playlist_id TEXT NOT NULL REFERENCES playlists (id),
    position    BIGINT NOT NULL,
    uri         TEXT,
    kind        TEXT NOT NULL,
    track_id    TEXT,
    name        TEXT,
    added_at    TIMESTAMPTZ,
    added_by    TEXT,
    PRIMARY KEY (account_id, playlist_id, position)
);

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
       CASE WHEN NOT p.items_readable THEN p.items_checked_at + INTERVAL '7 days' END
FROM library_playlists l JOIN playlists p ON p.id = l.playlist_id
WHERE p.items_checked_at IS NOT NULL;
-- A refusal read nothing, and of a reading that was cut off nobody knows what its items are.
UPDATE playlists SET items_snapshot_id = NULL
WHERE NOT items_readable OR id IN (SELECT playlist_id FROM playlist_walks);
