-- When a playlist's items are read once more without a reason in its listing: a time of its own, so that a failure in
-- between does not end it.
-- The same table, columns and meaning as migrations/sqlite.

ALTER TABLE playlist_readings ADD COLUMN look_again_at TIMESTAMPTZ;
UPDATE playlist_readings SET look_again_at = next_try_at, next_try_at = NULL WHERE failure IS NULL;
