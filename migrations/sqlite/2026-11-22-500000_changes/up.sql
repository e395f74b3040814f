-- What came and went: since when playlists are known, when something came back, and the history of playlists.
-- The same tables, columns and meaning as migrations/postgres.

-- Null: seen before this was kept.
ALTER TABLE library_playlists ADD COLUMN first_seen_at TEXT;
-- When it was last seen again after it was gone.
ALTER TABLE library_playlists ADD COLUMN returned_at TEXT;
ALTER TABLE followed_artists ADD COLUMN returned_at TEXT;

-- A reading of a playlist's items that found others than the one before. The first one has no playlist_changes.
CREATE TABLE playlist_versions (
    id            INTEGER PRIMARY KEY,
    playlist_id   TEXT NOT NULL REFERENCES playlists (id),
    snapshot_id   TEXT,
    seen_at       TEXT NOT NULL,
    is_first      INTEGER NOT NULL,
    items_added   INTEGER NOT NULL,
    items_removed INTEGER NOT NULL,
    run_id        TEXT NOT NULL
) STRICT;
CREATE INDEX playlist_versions_of_playlist ON playlist_versions (playlist_id, id);
CREATE INDEX playlist_versions_seen_at ON playlist_versions (seen_at, id);

-- `position` is the place in the list: of what was added in the new one, of what was removed in the old one.
CREATE TABLE playlist_changes (
    version_id INTEGER NOT NULL REFERENCES playlist_versions (id),
    number     INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('added', 'removed')),
    position   INTEGER NOT NULL,
    uri        TEXT,
    name       TEXT,
    track_id   TEXT,
    added_at   TEXT,
    PRIMARY KEY (version_id, number)
) STRICT, WITHOUT ROWID;

-- Playlists that are being read, and their items as they were before.
CREATE TABLE playlist_walks (
    playlist_id TEXT PRIMARY KEY NOT NULL REFERENCES playlists (id),
    began_at    TEXT NOT NULL,
    is_first    INTEGER NOT NULL
) STRICT;
CREATE TABLE playlist_items_before (
    playlist_id TEXT NOT NULL REFERENCES playlist_walks (playlist_id),
    position    INTEGER NOT NULL,
    uri         TEXT,
    name        TEXT,
    track_id    TEXT,
    added_at    TEXT,
    PRIMARY KEY (playlist_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX saved_tracks_removed_at ON saved_tracks (account_id, removed_at, track_id) WHERE removed_at IS NOT NULL;
CREATE INDEX saved_albums_removed_at ON saved_albums (account_id, removed_at, album_id) WHERE removed_at IS NOT NULL;
CREATE INDEX followed_artists_removed_at ON followed_artists (account_id, removed_at) WHERE removed_at IS NOT NULL;
CREATE INDEX followed_artists_first_seen_at ON followed_artists (account_id, first_seen_at);
