CREATE INDEX IF NOT EXISTS tracks_isrc ON tracks (isrc) WHERE isrc IS NOT NULL;
