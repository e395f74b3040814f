DROP INDEX IF EXISTS tracks_by_name;
DROP INDEX IF EXISTS albums_by_name;
DROP INDEX IF EXISTS artists_by_name;
