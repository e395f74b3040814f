-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    CONSTRAINT "what accounts may read would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM playlist_readings);
DROP TABLE refused;

DROP TABLE playlist_items_read;
DROP TABLE playlist_readings;
ALTER TABLE playlists DROP COLUMN items_generation;
ALTER TABLE playlists DROP COLUMN items_hidden;
ALTER TABLE playlists DROP COLUMN items_held;
