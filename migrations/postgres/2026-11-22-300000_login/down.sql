DROP INDEX album_artists_artist_id;
DROP INDEX track_artists_artist_id;
DROP INDEX tracks_album_id;
DROP INDEX library_playlists_playlist_id;
DROP INDEX followed_artists_artist_id;
DROP INDEX saved_albums_album_id;
DROP INDEX saved_tracks_track_id;
ALTER TABLE account_tokens DROP COLUMN refused_why;
ALTER TABLE account_tokens DROP COLUMN refused_at;
