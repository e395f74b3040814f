ALTER TABLE sync_states DROP COLUMN next_run_at;
ALTER TABLE accounts DROP COLUMN owner_pid;
ALTER TABLE accounts DROP COLUMN owner_place;
ALTER TABLE accounts DROP COLUMN owner_until;
