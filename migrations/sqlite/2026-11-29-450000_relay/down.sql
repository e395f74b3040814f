ALTER TABLE feed_positions DROP COLUMN owner;
