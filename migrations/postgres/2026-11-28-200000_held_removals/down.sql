-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    CONSTRAINT "removals that wait would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM held_removals);
DROP TABLE refused;

DROP TABLE held_removals;
