ALTER TABLE playlist_items DROP CONSTRAINT playlist_items_kind_check;
UPDATE playlist_items SET kind = 'episode' WHERE kind = 'chapter';
UPDATE playlist_items SET kind = 'missing' WHERE kind = 'unknown';
ALTER TABLE playlist_items ADD CONSTRAINT playlist_items_kind_check
    CHECK (kind IN ('track', 'episode', 'local', 'missing'));
ALTER TABLE sync_odd_items DROP COLUMN uri, DROP COLUMN name;
ALTER TABLE tracks DROP COLUMN uri;
