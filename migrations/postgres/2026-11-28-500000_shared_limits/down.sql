ALTER TABLE rate_limits ADD COLUMN window_used INTEGER;
ALTER TABLE rate_limits ADD COLUMN window_until TIMESTAMPTZ;
ALTER TABLE rate_limits DROP COLUMN probe_by;
ALTER TABLE rate_limits DROP COLUMN probe_until;
DROP TABLE gate_processes;
