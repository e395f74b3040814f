-- Indexes of names hold the beginning of a name only, since a database bounds what an index holds (PostgreSQL: 2,704
-- bytes). They are built by the service when they are due (`store::browse::names`), so the old ones go here.
DROP INDEX IF EXISTS tracks_by_name;
DROP INDEX IF EXISTS albums_by_name;
DROP INDEX IF EXISTS artists_by_name;
