-- When Spotify refused the refresh token for good, and why: no request is sent with it until the person signs in again.
ALTER TABLE account_tokens ADD COLUMN refused_at TEXT;
ALTER TABLE account_tokens ADD COLUMN refused_why TEXT;

-- PostgreSQL has indexes here, because it looks for whoever refers to a row before it deletes one. SQLite is not asked to
-- (see `store::sqlite`), and each random index makes a sync write a quarter more.
