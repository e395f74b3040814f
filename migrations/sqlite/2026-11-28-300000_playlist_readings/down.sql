DROP TABLE playlist_items_read;
DROP TABLE playlist_readings;
ALTER TABLE playlists DROP COLUMN items_generation;
ALTER TABLE playlists DROP COLUMN items_hidden;
ALTER TABLE playlists DROP COLUMN items_held;
