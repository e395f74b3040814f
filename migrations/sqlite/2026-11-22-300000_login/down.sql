ALTER TABLE account_tokens DROP COLUMN refused_why;
ALTER TABLE account_tokens DROP COLUMN refused_at;
