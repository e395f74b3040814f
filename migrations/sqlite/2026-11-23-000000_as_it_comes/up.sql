-- A first sync writes its rows in the order in which they come, where it can: not all over the file.
-- The same tables, columns and meaning as migrations/postgres.

-- What a pass has seen is only ever added to, counted and forgotten as a whole: no row is looked up by its key.
CREATE TABLE sync_seen_as_it_comes (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    pass        INTEGER NOT NULL,
    item_id     TEXT NOT NULL
) STRICT;
INSERT INTO sync_seen_as_it_comes SELECT account_id, entity_type, pass, item_id FROM sync_seen;
DROP TABLE sync_seen;
ALTER TABLE sync_seen_as_it_comes RENAME TO sync_seen;

-- The newest come first. An index that grows at its end keeps its pages full; at its beginning, half full.
DROP INDEX saved_tracks_added_at;
DROP INDEX saved_albums_added_at;
CREATE INDEX saved_tracks_added_at ON saved_tracks (account_id, added_at DESC, track_id DESC);
CREATE INDEX saved_albums_added_at ON saved_albums (account_id, added_at DESC, album_id DESC);
