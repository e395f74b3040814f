-- Several services on one database, the nodes, share its accounts: each account belongs to one of them.
-- The same tables, columns and meaning as migrations/postgres.

-- A service. Until `holds_until` nobody takes an account from it; it moves that ahead while it lives.
CREATE TABLE nodes (
    id          TEXT PRIMARY KEY NOT NULL,
    label       TEXT NOT NULL,
    -- Where its process id means something: the boot and the namespace it lives in.
    place       TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    version     TEXT NOT NULL,
    -- The application whose accounts it can work for.
    client_id   TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    seen_at     TEXT NOT NULL,
    holds_until TEXT NOT NULL
) STRICT;

-- `owner` is a node, or a single sync. `epoch` counts who has had the account. `released_at`: it was handed over, and
-- nobody has taken it yet.
ALTER TABLE accounts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN released_at TEXT;
CREATE INDEX accounts_owner ON accounts (owner);
-- How long an account is held is said by its node now.
ALTER TABLE accounts DROP COLUMN owner_until;
ALTER TABLE accounts DROP COLUMN owner_place;
ALTER TABLE accounts DROP COLUMN owner_pid;

-- What a person has ordered at one node of an account that another keeps current. Forgotten some time after it ended.
CREATE TABLE orders (
    id           INTEGER PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES accounts (id),
    kind         TEXT NOT NULL CHECK (kind IN ('sync', 'pause', 'resume', 'reset', 'confirm_removals')),
    -- Separated by commas; null: all that are kept current.
    entity_types TEXT,
    given_at     TEXT NOT NULL,
    given_by     TEXT NOT NULL,
    ended_at     TEXT,
    ended_by     TEXT,
    -- JSON: what came of it.
    outcome      TEXT
) STRICT;
CREATE INDEX orders_of_account ON orders (account_id);
