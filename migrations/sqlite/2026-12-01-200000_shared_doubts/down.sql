DROP INDEX held_removals_of_items;
DROP INDEX sync_gaps_of_items;
