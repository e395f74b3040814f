-- Where the tracking of the listening history stands, and where plays may be missing.
-- The same tables, columns and meaning as migrations/sqlite.

CREATE TABLE playback_states (
    account_id     BIGINT PRIMARY KEY REFERENCES accounts (id),
    last_polled_at TIMESTAMPTZ,
    last_new_at    TIMESTAMPTZ,
    next_poll_at   TIMESTAMPTZ,
    parked_until   TIMESTAMPTZ,
    error_message  TEXT,
    updated_at     TIMESTAMPTZ NOT NULL
);

-- Plays after the one moment and before the other may be missing; `healed_at`: not any more.
CREATE TABLE play_gaps (
    account_id    BIGINT NOT NULL REFERENCES accounts (id),
    played_after  TIMESTAMPTZ NOT NULL,
    played_before TIMESTAMPTZ NOT NULL,
    detected_at   TIMESTAMPTZ NOT NULL,
    healed_at     TIMESTAMPTZ,
    PRIMARY KEY (account_id, played_after, played_before)
);
CREATE INDEX play_gaps_open ON play_gaps (account_id, detected_at) WHERE healed_at IS NULL;
