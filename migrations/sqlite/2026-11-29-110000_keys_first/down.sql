CREATE TABLE album_artists_kept AS SELECT album_id, artist_id, position FROM album_artists;
DROP TABLE album_artists;
CREATE TABLE album_artists (
    album_id  TEXT NOT NULL REFERENCES albums (id),
    artist_id TEXT NOT NULL REFERENCES artists (id),
    position  INTEGER NOT NULL,
    PRIMARY KEY (album_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO album_artists (album_id, artist_id, position)
SELECT album_id, artist_id, position FROM album_artists_kept ORDER BY album_id, position;
DROP TABLE album_artists_kept;

CREATE TABLE track_artists_kept AS SELECT track_id, artist_id, position FROM track_artists;
DROP TABLE track_artists;
CREATE TABLE track_artists (
    track_id  TEXT NOT NULL REFERENCES tracks (id),
    artist_id TEXT NOT NULL REFERENCES artists (id),
    position  INTEGER NOT NULL,
    PRIMARY KEY (track_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO track_artists (track_id, artist_id, position)
SELECT track_id, artist_id, position FROM track_artists_kept ORDER BY track_id, position;
DROP TABLE track_artists_kept;
