ALTER TABLE account_tokens DROP COLUMN doubted_at;
ALTER TABLE account_tokens DROP COLUMN retry_at;
ALTER TABLE account_tokens DROP COLUMN trouble;
