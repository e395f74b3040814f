ALTER TABLE rate_limits
    ADD COLUMN learned_window_ms BIGINT,
    ADD COLUMN refused_level BIGINT,
    ADD COLUMN refused_at TIMESTAMPTZ,
    ADD COLUMN refused_times BIGINT;

-- Requests of an endpoint family in five minutes, kept for two days.
CREATE TABLE request_ledger (
    family     TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    requests   BIGINT NOT NULL DEFAULT 0,
    refusals   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (family, started_at)
);
