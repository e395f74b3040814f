ALTER TABLE feed_positions DROP COLUMN next_try_at;
ALTER TABLE feed_positions DROP COLUMN events;
ALTER TABLE feed_positions DROP COLUMN host;
