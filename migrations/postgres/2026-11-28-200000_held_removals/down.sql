DROP TABLE held_removals;
