-- No sync brings this back: it is left alone while there is any.
CREATE TEMP TABLE refused (
    refused1 BIGINT,
    refused2 BIGINT,
    CONSTRAINT "gaps of the listening history would be lost" CHECK (refused1 = 0),
    CONSTRAINT "how far plays were read would be lost" CHECK (refused2 = 0)
);
INSERT INTO refused SELECT
    (SELECT count(*) FROM play_gaps),
    (SELECT count(*) FROM playback_states);
DROP TABLE refused;

DROP TABLE play_gaps;
DROP TABLE playback_states;
