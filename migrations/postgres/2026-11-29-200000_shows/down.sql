-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    refused2 BIGINT,
    refused3 BIGINT,
    CONSTRAINT "saved shows would be lost" CHECK (refused1 = 0),
    CONSTRAINT "saved episodes would be lost" CHECK (refused2 = 0),
    CONSTRAINT "saved audiobooks would be lost" CHECK (refused3 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM saved_shows),
    (SELECT count(*) FROM saved_episodes),
    (SELECT count(*) FROM saved_audiobooks);
DROP TABLE refused;

DROP TABLE saved_audiobooks;
DROP TABLE saved_episodes;
DROP TABLE saved_shows;
DROP TABLE audiobooks;
DROP TABLE episodes;
DROP TABLE shows;
