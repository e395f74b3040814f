-- Items that a walk did not see and that are not called removed yet: a later walk has to miss the same ones, or a person
-- has to say so. `is_counted`: the API's own total still counts them, so that only a person can.
-- `playlist_id` is '' for the entity type's own listing.
-- The same table, columns and meaning as migrations/sqlite.

CREATE TABLE held_removals (
    account_id   BIGINT NOT NULL REFERENCES accounts (id),
    entity_type  TEXT NOT NULL,
    playlist_id  TEXT NOT NULL,
    item_id      TEXT NOT NULL,
    since        TIMESTAMPTZ NOT NULL,
    is_counted   BOOLEAN NOT NULL,
    is_confirmed BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, entity_type, playlist_id, item_id)
);
