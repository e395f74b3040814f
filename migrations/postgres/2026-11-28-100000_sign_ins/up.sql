-- Why an account gets no new access token for a while, and when the token endpoint is asked again. doubted_at: since when
-- Spotify has called the refresh token void; only the second time, some minutes later, is believed.
ALTER TABLE account_tokens ADD COLUMN trouble TEXT;
ALTER TABLE account_tokens ADD COLUMN retry_at TIMESTAMPTZ;
ALTER TABLE account_tokens ADD COLUMN doubted_at TIMESTAMPTZ;
