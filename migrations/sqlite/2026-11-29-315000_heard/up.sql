-- What was listened to, summed up ahead, so that a page about years answers at once. All of it follows from `streams` and
-- `plays`; nothing here is known from elsewhere.
-- The same tables, columns and meaning as migrations/postgres.

-- One row per title that was heard: by its URI, or by its names where the export has no URI. The names are those of the
-- view `listening`, looked up again now and then.
CREATE TABLE heard_items (
    id         INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    kind       TEXT NOT NULL CHECK (kind IN ('track', 'episode', 'chapter', 'unknown')),
    uri        TEXT NOT NULL,
    track_id   TEXT,
    name       TEXT,
    artist     TEXT,
    album      TEXT,
    -- The first of all titles with that artist, with that artist and album, and with that artist and name: what sums are
    -- grouped by. 0: it has no such name. Null: its names have to be looked up.
    artist_of  INTEGER,
    album_of   INTEGER,
    title_of   INTEGER,
    UNIQUE (account_id, kind, uri)
) STRICT;
CREATE INDEX heard_items_artist ON heard_items (account_id, artist);
CREATE INDEX heard_items_album ON heard_items (account_id, album);
CREATE INDEX heard_items_name ON heard_items (account_id, name);
CREATE INDEX heard_items_artist_of ON heard_items (artist_of);
CREATE INDEX heard_items_album_of ON heard_items (album_of);
CREATE INDEX heard_items_title_of ON heard_items (title_of);
CREATE INDEX heard_items_track_id ON heard_items (track_id);

-- How much of a title was heard in a month of UTC (202611), in a year (2026), and ever (0). First and last in unix seconds.
CREATE TABLE heard_sums (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    period     INTEGER NOT NULL,
    item_id    INTEGER NOT NULL,
    plays      INTEGER NOT NULL,
    ms         INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, period, item_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX heard_sums_of_items ON heard_sums (item_id, period);

-- How much was heard in a half hour: unix seconds / 1800. Time zones differ by half hours, nearly everywhere.
CREATE TABLE heard_half_hours (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    half_hour  INTEGER NOT NULL,
    plays      INTEGER NOT NULL,
    ms         INTEGER NOT NULL,
    PRIMARY KEY (account_id, half_hour)
) STRICT, WITHOUT ROWID;

-- Months whose sums have to be made again.
CREATE TABLE heard_stale (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    period     INTEGER NOT NULL,
    PRIMARY KEY (account_id, period)
) STRICT, WITHOUT ROWID;

-- What is there already.
INSERT OR IGNORE INTO heard_stale (account_id, period)
SELECT account_id, CAST(substr(ended_at, 1, 4) || substr(ended_at, 6, 2) AS INTEGER) FROM streams
UNION SELECT account_id, CAST(substr(played_at, 1, 4) || substr(played_at, 6, 2) AS INTEGER) FROM plays;

-- Later imports that contain a stream as well; the first one is `streams.import_id`.
CREATE TABLE stream_imports (
    stream_id  INTEGER NOT NULL,
    import_id  INTEGER NOT NULL,
    PRIMARY KEY (stream_id, import_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tracks_isrc ON tracks (isrc) WHERE isrc IS NOT NULL;
