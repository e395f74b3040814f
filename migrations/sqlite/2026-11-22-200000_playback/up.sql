-- Where the tracking of the listening history stands, and where plays may be missing.
-- The same tables, columns and meaning as migrations/postgres.

CREATE TABLE playback_states (
    account_id     INTEGER PRIMARY KEY REFERENCES accounts (id),
    last_polled_at TEXT,
    last_new_at    TEXT,
    next_poll_at   TEXT,
    parked_until   TEXT,
    error_message  TEXT,
    updated_at     TEXT NOT NULL
) STRICT;

-- Plays after the one moment and before the other may be missing; `healed_at`: not any more.
CREATE TABLE play_gaps (
    account_id    INTEGER NOT NULL REFERENCES accounts (id),
    played_after  TEXT NOT NULL,
    played_before TEXT NOT NULL,
    detected_at   TEXT NOT NULL,
    healed_at     TEXT,
    PRIMARY KEY (account_id, played_after, played_before)
) STRICT, WITHOUT ROWID;
CREATE INDEX play_gaps_open ON play_gaps (account_id, detected_at) WHERE healed_at IS NULL;
