-- What happened, in the order in which it was committed, for those who follow it: the feed, and webhooks.
-- The same tables, columns and meaning as migrations/postgres.

-- Written by the transaction that makes it so. Forgotten some time later.
CREATE TABLE outbox (
    -- Numbered under the lock of `feed_positions`, so in the order of commits and without a gap.
    seq         INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    kind        TEXT NOT NULL CHECK (kind IN ('changes', 'removals_held', 'sign_in_ends', 'sync_failing')),
    -- JSON, as it is handed on.
    body        TEXT NOT NULL,
    noted_at    TEXT NOT NULL,
    -- What is noted once only: the same again is not.
    once        TEXT UNIQUE
) STRICT;
CREATE INDEX outbox_noted_at ON outbox (noted_at);
CREATE INDEX outbox_of_account ON outbox (account_id, seq);

-- `head`: the last number that was given. `forgotten`: the last that is no longer kept. `webhook ...`: the last that it
-- took.
CREATE TABLE feed_positions (
    name          TEXT PRIMARY KEY,
    seq           INTEGER NOT NULL,
    moved_at      TEXT,
    -- Since when a webhook takes nothing, and why.
    failing_since TEXT,
    failures      INTEGER NOT NULL DEFAULT 0,
    error         TEXT
) STRICT;
INSERT INTO feed_positions (name, seq) VALUES ('head', 0), ('forgotten', 0);
