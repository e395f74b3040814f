-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    refused2 BIGINT,
    refused3 BIGINT,
    CONSTRAINT "what kind items of playlists are would be lost" CHECK (refused1 = 0),
    CONSTRAINT "names of odd rows would be lost" CHECK (refused2 = 0),
    CONSTRAINT "addresses of local files would be lost" CHECK (refused3 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM playlist_items WHERE kind IN ('chapter', 'unknown')),
    (SELECT count(*) FROM sync_odd_items WHERE uri IS NOT NULL OR name IS NOT NULL),
    (SELECT count(*) FROM tracks WHERE uri IS NOT NULL);
DROP TABLE refused;

ALTER TABLE playlist_items DROP CONSTRAINT playlist_items_kind_check;
UPDATE playlist_items SET kind = 'episode' WHERE kind = 'chapter';
UPDATE playlist_items SET kind = 'missing' WHERE kind = 'unknown';
ALTER TABLE playlist_items ADD CONSTRAINT playlist_items_kind_check
    CHECK (kind IN ('track', 'episode', 'local', 'missing'));
ALTER TABLE sync_odd_items DROP COLUMN uri, DROP COLUMN name;
ALTER TABLE tracks DROP COLUMN uri;
