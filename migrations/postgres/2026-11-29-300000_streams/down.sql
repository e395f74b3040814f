-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    refused2 BIGINT,
    refused3 BIGINT,
    CONSTRAINT "what was imported would be lost" CHECK (refused1 = 0),
    CONSTRAINT "which tracks only an export mentions would be lost" CHECK (refused2 = 0),
    CONSTRAINT "which gaps an export has filled would be lost" CHECK (refused3 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM imports),
    (SELECT count(*) FROM tracks WHERE source = 'export'),
    (SELECT count(*) FROM play_gaps WHERE filled_by IS NOT NULL);
DROP TABLE refused;

ALTER TABLE tracks DROP COLUMN source;
ALTER TABLE play_gaps DROP COLUMN filled_by;
DROP TABLE streams;
DROP TABLE imports;
