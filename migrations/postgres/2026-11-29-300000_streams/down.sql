ALTER TABLE tracks DROP COLUMN source;
ALTER TABLE play_gaps DROP COLUMN filled_by;
DROP TABLE streams;
DROP TABLE imports;
