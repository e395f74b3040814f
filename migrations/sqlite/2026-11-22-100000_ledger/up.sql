ALTER TABLE rate_limits ADD COLUMN learned_window_ms INTEGER;
ALTER TABLE rate_limits ADD COLUMN refused_level INTEGER;
ALTER TABLE rate_limits ADD COLUMN refused_at TEXT;
ALTER TABLE rate_limits ADD COLUMN refused_times INTEGER;

-- Requests of an endpoint family in five minutes, kept for two days.
CREATE TABLE request_ledger (
    family     TEXT NOT NULL,
    started_at TEXT NOT NULL,
    requests   INTEGER NOT NULL DEFAULT 0,
    refusals   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (family, started_at)
) STRICT, WITHOUT ROWID;
