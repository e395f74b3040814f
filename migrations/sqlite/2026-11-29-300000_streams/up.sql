-- What the person's own data export says was listened to.
-- The same tables, columns and meaning as migrations/postgres.

-- One row per import. What it brought points to it, so that it can be taken back.
CREATE TABLE imports (
    id             INTEGER PRIMARY KEY,
    account_id     INTEGER NOT NULL REFERENCES accounts (id),
    started_at     TEXT NOT NULL,
    -- Null: it was interrupted, and what it had brought until then is here.
    finished_at    TEXT,
    files          INTEGER NOT NULL DEFAULT 0,
    rows_read      INTEGER NOT NULL DEFAULT 0,
    streams_new    INTEGER NOT NULL DEFAULT 0,
    -- What `played_at` of the API turned out to be, by comparison.
    played_at_is   TEXT CHECK (played_at_is IN ('end', 'start'))
) STRICT;
CREATE INDEX imports_of_account ON imports (account_id);

-- One row per row of the export. The address and the user agent are left out.
CREATE TABLE streams (
    id             INTEGER PRIMARY KEY,
    account_id     INTEGER NOT NULL REFERENCES accounts (id),
    import_id      INTEGER NOT NULL REFERENCES imports (id),
    -- When Spotify logged it, and a number that tells rows of one second apart. The same row of a later export has both.
    logged_at      TEXT NOT NULL,
    digest         INTEGER NOT NULL,
    started_at     TEXT NOT NULL,
    ended_at       TEXT NOT NULL,
    ms_played      INTEGER NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('track', 'episode', 'chapter', 'unknown')),
    uri            TEXT,
    name           TEXT,
    creator        TEXT,
    collection     TEXT,
    collection_uri TEXT,
    reason_start   TEXT,
    reason_end     TEXT,
    shuffle        INTEGER,
    skipped        INTEGER,
    offline        INTEGER,
    incognito      INTEGER,
    platform       TEXT,
    country        TEXT,
    -- The extended streaming history, or the account data, which has minutes and names only.
    origin         TEXT NOT NULL CHECK (origin IN ('extended', 'account')),
    -- The play that it is. `played_uri`: where the play's is another one of the same recording. `offset_ms`: from the end
    -- of the stream to the moment that the API tells; null: the play is made of the stream.
    played_at      TEXT,
    played_uri     TEXT,
    offset_ms      INTEGER,
    UNIQUE (account_id, logged_at, digest)
) STRICT;
CREATE INDEX streams_ended_at ON streams (account_id, ended_at);
CREATE INDEX streams_of_plays ON streams (account_id, played_at) WHERE offset_ms IS NOT NULL;
CREATE INDEX streams_pending ON streams (account_id, ended_at)
    WHERE played_at IS NULL AND kind = 'track' AND uri IS NOT NULL;

-- The import that says what was played in a gap.
ALTER TABLE play_gaps ADD COLUMN filled_by INTEGER;

-- `export`: all that is known of the track is what an export says. A sync that brings it makes it `api`.
ALTER TABLE tracks ADD COLUMN source TEXT NOT NULL DEFAULT 'api' CHECK (source IN ('api', 'export'));
