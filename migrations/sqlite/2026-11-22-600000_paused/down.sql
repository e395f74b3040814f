-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 INTEGER,
    CONSTRAINT "pauses by hand would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM paused_entities);
DROP TABLE refused;

DROP TABLE paused_entities;
