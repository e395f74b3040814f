//! Pending sign-ins: kept by the first process that exchanges the token, renewed only by holders of the old one, and
//! gone once the sign-in is recorded or refused.

use super::{
    tokens::{secret, tokens},
    *,
};
use crate::store::{PendingKey, Person, TokenRow};
use secrecy::ExposeSecret;

const MIRA: Person<'static> = Person { spotify_id: "mira", spotify_account_id: None, display_name: Some("Mira") };

#[test]
fn pending_tokens_come_back_as_they_were_and_never_print() {
    on_both(async |db| {
        assert!(db.store.load_pending(&key("app")).await.unwrap().is_none());
        assert!(keep(db, "imported", "r1-secret").await, "nothing was there");

        let loaded = db.store.load_pending(&key("app")).await.unwrap().unwrap();

        assert_eq!(loaded.refresh_token.expose_secret(), "r1-secret");
        assert_eq!(loaded.access_token.as_ref().unwrap().expose_secret(), "access-secret");
        assert_eq!((loaded.client_id.as_str(), loaded.expires_at), ("app", Some(at(3600))));
        assert_eq!(loaded.scopes.as_deref(), Some("user-library-read"));
        assert_eq!((loaded.imported_hash.as_deref(), &loaded.trouble), (Some("ab12"), &None));
        assert!(!format!("{loaded:?}").contains("secret"), "{loaded:?}");
        assert!(db.store.load_pending(&key("other")).await.unwrap().is_none(), "another application cannot use them");
    });
}

#[test]
fn pending_tokens_are_renewed_only_by_whoever_knows_them() {
    on_both(async |db| {
        assert!(keep(db, "imported", "r1").await);
        assert!(!keep(db, "imported", "r2").await, "another process was faster");
        assert!(keep(db, "r1", "r3").await);
        assert_eq!(db.texts("refresh_token", "pending_sign_ins").await, ["r3"]);
        // Those of another application are of no use to this one.
        let of_other = TokenRow { client_id: "other".into(), ..tokens("r4") };
        assert!(db.store.keep_pending(&key("other"), &secret("imported"), &of_other, at(2)).await.unwrap());
        assert_eq!(db.texts("client_id || ' ' || refresh_token", "pending_sign_ins").await, ["other r4"]);
    });
}

#[test]
fn trouble_with_pending_tokens_lasts_until_they_are_renewed() {
    on_both(async |db| {
        let trouble = async || db.store.load_pending(&key("app")).await.unwrap().unwrap().trouble;
        let doubt = TokenFailure { why: "void\0".into(), retry_at: at(300), doubted_at: Some(at(1)) };
        let outage = TokenFailure { why: "502".into(), retry_at: at(60), doubted_at: None };
        let note = async |known: &str, trouble: &TokenFailure, of: FailureOf| {
            db.store.note_pending_failure(&key("app"), &secret(known), trouble, of).await.unwrap();
        };
        keep(db, "imported", "r1").await;
        note("r0", &doubt, FailureOf::Grant).await;
        assert_eq!(trouble().await, None, "of a token that is no longer there");
        note("r0", &outage, FailureOf::Endpoint).await;
        assert_eq!(trouble().await, Some(outage.clone()));
        note("r1", &doubt, FailureOf::Grant).await;
        let expected = Some(TokenFailure { why: "void".into(), ..doubt });
        assert_eq!(trouble().await, expected);
        note("r1", &outage, FailureOf::Endpoint).await;
        assert_eq!(trouble().await, expected, "the doubt stays");
        keep(db, "r1", "r2").await;
        assert_eq!(trouble().await, None);
    });
}

#[test]
fn a_sign_in_is_pending_until_it_is_recorded_or_refused() {
    on_both(async |db| {
        keep(db, "imported", "r1").await;
        db.store.forget_pending(&key("app"), &secret("r0")).await.unwrap();
        assert_eq!(db.count("pending_sign_ins").await, 1, "another token was refused");
        db.store.forget_pending(&key("app"), &secret("r1")).await.unwrap();
        assert_eq!(db.count("pending_sign_ins").await, 0);

        keep(db, "imported", "r1").await;
        let by_browser = TokenRow { imported_hash: None, ..tokens("r9") };
        db.store.record_sign_in(MIRA, &by_browser, at(2)).await.unwrap();
        assert_eq!(db.count("pending_sign_ins").await, 1, "it may be of another person");
        db.store.record_sign_in(MIRA, &tokens("r1"), at(3)).await.unwrap();
        assert_eq!(db.count("pending_sign_ins").await, 0);
        assert_eq!(db.texts("refresh_token", "account_tokens").await, ["r1"]);
    });
}

#[test]
fn a_pending_sign_in_that_nobody_uses_is_forgotten() {
    on_both(async |db| {
        keep(db, "imported", "r1").await;
        assert_eq!(db.store.forget_notes_before(at(1)).await.unwrap(), 0);
        assert_eq!(db.store.forget_notes_before(at(2)).await.unwrap(), 1);
        assert_eq!(db.count("pending_sign_ins").await, 0);
    });
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_closed_before_pending_tokens_are_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("segno.db");
    on_one_thread(async {
        let db = Db::new(DatabaseUrl::sqlite_file(file.clone())).await;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        keep(&db, "imported", "r1").await;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

/// As a process does that has exchanged `known`, at 1 s.
async fn keep(db: &Db, known: &str, refresh_token: &str) -> bool {
    db.store.keep_pending(&key("app"), &secret(known), &tokens(refresh_token), at(1)).await.unwrap()
}

fn key(application: &str) -> PendingKey {
    PendingKey { imported_hash: "ab12".into(), client_id: application.into() }
}
