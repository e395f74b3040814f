DROP VIEW library;
DROP VIEW recordings;
DROP VIEW listening;
