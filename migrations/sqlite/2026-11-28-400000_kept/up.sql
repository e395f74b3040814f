-- What the source gives is kept: local files, chapters, and what has a name but no place of its own.
-- The same tables, columns and meaning as migrations/postgres.

-- Of a local file, whose id is that, or its beginning where it is too long for an index. Null: `spotify:track:` and the id.
ALTER TABLE tracks ADD COLUMN uri TEXT;

-- What a row that is no item calls itself.
ALTER TABLE sync_odd_items ADD COLUMN name TEXT;
ALTER TABLE sync_odd_items ADD COLUMN uri TEXT;

-- SQLite changes a check only with the table.
CREATE TABLE playlist_items_of_more_kinds (
    playlist_id TEXT NOT NULL REFERENCES playlists (id),
    position    INTEGER NOT NULL,
    uri         TEXT,
    kind        TEXT NOT NULL CHECK (kind IN ('track', 'episode', 'chapter', 'local', 'missing', 'unknown')),
    track_id    TEXT,
    name        TEXT,
    added_at    TEXT,
    added_by    TEXT,
    rev         INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (playlist_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO playlist_items_of_more_kinds (playlist_id, position, uri, kind, track_id, name, added_at, added_by, rev)
SELECT playlist_id, position, uri, kind, track_id, name, added_at, added_by, rev FROM playlist_items ORDER BY playlist_id, position;
DROP TABLE playlist_items;
ALTER TABLE playlist_items_of_more_kinds RENAME TO playlist_items;
CREATE INDEX playlist_items_track_id ON playlist_items (track_id);
