DROP INDEX saved_tracks_added_at;
DROP INDEX saved_albums_added_at;
CREATE INDEX saved_tracks_added_at ON saved_tracks (account_id, added_at);
CREATE INDEX saved_albums_added_at ON saved_albums (account_id, added_at);

CREATE TABLE sync_seen_by_key (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    pass        INTEGER NOT NULL,
    item_id     TEXT NOT NULL,
    PRIMARY KEY (account_id, entity_type, pass, item_id)
) STRICT, WITHOUT ROWID;
INSERT INTO sync_seen_by_key SELECT DISTINCT account_id, entity_type, pass, item_id FROM sync_seen;
DROP TABLE sync_seen;
ALTER TABLE sync_seen_by_key RENAME TO sync_seen;
