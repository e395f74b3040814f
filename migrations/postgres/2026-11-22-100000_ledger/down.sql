DROP TABLE request_ledger;
ALTER TABLE rate_limits DROP COLUMN refused_times;
ALTER TABLE rate_limits DROP COLUMN refused_at;
ALTER TABLE rate_limits DROP COLUMN refused_level;
ALTER TABLE rate_limits DROP COLUMN learned_window_ms;
