-- All processes on one database keep one limit: each notes what it may send before it does.
-- The same table, columns and meaning as migrations/sqlite.

-- A process that sends requests. `held` of them may be sent or are under way until `held_until`; `answered` lists the
-- others of its last window as pairs of their number and the unix microseconds of the latest of their answers.
CREATE TABLE gate_processes (
    owner         TEXT PRIMARY KEY NOT NULL,
    owner_label   TEXT NOT NULL,
    owner_place   TEXT NOT NULL,
    owner_pid     BIGINT NOT NULL,
    seen_at       TIMESTAMPTZ NOT NULL,
    waiting_since TIMESTAMPTZ,
    held          BIGINT NOT NULL,
    held_until    TIMESTAMPTZ NOT NULL,
    has_block     BOOLEAN NOT NULL,
    answered      TEXT NOT NULL
);

-- Who sends the single request after a pause of the rate limit, and how long the others wait for it at most.
ALTER TABLE rate_limits ADD COLUMN probe_by TEXT;
ALTER TABLE rate_limits ADD COLUMN probe_until TIMESTAMPTZ;

-- What a process had sent is in gate_processes now.
ALTER TABLE rate_limits DROP COLUMN window_used;
ALTER TABLE rate_limits DROP COLUMN window_until;
