DROP INDEX tracks_isrc;
DROP TABLE stream_imports;
DROP TABLE heard_stale;
DROP TABLE heard_half_hours;
DROP TABLE heard_sums;
DROP TABLE heard_items;
