-- Saved shows, episodes and audiobooks. The same tables, columns and meaning as migrations/postgres.

CREATE TABLE shows (
    id             TEXT PRIMARY KEY NOT NULL,
    name           TEXT NOT NULL,
    publisher      TEXT,
    description    TEXT,
    media_type     TEXT,
    explicit       INTEGER,
    total_episodes INTEGER,
    image_url      TEXT,
    fetched_at     TEXT NOT NULL,
    rev            INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE episodes (
    id                     TEXT PRIMARY KEY NOT NULL,
    name                   TEXT NOT NULL,
    show_id                TEXT REFERENCES shows (id),
    description            TEXT,
    duration_ms            INTEGER,
    explicit               INTEGER,
    release_date           TEXT,
    release_date_precision TEXT,
    image_url              TEXT,
    fetched_at             TEXT NOT NULL,
    rev                    INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX episodes_show_id ON episodes (show_id);

-- `authors` and `narrators` are lists of names, as JSON.
CREATE TABLE audiobooks (
    id             TEXT PRIMARY KEY NOT NULL,
    name           TEXT NOT NULL,
    authors        TEXT,
    narrators      TEXT,
    publisher      TEXT,
    description    TEXT,
    edition        TEXT,
    explicit       INTEGER,
    total_chapters INTEGER,
    image_url      TEXT,
    fetched_at     TEXT NOT NULL,
    rev            INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE saved_shows (
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    show_id       TEXT NOT NULL REFERENCES shows (id),
    added_at      TEXT,
    removed_at    TEXT,
    rev           INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, show_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX saved_shows_added_at ON saved_shows (account_id, added_at DESC, show_id DESC);
CREATE INDEX saved_shows_removed_at ON saved_shows (account_id, removed_at, show_id) WHERE removed_at IS NOT NULL;
CREATE INDEX saved_shows_show_id ON saved_shows (show_id);

CREATE TABLE saved_episodes (
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    episode_id    TEXT NOT NULL REFERENCES episodes (id),
    added_at      TEXT,
    removed_at    TEXT,
    rev           INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, episode_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX saved_episodes_added_at ON saved_episodes (account_id, added_at DESC, episode_id DESC);
CREATE INDEX saved_episodes_removed_at ON saved_episodes (account_id, removed_at, episode_id) WHERE removed_at IS NOT NULL;
CREATE INDEX saved_episodes_episode_id ON saved_episodes (episode_id);

-- The source may leave the date out. Then `first_seen_at` says when it was first seen, and `returned_at` when it was last
-- seen again after it was gone.
CREATE TABLE saved_audiobooks (
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    audiobook_id  TEXT NOT NULL REFERENCES audiobooks (id),
    added_at      TEXT,
    first_seen_at TEXT,
    returned_at   TEXT,
    removed_at    TEXT,
    rev           INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, audiobook_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX saved_audiobooks_added_at ON saved_audiobooks (account_id, added_at DESC, audiobook_id DESC);
CREATE INDEX saved_audiobooks_removed_at ON saved_audiobooks (account_id, removed_at, audiobook_id) WHERE removed_at IS NOT NULL;
CREATE INDEX saved_audiobooks_audiobook_id ON saved_audiobooks (audiobook_id);
