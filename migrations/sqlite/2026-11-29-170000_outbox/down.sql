-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 INTEGER,
    CONSTRAINT "entries of the feed would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM outbox);
DROP TABLE refused;

DROP TABLE feed_positions;
DROP TABLE outbox;
