//! Accounts, written by SQL as sign-ins and syncs would have left them.

use super::{fleet::Session, sandbox::Sandbox};

/// Accounts that can be claimed, and nothing more: their tokens are never used.
pub async fn add(session: &Session, client_id: &str, num_accounts: u64) {
    session
        .execute(&format!(
            "WITH new AS (INSERT INTO accounts (spotify_id, authorized_at) \
             SELECT 'listener' || n, now() FROM generate_series(1, {num_accounts}) n RETURNING id) \
             INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
             SELECT id, '{client_id}', 'none', now() FROM new"
        ))
        .await;
}

/// The same, with everything read a while ago and nothing due for hours: they cost what idle accounts cost.
pub async fn add_resting(session: &Session, client_id: &str, num_accounts: u64) {
    // In one transaction: a node sees an account with its plans, or not at all.
    let added = resting(client_id, num_accounts);
    session.execute(&format!("BEGIN; {added} COMMIT; ANALYZE accounts, account_tokens, sync_states")).await;
}

/// The people of a sandbox, who have just signed in. Those that rest are added with them, and claimed after them.
pub async fn add_people(session: &Session, sandbox: &Sandbox, num_resting: u64) -> u64 {
    let users = sandbox.get("users").await;
    let people = users.as_array().expect("people");
    let signed_in = people.iter().map(|user| {
        let text = |name: &str| user[name].as_str().expect("text");
        format!(
            "WITH new AS (INSERT INTO accounts (spotify_id, spotify_account_id, authorized_at) \
             VALUES ('{}', '{}', now()) RETURNING id) \
             INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
             SELECT id, '{}', '{}', now() FROM new; ",
            text("id"),
            text("account_id"),
            sandbox.client_id(),
            text("refresh_token")
        )
    });
    let signed_in: String = signed_in.collect();
    let resting = if num_resting > 0 { resting(sandbox.client_id(), num_resting) } else { String::new() };
    session.execute(&format!("BEGIN; {signed_in} {resting} COMMIT")).await;
    people.len() as u64
}

fn resting(client_id: &str, num_accounts: u64) -> String {
    format!(
        "CREATE TEMPORARY TABLE added ON COMMIT DROP AS \
         SELECT nextval(pg_get_serial_sequence('accounts', 'id')) AS id FROM generate_series(1, {num_accounts}); \
         INSERT INTO accounts (id, spotify_id, authorized_at) SELECT id, 'resting' || id, now() FROM added; \
         INSERT INTO sync_states (account_id, entity_type, phase, is_complete, started_at, completed_at, \
         last_updated_at, next_run_at) \
         SELECT id, entity, 'initial_sync', true, now(), now(), now(), now() + interval '5 hours' FROM added, \
         unnest(ARRAY['tracks', 'artists', 'albums', 'playlists', 'shows', 'episodes', 'audiobooks']) entity; \
         INSERT INTO playback_states (account_id, last_polled_at, next_poll_at, updated_at) \
         SELECT id, now(), now() + interval '50 minutes', now() FROM added; \
         INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
         SELECT id, '{client_id}', 'none', now() FROM added;"
    )
}
