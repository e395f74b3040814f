DROP TABLE feed_positions;
DROP TABLE outbox;
