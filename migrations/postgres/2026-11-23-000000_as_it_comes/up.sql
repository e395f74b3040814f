-- What a pass has seen is only ever added to, counted and forgotten as a whole: no row is looked up by its key.
-- The same table, columns and meaning as migrations/sqlite.

ALTER TABLE sync_seen DROP CONSTRAINT sync_seen_pkey;
