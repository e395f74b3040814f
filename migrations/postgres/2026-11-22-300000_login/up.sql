-- When Spotify refused the refresh token for good, and why: no request is sent with it until the person signs in again.
ALTER TABLE account_tokens ADD COLUMN refused_at TIMESTAMPTZ;
ALTER TABLE account_tokens ADD COLUMN refused_why TEXT;

-- What of the catalogue nobody mentions any more is found, and removed, by these.
CREATE INDEX saved_tracks_track_id ON saved_tracks (track_id);
CREATE INDEX saved_albums_album_id ON saved_albums (album_id);
CREATE INDEX followed_artists_artist_id ON followed_artists (artist_id);
CREATE INDEX library_playlists_playlist_id ON library_playlists (playlist_id);
CREATE INDEX tracks_album_id ON tracks (album_id);
CREATE INDEX track_artists_artist_id ON track_artists (artist_id);
CREATE INDEX album_artists_artist_id ON album_artists (artist_id);
