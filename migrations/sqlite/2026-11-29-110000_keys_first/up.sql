-- The columns of the key come first. SQLite up to 3.40, which Debian 12 has, misreads a NOT NULL column between two
-- columns of the key of a table without rowid, and calls a sound file damaged.
-- No table is renamed: SQLite would refuse that while a person's own view mentions it.

CREATE TABLE album_artists_kept AS SELECT album_id, artist_id, position FROM album_artists;
DROP TABLE album_artists;
CREATE TABLE album_artists (
    album_id  TEXT NOT NULL REFERENCES albums (id),
    position  INTEGER NOT NULL,
    artist_id TEXT NOT NULL REFERENCES artists (id),
    PRIMARY KEY (album_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO album_artists (album_id, artist_id, position)
SELECT album_id, artist_id, position FROM album_artists_kept ORDER BY album_id, position;
DROP TABLE album_artists_kept;

CREATE TABLE track_artists_kept AS SELECT track_id, artist_id, position FROM track_artists;
DROP TABLE track_artists;
CREATE TABLE track_artists (
    track_id  TEXT NOT NULL REFERENCES tracks (id),
    position  INTEGER NOT NULL,
    artist_id TEXT NOT NULL REFERENCES artists (id),
    PRIMARY KEY (track_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO track_artists (track_id, artist_id, position)
SELECT track_id, artist_id, position FROM track_artists_kept ORDER BY track_id, position;
DROP TABLE track_artists_kept;
