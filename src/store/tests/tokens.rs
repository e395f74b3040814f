//! Sign-ins: stored unchanged, replaced only by holders of the old token, and never printed or left readable.

use super::*;
use crate::store::{Person, TokenRow};
use secrecy::{ExposeSecret, SecretString};

const MIRA: Person<'static> = Person { spotify_id: "mira", spotify_account_id: None, display_name: Some("Mira") };

#[test]
fn tokens_come_back_as_they_were_and_never_print() {
    on_both(async |db| {
        assert!(db.store.load_tokens(db.account).await.unwrap().is_none());
        let first = tokens("refresh-secret");
        assert_eq!(db.store.record_sign_in(MIRA, &first, at(1)).await.unwrap(), db.account);
        let rotated = TokenRow { refresh_token: "rotated-secret".into(), access_token: None, ..first.clone() };
        assert!(db.store.renew_tokens(db.account, &first.refresh_token, &rotated, at(2)).await.unwrap());

        let loaded = db.store.load_tokens(db.account).await.unwrap().unwrap();

        assert_eq!(loaded.refresh_token.expose_secret(), "rotated-secret");
        assert!(loaded.access_token.is_none());
        assert_eq!((loaded.client_id.as_str(), loaded.expires_at), ("app", Some(at(3600))));
        assert_eq!((loaded.scopes, loaded.imported_hash), (first.scopes.clone(), first.imported_hash.clone()));
        assert!(!format!("{first:?}").contains("secret"), "{first:?}");
    });
}

#[test]
fn only_a_new_sign_in_begins_another_six_months_and_changes_the_revision() {
    on_both(async |db| {
        let sign_in = async || db.store.sign_ins().await.unwrap().remove(0);
        assert_eq!((sign_in().await.revision(), sign_in().await.state(at(1))), (None, SignInState::SignedOut));
        let first = tokens("r1");
        db.store.record_sign_in(MIRA, &first, at(10)).await.unwrap();
        assert_eq!(sign_in().await.revision(), Some(at(10)));
        db.store.renew_tokens(db.account, &first.refresh_token, &tokens("r2"), at(20)).await.unwrap();
        db.store.note_refused(db.account, &secret("r2"), "revoked", at(30)).await.unwrap();
        assert_eq!((sign_in().await.revision(), sign_in().await.account.authorized_at), (Some(at(10)), at(10)));
        db.store.record_sign_in(MIRA, &tokens("r3"), at(40)).await.unwrap();
        assert_eq!(sign_in().await.revision(), Some(at(40)));
        assert!(db.store.forget_tokens(db.account).await.unwrap());
        assert!(!db.store.forget_tokens(db.account).await.unwrap());
        assert_eq!(sign_in().await.revision(), None);
        assert_eq!(db.count("accounts").await, 1, "the account stays");
    });
}

#[test]
fn whoever_knows_an_older_sign_in_changes_nothing() {
    on_both(async |db| {
        let renew = async |known: &str| {
            db.store.renew_tokens(db.account, &secret(known), &tokens("stale"), at(9)).await.unwrap()
        };
        assert!(!renew("r1").await, "nobody has signed in");
        assert_eq!(db.count("account_tokens").await, 0);
        db.store.record_sign_in(MIRA, &tokens("r1"), at(1)).await.unwrap();
        db.store.record_sign_in(MIRA, &tokens("r2"), at(2)).await.unwrap();
        assert!(!renew("r1").await);
        db.store.note_refused(db.account, &secret("r1"), "revoked", at(3)).await.unwrap();
        assert_eq!(db.texts("refresh_token", "account_tokens").await, ["r2"]);
        assert_eq!(db.cells("refused_at", "account_tokens").await, [None]);
    });
}

#[test]
fn a_refusal_is_kept_with_its_reason_until_the_next_sign_in() {
    on_both(async |db| {
        let state = async || db.store.sign_ins().await.unwrap().remove(0).state(at(100));
        db.store.record_sign_in(MIRA, &tokens("r1"), at(1)).await.unwrap();
        assert!(matches!(state().await, SignInState::Valid { .. }));
        db.store.note_refused(db.account, &secret("r1"), "Refresh token revoked\0", at(50)).await.unwrap();
        let expected = SignInState::Refused { why: "Refresh token revoked".into(), since: at(50) };
        assert_eq!(state().await, expected);
        assert_eq!(db.store.status(at(100)).await.unwrap().accounts[0].sign_in, expected);
        db.store.record_sign_in(MIRA, &tokens("r2"), at(60)).await.unwrap();
        assert!(matches!(state().await, SignInState::Valid { .. }));
    });
}

#[test]
fn a_token_from_the_environment_stays_known_after_a_later_sign_in() {
    on_both(async |db| {
        db.store.record_sign_in(MIRA, &tokens("r1"), at(1)).await.unwrap();
        let by_browser = TokenRow { imported_hash: None, ..tokens("r2") };
        db.store.record_sign_in(MIRA, &by_browser, at(2)).await.unwrap();
        let grant = db.store.sign_ins().await.unwrap().remove(0).grant.unwrap();
        assert_eq!(grant.imported_hash.as_deref(), Some("ab12"));
    });
}

#[test]
fn status_names_the_permissions_that_are_missing() {
    on_both(async |db| {
        let few = TokenRow { scopes: Some("user-library-read user-read-private".into()), ..tokens("r1") };
        db.store.record_sign_in(MIRA, &few, at(1)).await.unwrap();
        let account = db.store.status(at(2)).await.unwrap().accounts.remove(0);
        assert_eq!(account.display_name.as_deref(), Some("Mira"));
        assert_eq!(
            account.missing_scopes,
            [
                "user-read-playback-position",
                "user-follow-read",
                "playlist-read-private",
                "playlist-read-collaborative",
                "user-read-recently-played"
            ]
        );
    });
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_closed_before_tokens_are_written_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("segno.db");
    let mode = |suffix: &str| {
        let path = format!("{}{suffix}", file.display());
        std::fs::metadata(&path).unwrap_or_else(|error| panic!("{path}: {error}")).permissions().mode() & 0o777
    };
    let open_up = || {
        for suffix in ["", "-wal", "-shm"] {
            let path = format!("{}{suffix}", file.display());
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    };
    on_one_thread(async {
        let store = Store::open(&DatabaseUrl::sqlite_file(file.clone()), "test").await.unwrap();
        let account = store.upsert_account("mira", None, None, at(0)).await.unwrap();
        open_up();
        store.record_sign_in(MIRA, &tokens("r1"), at(1)).await.unwrap();
        assert_eq!(["", "-wal", "-shm"].map(mode), [0o600; 3]);
        open_up();
        store.renew_tokens(account, &secret("r1"), &tokens("r2"), at(2)).await.unwrap();
        assert_eq!(["", "-wal", "-shm"].map(mode), [0o600; 3]);
    });
}

pub(super) fn tokens(refresh_token: &str) -> TokenRow {
    TokenRow {
        client_id: "app".into(),
        refresh_token: secret(refresh_token),
        access_token: Some("access-secret".into()),
        expires_at: Some(at(3600)),
        scopes: Some("user-library-read".into()),
        imported_hash: Some("ab12".into()),
        trouble: None,
    }
}

pub(super) fn secret(text: &str) -> SecretString {
    text.into()
}
