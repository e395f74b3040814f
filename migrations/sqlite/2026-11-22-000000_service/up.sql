-- A service holds an account until `owner_until` and renews that while it lives; `owner_place` and `owner_pid` tell
-- another process of the same machine whether it still does.
ALTER TABLE accounts ADD COLUMN owner_until TEXT;
ALTER TABLE accounts ADD COLUMN owner_place TEXT;
ALTER TABLE accounts ADD COLUMN owner_pid INTEGER;

-- When the service plans the next run.
ALTER TABLE sync_states ADD COLUMN next_run_at TEXT;
