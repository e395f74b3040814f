-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    CONSTRAINT "everything would be lost" CHECK (refused1 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM accounts);
DROP TABLE refused;

DROP TABLE plays;
DROP TABLE playlist_items;
DROP TABLE library_playlists;
DROP TABLE playlists;
DROP TABLE followed_artists;
DROP TABLE saved_albums;
DROP TABLE saved_tracks;
DROP TABLE track_artists;
DROP TABLE album_artists;
DROP TABLE tracks;
DROP TABLE albums;
DROP TABLE artists;
DROP TABLE rate_limits;
DROP TABLE sync_odd_items;
DROP TABLE sync_seen;
DROP TABLE sync_gaps;
DROP TABLE sync_batches;
DROP TABLE sync_states;
DROP TABLE account_tokens;
DROP TABLE accounts;
