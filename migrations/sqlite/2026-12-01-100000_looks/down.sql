UPDATE playlist_readings SET next_try_at = look_again_at WHERE failure IS NULL;
ALTER TABLE playlist_readings DROP COLUMN look_again_at;
