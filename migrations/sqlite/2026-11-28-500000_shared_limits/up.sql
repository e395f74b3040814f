-- All processes on one database keep one limit: each notes what it may send before it does.
-- The same table, columns and meaning as migrations/postgres.

-- A process that sends requests. `held` of them may be sent or are under way until `held_until`; `answered` lists the
-- others of its last window as pairs of their number and the unix microseconds of the latest of their answers.
CREATE TABLE gate_processes (
    owner         TEXT PRIMARY KEY NOT NULL,
    owner_label   TEXT NOT NULL,
    owner_place   TEXT NOT NULL,
    owner_pid     INTEGER NOT NULL,
    seen_at       TEXT NOT NULL,
    waiting_since TEXT,
    held          INTEGER NOT NULL,
    held_until    TEXT NOT NULL,
    has_block     INTEGER NOT NULL CHECK (has_block IN (0, 1)),
    answered      TEXT NOT NULL
) STRICT;

-- Who sends the single request after a pause of the rate limit, and how long the others wait for it at most.
ALTER TABLE rate_limits ADD COLUMN probe_by TEXT;
ALTER TABLE rate_limits ADD COLUMN probe_until TEXT;

-- What a process had sent is in gate_processes now.
ALTER TABLE rate_limits DROP COLUMN window_used;
ALTER TABLE rate_limits DROP COLUMN window_until;
