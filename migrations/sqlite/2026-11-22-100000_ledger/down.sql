-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 INTEGER,
    CONSTRAINT "what the limits have counted would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM request_ledger);
DROP TABLE refused;

DROP TABLE request_ledger;
ALTER TABLE rate_limits DROP COLUMN refused_times;
ALTER TABLE rate_limits DROP COLUMN refused_at;
ALTER TABLE rate_limits DROP COLUMN refused_level;
ALTER TABLE rate_limits DROP COLUMN learned_window_ms;
