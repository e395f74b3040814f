-- The whole schema. The same tables, columns and meaning as migrations/postgres.
-- Timestamps are UTC text of one width, `2026-11-01 12:00:00.000000+00:00`: they sort as text, and SQLite's own date
-- functions read them. `rev` counts how often a row was written: 1 is new.

CREATE TABLE accounts (
    id                 INTEGER PRIMARY KEY,
    spotify_id         TEXT NOT NULL,
    spotify_account_id TEXT UNIQUE,
    display_name       TEXT,
    authorized_at      TEXT NOT NULL,
    owner              TEXT,
    owner_label        TEXT
) STRICT;
CREATE INDEX accounts_spotify_id ON accounts (spotify_id);
-- An account known only by its old id exists once, however many processes sign it in.
CREATE UNIQUE INDEX accounts_unlinked ON accounts (spotify_id) WHERE spotify_account_id IS NULL;

CREATE TABLE account_tokens (
    account_id    INTEGER PRIMARY KEY REFERENCES accounts (id),
    client_id     TEXT NOT NULL,
    refresh_token TEXT NOT NULL,
    access_token  TEXT,
    expires_at    TEXT,
    scopes        TEXT,
    imported_hash TEXT,
    updated_at    TEXT NOT NULL
) STRICT;

CREATE TABLE sync_states (
    id                   INTEGER PRIMARY KEY,
    account_id           INTEGER NOT NULL REFERENCES accounts (id),
    entity_type          TEXT NOT NULL,
    phase                TEXT NOT NULL CHECK (phase IN ('initial_sync', 'incremental_sync')),
    last_synced_offset   INTEGER NOT NULL DEFAULT 0,
    cursor               TEXT,
    total_estimated      INTEGER,
    is_complete          INTEGER NOT NULL DEFAULT 0,
    rate_limit_hit_at    TEXT,
    rate_limit_reset_at  TEXT,
    rate_limit_remaining INTEGER,
    started_at           TEXT,
    last_updated_at      TEXT,
    completed_at         TEXT,
    failed_at            TEXT,
    error_message        TEXT,
    checkpoint           TEXT,
    generation           INTEGER NOT NULL DEFAULT 0,
    owner                TEXT,
    owner_label          TEXT,
    UNIQUE (account_id, entity_type, phase)
) STRICT;
CREATE INDEX sync_states_is_complete ON sync_states (is_complete);
CREATE INDEX sync_states_rate_limit_reset_at ON sync_states (rate_limit_reset_at);

CREATE TABLE sync_batches (
    id              INTEGER PRIMARY KEY,
    account_id      INTEGER NOT NULL REFERENCES accounts (id),
    run_id          TEXT NOT NULL,
    entity_type     TEXT NOT NULL,
    phase           TEXT NOT NULL,
    offset_from     INTEGER NOT NULL,
    offset_to       INTEGER NOT NULL,
    items_processed INTEGER NOT NULL,
    items_new       INTEGER NOT NULL,
    items_updated   INTEGER NOT NULL,
    items_unchanged INTEGER NOT NULL,
    items_odd       INTEGER NOT NULL,
    items_removed   INTEGER NOT NULL,
    requests        INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    committed_at    TEXT NOT NULL
) STRICT;
CREATE INDEX sync_batches_of_entity ON sync_batches (account_id, entity_type, committed_at);
CREATE INDEX sync_batches_of_run ON sync_batches (run_id);

CREATE TABLE sync_gaps (
    id          INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    playlist_id TEXT,
    offset_from INTEGER NOT NULL,
    offset_to   INTEGER NOT NULL,
    pass        INTEGER NOT NULL,
    total       INTEGER,
    reason      TEXT NOT NULL,
    since       TEXT NOT NULL,
    healed_at   TEXT
) STRICT;
CREATE INDEX sync_gaps_open ON sync_gaps (account_id, entity_type) WHERE healed_at IS NULL;

CREATE TABLE sync_seen (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    pass        INTEGER NOT NULL,
    item_id     TEXT NOT NULL,
    PRIMARY KEY (account_id, entity_type, pass, item_id)
) STRICT, WITHOUT ROWID;

-- `playlist_id` is '' for a row of the listing itself.
CREATE TABLE sync_odd_items (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    playlist_id TEXT NOT NULL DEFAULT '',
    position    INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    seen_at     TEXT NOT NULL,
    PRIMARY KEY (account_id, entity_type, playlist_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE rate_limits (
    family         TEXT PRIMARY KEY,
    blocked_until  TEXT,
    class          TEXT CHECK (class IN ('rate', 'quota')),
    learned_rate   REAL,
    window_used    INTEGER,
    window_until   TEXT,
    day_count      INTEGER,
    day_started_at TEXT,
    updated_at     TEXT NOT NULL
) STRICT;

CREATE TABLE artists (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    genres     TEXT,
    image_url  TEXT,
    fetched_at TEXT NOT NULL,
    rev        INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE albums (
    id                     TEXT PRIMARY KEY NOT NULL,
    name                   TEXT NOT NULL,
    album_type             TEXT,
    release_date           TEXT,
    release_date_precision TEXT,
    total_tracks           INTEGER,
    upc                    TEXT,
    image_url              TEXT,
    num_artists            INTEGER,
    fetched_at             TEXT NOT NULL,
    rev                    INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE tracks (
    id           TEXT PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    album_id     TEXT REFERENCES albums (id),
    duration_ms  INTEGER,
    explicit     INTEGER,
    disc_number  INTEGER,
    track_number INTEGER,
    isrc         TEXT,
    num_artists  INTEGER,
    fetched_at   TEXT NOT NULL,
    rev          INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE album_artists (
    album_id  TEXT NOT NULL REFERENCES albums (id),
    artist_id TEXT NOT NULL REFERENCES artists (id),
    position  INTEGER NOT NULL,
    PRIMARY KEY (album_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE track_artists (
    track_id  TEXT NOT NULL REFERENCES tracks (id),
    artist_id TEXT NOT NULL REFERENCES artists (id),
    position  INTEGER NOT NULL,
    PRIMARY KEY (track_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE saved_tracks (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    track_id   TEXT NOT NULL REFERENCES tracks (id),
    added_at   TEXT,
    removed_at TEXT,
    rev        INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, track_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX saved_tracks_added_at ON saved_tracks (account_id, added_at);

CREATE TABLE saved_albums (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    album_id   TEXT NOT NULL REFERENCES albums (id),
    added_at   TEXT,
    removed_at TEXT,
    rev        INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, album_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX saved_albums_added_at ON saved_albums (account_id, added_at);

CREATE TABLE followed_artists (
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    artist_id     TEXT NOT NULL REFERENCES artists (id),
    first_seen_at TEXT NOT NULL,
    removed_at    TEXT,
    rev           INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, artist_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE playlists (
    id                TEXT PRIMARY KEY NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT,
    owner_id          TEXT,
    owner_name        TEXT,
    public            INTEGER,
    collaborative     INTEGER,
    snapshot_id       TEXT,
    total_items       INTEGER,
    image_url         TEXT,
    items_readable    INTEGER NOT NULL DEFAULT 1,
    items_snapshot_id TEXT,
    items_checked_at  TEXT,
    fetched_at        TEXT NOT NULL,
    rev               INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE library_playlists (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    playlist_id TEXT NOT NULL REFERENCES playlists (id),
    position    INTEGER NOT NULL,
    removed_at  TEXT,
    rev         INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, playlist_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE playlist_items (
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
CREATE INDEX playlist_items_track_id ON playlist_items (track_id);

CREATE TABLE plays (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    played_at   TEXT NOT NULL,
    track_uri   TEXT NOT NULL,
    track_id    TEXT,
    ms_played   INTEGER,
    context_uri TEXT,
    source      TEXT NOT NULL CHECK (source IN ('api', 'export')),
    PRIMARY KEY (account_id, played_at, track_uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX plays_track_id ON plays (track_id);
