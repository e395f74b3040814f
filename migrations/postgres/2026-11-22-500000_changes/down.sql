-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    refused2 BIGINT,
    refused3 BIGINT,
    CONSTRAINT "the history of playlists would be lost" CHECK (refused1 = 0),
    CONSTRAINT "since when playlists are there would be lost" CHECK (refused2 = 0),
    CONSTRAINT "when artists came back would be lost" CHECK (refused3 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM playlist_versions),
    (SELECT count(*) FROM library_playlists),
    (SELECT count(*) FROM followed_artists WHERE returned_at IS NOT NULL);
DROP TABLE refused;

DROP INDEX followed_artists_first_seen_at;
DROP INDEX followed_artists_removed_at;
DROP INDEX saved_albums_removed_at;
DROP INDEX saved_tracks_removed_at;
DROP TABLE playlist_items_before;
DROP TABLE playlist_walks;
DROP TABLE playlist_changes;
DROP TABLE playlist_versions;
ALTER TABLE followed_artists DROP COLUMN returned_at;
ALTER TABLE library_playlists DROP COLUMN returned_at;
ALTER TABLE library_playlists DROP COLUMN first_seen_at;
