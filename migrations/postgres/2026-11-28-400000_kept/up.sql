-- What the source gives is kept: local files, chapters, and what has a name but no place of its own.
-- The same tables, columns and meaning as migrations/sqlite.

-- Of a local file, whose id is that, or its beginning where it is too long for an index. Null: `spotify:track:` and the id.
ALTER TABLE tracks ADD COLUMN uri TEXT;

-- What a row that is no item calls itself.
ALTER TABLE sync_odd_items ADD COLUMN name TEXT, ADD COLUMN uri TEXT;

ALTER TABLE playlist_items DROP CONSTRAINT playlist_items_kind_check;
ALTER TABLE playlist_items ADD CONSTRAINT playlist_items_kind_check
    CHECK (kind IN ('track', 'episode', 'chapter', 'local', 'missing', 'unknown'));
