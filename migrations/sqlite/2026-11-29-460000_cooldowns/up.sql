-- When limits have paused what: rows are added, and forgotten when they are old.
-- The same table, columns and meaning as migrations/postgres.

-- `family` is `*` for everything. One that was made longer while it lasted has a row for each end.
CREATE TABLE cooldowns (
    id       INTEGER PRIMARY KEY,
    family   TEXT NOT NULL,
    class    TEXT NOT NULL CHECK (class IN ('rate', 'quota', 'ceiling')),
    began_at TEXT NOT NULL,
    ends_at  TEXT NOT NULL
) STRICT;
INSERT INTO cooldowns (family, class, began_at, ends_at)
SELECT family, class, updated_at, blocked_until FROM rate_limits WHERE class IS NOT NULL AND updated_at < blocked_until;
