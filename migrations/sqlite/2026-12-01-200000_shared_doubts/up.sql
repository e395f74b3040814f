-- What one account has left open of a playlist's items is closed by whichever account reads them next: found by the
-- playlist.
-- The same indexes and meaning as migrations/postgres.

CREATE INDEX sync_gaps_of_items ON sync_gaps (playlist_id) WHERE healed_at IS NULL AND playlist_id IS NOT NULL;
CREATE INDEX held_removals_of_items ON held_removals (playlist_id) WHERE playlist_id <> '';
