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
