-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    CONSTRAINT "which imports contain a stream would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM stream_imports);
DROP TABLE refused;

DROP INDEX tracks_isrc;
DROP TABLE stream_imports;
DROP TABLE heard_stale;
DROP TABLE heard_half_hours;
DROP TABLE heard_sums;
DROP TABLE heard_items;
