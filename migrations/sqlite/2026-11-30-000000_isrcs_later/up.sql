-- A first sync does not pay for the index of ISRCs: the service builds it afterwards (`src/store/browse/isrcs.rs`).
-- The same in migrations/postgres.

DROP INDEX tracks_isrc;
