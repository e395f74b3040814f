-- Stable names for everyday questions; docs/tables.md describes them.
-- The same views, columns and meaning as migrations/postgres.

-- Everything that was listened to, each time once: rows of a data export, and plays that only the API tells of.
CREATE VIEW listening AS
SELECT s.account_id, s.started_at, s.ended_at, s.ms_played, s.ms_played AS ms_estimated,
       CASE WHEN s.kind = 'unknown' AND s.played_uri IS NOT NULL THEN 'track' ELSE s.kind END AS kind,
       coalesce(s.uri, s.played_uri) AS uri, t.id AS track_id,
       CASE WHEN t.source = 'api' THEN t.name ELSE s.name END AS name,
       CASE WHEN t.source = 'api' THEN a.name ELSE s.creator END AS artist,
       CASE WHEN t.source = 'api' THEN b.name ELSE s.collection END AS album,
       CASE WHEN s.offset_ms IS NULL THEN 'export' ELSE 'both' END AS source,
       s.ms_played >= 30000 AS counts, s.skipped, s.offline, s.incognito
FROM streams s
LEFT JOIN tracks t ON (s.kind = 'track' OR s.played_uri IS NOT NULL) AND t.id = substr(coalesce(s.uri, s.played_uri), 15)
LEFT JOIN albums b ON b.id = t.album_id
LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0
LEFT JOIN artists a ON a.id = ta.artist_id
UNION ALL
SELECT p.account_id, NULL, p.played_at, p.ms_played, coalesce(p.ms_played, t.duration_ms),
       CASE WHEN p.track_uri LIKE 'spotify:episode:%' THEN 'episode' ELSE 'track' END,
       p.track_uri, p.track_id, t.name, a.name, b.name, 'api',
       coalesce(p.ms_played, t.duration_ms, 30000) >= 30000, NULL, NULL, NULL
FROM plays p
LEFT JOIN tracks t ON t.id = p.track_id
LEFT JOIN albums b ON b.id = t.album_id
LEFT JOIN track_artists ta ON ta.track_id = p.track_id AND ta.position = 0
LEFT JOIN artists a ON a.id = ta.artist_id
WHERE p.source = 'api' AND NOT EXISTS (
    SELECT 1 FROM streams s WHERE s.account_id = p.account_id AND s.played_at = p.played_at AND s.offset_ms IS NOT NULL
    AND coalesce(s.played_uri, s.uri) = p.track_uri);

-- Which ids are one recording: by ISRC, else by title, first artist and length in seconds.
CREATE VIEW recordings AS
SELECT t.id AS track_id,
       CASE WHEN t.isrc IS NOT NULL THEN 'isrc:' || upper(t.isrc)
            WHEN a.name IS NOT NULL THEN 'name:' || lower(trim(t.name)) || '|' || lower(trim(a.name)) || '|'
                || coalesce(CAST((t.duration_ms + 500) / 1000 AS TEXT), '')
            ELSE 'id:' || t.id END AS recording,
       t.isrc, t.name, a.name AS artist, t.duration_ms
FROM tracks t
LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0
LEFT JOIN artists a ON a.id = ta.artist_id;

-- What is in a library now.
CREATE VIEW library AS
SELECT s.account_id, 'track' AS kind, t.id, t.name, a.name AS artist, s.added_at
FROM saved_tracks s JOIN tracks t ON t.id = s.track_id
LEFT JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0 LEFT JOIN artists a ON a.id = ta.artist_id
WHERE s.removed_at IS NULL
UNION ALL
SELECT s.account_id, 'album', b.id, b.name, a.name, s.added_at
FROM saved_albums s JOIN albums b ON b.id = s.album_id
LEFT JOIN album_artists ba ON ba.album_id = b.id AND ba.position = 0 LEFT JOIN artists a ON a.id = ba.artist_id
WHERE s.removed_at IS NULL
UNION ALL
SELECT f.account_id, 'artist', a.id, a.name, a.name, f.first_seen_at
FROM followed_artists f JOIN artists a ON a.id = f.artist_id WHERE f.removed_at IS NULL
UNION ALL
SELECT l.account_id, 'playlist', p.id, p.name, p.owner_name, l.first_seen_at
FROM library_playlists l JOIN playlists p ON p.id = l.playlist_id WHERE l.removed_at IS NULL
UNION ALL
SELECT s.account_id, 'show', w.id, w.name, w.publisher, s.added_at
FROM saved_shows s JOIN shows w ON w.id = s.show_id WHERE s.removed_at IS NULL
UNION ALL
SELECT s.account_id, 'episode', e.id, e.name, w.name, s.added_at
FROM saved_episodes s JOIN episodes e ON e.id = s.episode_id LEFT JOIN shows w ON w.id = e.show_id
WHERE s.removed_at IS NULL
UNION ALL
SELECT s.account_id, 'audiobook', k.id, k.name, k.publisher, coalesce(s.added_at, s.first_seen_at)
FROM saved_audiobooks s JOIN audiobooks k ON k.id = s.audiobook_id WHERE s.removed_at IS NULL;
