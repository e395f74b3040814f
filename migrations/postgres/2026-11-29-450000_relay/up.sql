-- Who publishes the feed to a stream.
-- The same columns and meaning as migrations/sqlite.

-- The node that does so, for as long as it lives; null for what any node may move, as webhooks.
ALTER TABLE feed_positions ADD COLUMN owner TEXT;
