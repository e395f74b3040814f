-- What people see of a webhook.
-- The same columns and meaning as migrations/postgres.

-- Whom it tells, and of which events; null for one that is no longer in the settings.
ALTER TABLE feed_positions ADD COLUMN host TEXT;
ALTER TABLE feed_positions ADD COLUMN events TEXT;
-- When what it has not taken is sent again.
ALTER TABLE feed_positions ADD COLUMN next_try_at TEXT;
