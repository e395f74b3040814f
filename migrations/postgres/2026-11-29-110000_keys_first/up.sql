-- In SQLite the columns of the key come first from here on: some of its versions misread the table otherwise. PostgreSQL
-- has no such trouble. It orders columns anew only by making the table again, which would take a person's grants on it
-- and fail where a person's view mentions it. So only SQLite's table is made again; queries name their columns.
SELECT 1;
