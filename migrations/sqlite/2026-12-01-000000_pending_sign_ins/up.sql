-- Sign-ins by a token from the environment, until it is known which account they belong to: Spotify may replace the
-- token when it is first used, and nobody else has the new one.
-- The same table, columns and meaning as migrations/postgres.

-- imported_hash: SHA-256, in hex, of the token in the environment. trouble, retry_at and doubted_at as in account_tokens.
CREATE TABLE pending_sign_ins (
    imported_hash TEXT NOT NULL PRIMARY KEY,
    client_id     TEXT NOT NULL,
    refresh_token TEXT NOT NULL,
    access_token  TEXT,
    expires_at    TEXT,
    scopes        TEXT,
    trouble       TEXT,
    retry_at      TEXT,
    doubted_at    TEXT,
    noted_at      TEXT NOT NULL
) STRICT;
