-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 INTEGER,
    refused2 INTEGER,
    refused3 INTEGER,
    CONSTRAINT "what kind items of playlists are would be lost" CHECK (refused1 = 0),
    CONSTRAINT "names of odd rows would be lost" CHECK (refused2 = 0),
    CONSTRAINT "addresses of local files would be lost" CHECK (refused3 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM playlist_items WHERE kind IN ('chapter', 'unknown')),
    (SELECT count(*) FROM sync_odd_items WHERE uri IS NOT NULL OR name IS NOT NULL),
    (SELECT count(*) FROM tracks WHERE uri IS NOT NULL);
DROP TABLE refused;

CREATE TABLE playlist_items_of_fewer_kinds (
    playlist_id TEXT NOT NULL REFERENCES playlists (id),
    position    INTEGER NOT NULL,
    uri         TEXT,
    kind        TEXT NOT NULL CHECK (kind IN ('track', 'episode', 'local', 'missing')),
    track_id    TEXT,
    name        TEXT,
    added_at    TEXT,
    added_by    TEXT,
    rev         INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (playlist_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO playlist_items_of_fewer_kinds (playlist_id, position, uri, kind, track_id, name, added_at, added_by, rev)
SELECT playlist_id, position, uri,
    CASE kind WHEN 'chapter' THEN 'episode' WHEN 'unknown' THEN 'missing' ELSE kind END,
    track_id, name, added_at, added_by, rev
FROM playlist_items ORDER BY playlist_id, position;
DROP TABLE playlist_items;
ALTER TABLE playlist_items_of_fewer_kinds RENAME TO playlist_items;
CREATE INDEX playlist_items_track_id ON playlist_items (track_id);
ALTER TABLE sync_odd_items DROP COLUMN uri;
ALTER TABLE sync_odd_items DROP COLUMN name;
ALTER TABLE tracks DROP COLUMN uri;
