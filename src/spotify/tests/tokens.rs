//! The life of tokens: renewed once for all callers, stored before use, never lost.

use super::{
    server::{Reply, Request, Server},
    *,
};
use crate::model::Remedy;
use futures_util::future::join_all;

#[tokio::test]
async fn a_401_renews_the_token_and_leaves_the_next_try_to_the_caller() {
    let server = Server::start(|request| match request.token() {
        "a1" => Reply::status(401, r#"{"error": {"status": 401, "message": "The access token expired"}}"#),
        _ => grant_or_profile(request),
    })
    .await;
    let (client, vault) = (client(&server), recorder(&server));
    let tokens = tokens(stored(), vault.clone());
    assert!(matches!(client.me(&tokens).await, Err(ApiError::Renewed)));
    assert_eq!(client.me(&tokens).await.unwrap().spotify_id, "me");
    assert_eq!(server.log.lines(), ["GET /v1/me a1", "POST /api/token r1", "save r2", "GET /v1/me a2"]);
    assert_eq!((client.num_requests(), client.num_token_requests()), (2, 1));
    assert_eq!(vault.saved.lock().unwrap()[0].scopes.as_deref(), Some("user-library-read"));
}

/// Seen in July 2026: minutes of 401s for tokens that were good.
#[tokio::test]
async fn a_401_for_a_fresh_token_is_not_the_end_and_the_token_is_renewed_again_minutes_later() {
    let server = Server::start(|request| match request.is_token() {
        true => grant_or_profile(request),
        false => Reply::status(401, ""),
    })
    .await;
    let (client, tokens) = (client(&server), tokens(stored(), recorder(&server)));
    assert!(matches!(client.me(&tokens).await, Err(ApiError::Renewed)));
    for _ in 0..3 {
        let error = client.me(&tokens).await.unwrap_err();
        assert!(matches!(error, ApiError::Unauthorized(_)), "{error:?}");
        assert_eq!(error.disposition().remedy, Some(Remedy::AskLater));
    }
    assert_eq!(client.num_token_requests(), 1);
    tokio::time::sleep(RESTS.doubt).await;
    assert!(matches!(client.me(&tokens).await, Err(ApiError::Renewed)));
    assert_eq!(client.num_token_requests(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let server = Server::start(grant_or_profile).await;
    client(&server).me(&tokens(expired(), recorder(&server))).await.unwrap();
    assert_eq!(server.log.lines(), ["POST /api/token r1", "save r2", "GET /v1/me a2"]);
}

#[tokio::test]
async fn a_short_lived_token_is_used_for_three_quarters_of_its_life() {
    let server = Server::start(|request| match request.is_token() {
        true => Reply::ok(r#"{"access_token": "a2", "expires_in": 8}"#),
        false => grant_or_profile(request),
    })
    .await;
    let (client, tokens) = (client(&server), tokens(expired(), recorder(&server)));
    client.me(&tokens).await.unwrap();
    client.me(&tokens).await.unwrap();
    assert_eq!(client.num_token_requests(), 1);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_refresh() {
    let server = Server::start(grant_or_profile).await;
    let (client, tokens) = (client(&server), tokens(expired(), recorder(&server)));
    let profiles = join_all((0..5).map(|_| client.me(&tokens))).await;
    assert!(profiles.iter().all(Result::is_ok), "{profiles:?}");
    assert_eq!((client.num_token_requests(), client.num_requests()), (1, 5));
}

#[tokio::test]
async fn after_a_failed_refresh_nobody_asks_before_the_rest_is_over() {
    for (reply, of) in [
        (Reply::status(503, ""), "Endpoint"),
        (Reply::status(502, "<html>bad gateway"), "Endpoint"),
        (Reply::status(403, "<html>forbidden"), "Endpoint"),
        (Reply::status(302, ""), "Endpoint"),
        (Reply::status(429, ""), "Endpoint"),
        (Reply::status(400, r#"{"error": "server_error"}"#), "Endpoint"),
        (Reply::ok("<html>maintenance"), "Endpoint"),
        (Reply::ok("garbage"), "Endpoint"),
        (Reply::ok("{}"), "Grant"),
        (Reply::ok(r#"{"access_token": ""}"#), "Grant"),
        (Reply::ok(r#"{"access_token": "  "}"#), "Grant"),
        (Reply::ok(r#"{"access_token": "null"}"#), "Grant"),
        (Reply::status(400, r#"{"error": "invalid_client"}"#), "Grant"),
        (Reply::status(400, r#"{"error": "invalid_request"}"#), "Grant"),
    ] {
        let said = format!("{reply:?}");
        let server = Server::start(move |request| match request.token() {
            "a1" => Reply::ok(r#"{"id": "me"}"#),
            _ => reply.clone(),
        })
        .await;
        let (client, tokens) = (client(&server), tokens(run_out(), recorder(&server)));
        let profiles = join_all((0..5).map(|_| client.me(&tokens))).await;
        let left = |profile: &Result<_, ApiError>| match profile {
            Err(error @ ApiError::NoToken { left, .. }) => (*left, error.disposition()),
            other => panic!("{said}: {other:?}"),
        };
        for (left, disposition) in profiles.iter().map(left) {
            assert!(!left.is_zero() && !disposition.was_sent, "{said}");
            assert_eq!(disposition.remedy, Some(Remedy::AwaitToken { left }), "{said}");
        }
        assert_eq!((client.num_token_requests(), client.num_requests()), (1, 0), "{said}");
        assert_eq!(server.log.lines(), ["POST /api/token r1".to_owned(), format!("trouble {of}")], "{said}");
    }
}

#[tokio::test]
async fn the_rest_of_the_token_endpoint_ends_and_grows_and_is_shared_by_all_accounts() {
    let server = Server::start(|_| Reply::status(503, "")).await;
    let (client, one) = (client(&server), tokens(run_out(), recorder(&server)));
    let other = tokens(run_out(), recorder(&server));
    for (waited, num_asked) in [(0, 1), (0, 1), (350, 2), (350, 2), (300, 3)] {
        tokio::time::sleep(Duration::from_millis(waited)).await;
        client.me(&one).await.unwrap_err();
        client.me(&other).await.unwrap_err();
        assert_eq!(client.num_token_requests(), num_asked);
    }
}

#[tokio::test]
async fn a_rest_that_another_process_noted_is_kept() {
    let server = Server::start(grant_or_profile).await;
    let retry_at = Utc::now() + TimeDelta::milliseconds(400);
    let trouble = TokenFailure { why: "502".into(), retry_at, doubted_at: None };
    let (client, tokens) =
        (client(&server), tokens(StoredTokens { trouble: Some(trouble), ..run_out() }, recorder(&server)));
    let error = client.me(&tokens).await.unwrap_err();
    assert!(matches!(error, ApiError::NoToken { .. }) && error.to_string().starts_with("502; it is asked again at"));
    assert_eq!(client.num_token_requests(), 0);
    tokio::time::sleep(Duration::from_millis(450)).await;
    client.me(&tokens).await.unwrap();
}

/// Due for renewal, and good for another minute.
#[tokio::test]
async fn while_the_token_endpoint_fails_what_is_left_of_the_old_token_serves() {
    let server = Server::start(|request| match request.is_token() {
        true => Reply::status(503, ""),
        false => Reply::ok(r#"{"id": "me"}"#),
    })
    .await;
    let (client, tokens) = (client(&server), tokens(expired(), recorder(&server)));
    for _ in 0..3 {
        client.me(&tokens).await.unwrap();
    }
    assert_eq!((client.num_token_requests(), client.num_requests()), (1, 3));
}

#[tokio::test]
async fn a_refresh_token_that_is_not_rotated_is_kept() {
    let blanks = ["  ", "\\n", "\\u0001", "\\u200b", "null", " Undefined "];
    let named = blanks.map(|blank| format!(r#", "refresh_token": "{blank}""#));
    let missing = ["", r#", "refresh_token": null"#, r#", "refresh_token": """#].map(str::to_owned);
    for rotated in missing.into_iter().chain(named) {
        let grant = format!(r#"{{"access_token": "a2", "expires_in": 3600, "scope": "s"{rotated}}}"#);
        let server = Server::start(move |_| Reply::ok(grant.clone())).await;
        let tokens = tokens(expired(), recorder(&server));
        client(&server).me(&tokens).await.unwrap_err();
        let snapshot = tokens.snapshot().await;
        assert_eq!(snapshot.refresh_token.expose_secret(), "r1", "{rotated}");
        assert_eq!(snapshot.access_token.unwrap().expose_secret(), "a2");
        assert_eq!(snapshot.scopes.as_deref(), Some("s"));
    }
}

/// Spotify has called valid tokens void.
#[tokio::test]
async fn a_refused_refresh_token_is_sent_once_more_minutes_later_and_then_never_again() {
    let body = r#"{"error": "invalid_grant", "error_description": "Refresh token r1 revoked"}"#;
    let server = Server::start(move |_| Reply::status(400, body)).await;
    let (client, tokens) = (client(&server), tokens(run_out(), recorder(&server)));
    for _ in 0..3 {
        let error = client.me(&tokens).await.unwrap_err();
        assert!(matches!(&error, ApiError::NoToken { is_doubted: true, .. }), "{error:?}");
        assert_eq!(error.disposition().remedy, Some(Remedy::AskLater), "no request waits for it");
        assert!(
            error.to_string().contains("rejects the refresh token as invalid (Refresh token *** revoked)"),
            "{error}"
        );
    }
    assert_eq!(client.num_token_requests(), 1);
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    for _ in 0..3 {
        let error = client.me(&tokens).await.unwrap_err();
        let expected = "the refresh token was refused (Refresh token *** revoked); sign in again with \"segno login\"";
        assert!(matches!(&error, ApiError::SignIn(message) if message == expected), "{error:?}");
        assert_eq!(error.disposition().remedy, Some(Remedy::SignIn));
    }
    assert_eq!((client.num_token_requests(), client.num_requests()), (2, 0));
    let told = ["POST /api/token r1", "load", "trouble doubt", "POST /api/token r1", "load", "refused r1"];
    assert_eq!(server.log.lines(), told, "the vault knows, and is told once");
}

#[tokio::test]
async fn a_refusal_of_the_refresh_token_that_was_not_true_costs_minutes() {
    let num_asked = AtomicU32::new(0);
    let server = Server::start(move |request| match request.is_token() {
        true if num_asked.fetch_add(1, Ordering::Relaxed) == 0 => Reply::status(400, r#"{"error": "invalid_grant"}"#),
        _ => grant_or_profile(request),
    })
    .await;
    let (client, vault) = (client(&server), recorder(&server));
    let tokens = tokens(run_out(), vault.clone());
    assert!(matches!(client.me(&tokens).await, Err(ApiError::NoToken { .. })));
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    client.me(&tokens).await.unwrap();
    assert_eq!(vault.held.lock().unwrap().as_ref().unwrap().trouble, None);
}

/// What a restart finds on record: neither the first sighting nor the wait is lost.
#[tokio::test]
async fn a_doubt_survives_a_restart() {
    let server = Server::start(|_| Reply::status(400, r#"{"error": "invalid_grant"}"#)).await;
    let client = client(&server);
    let before = recorder(&server);
    client.me(&tokens(run_out(), before.clone())).await.unwrap_err();
    let trouble = before.held.lock().unwrap().as_ref().unwrap().trouble.clone();
    let held = StoredTokens { trouble, ..run_out() };
    let after = Arc::new(Recorder { held: Mutex::new(Some(held.clone())), ..recorded(&server) });
    let tokens = tokens(held, after);
    assert!(matches!(client.me(&tokens).await, Err(ApiError::NoToken { .. })));
    assert_eq!(client.num_token_requests(), 1, "not asked at once");
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    assert!(matches!(client.me(&tokens).await, Err(ApiError::SignIn(_))), "and the second time is believed");
}

/// The clock was a year ahead when the token was first called void, and has been corrected.
#[tokio::test]
async fn a_doubt_that_lies_ahead_begins_now_and_ripens() {
    let server = Server::start(|_| Reply::status(400, r#"{"error": "invalid_grant"}"#)).await;
    let ahead = Utc::now() + TimeDelta::days(365);
    let trouble = TokenFailure { why: "void".into(), retry_at: ahead, doubted_at: Some(ahead) };
    let held = StoredTokens { trouble: Some(trouble), ..run_out() };
    let vault = Arc::new(Recorder { held: Mutex::new(Some(held.clone())), ..recorded(&server) });
    let (client, tokens) = (client(&server), tokens(held, vault.clone()));
    assert!(matches!(client.me(&tokens).await, Err(ApiError::NoToken { is_doubted: true, .. })));
    assert_eq!(client.num_token_requests(), 1, "asked at once");
    let noted = vault.held.lock().unwrap().as_ref().unwrap().trouble.clone().unwrap();
    assert!(noted.doubted_at < Some(ahead) && noted.retry_at < ahead, "{noted:?}");
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    assert!(matches!(client.me(&tokens).await, Err(ApiError::SignIn(_))));
}

/// There is no sign-in yet that one answer could end.
#[tokio::test]
async fn a_refresh_token_that_was_never_good_is_refused_at_once() {
    let server = Server::start(|_| Reply::status(400, r#"{"error": "invalid_grant"}"#)).await;
    let tokens = Tokens::new(run_out(), Arc::new(KeepInMemory), Utc::now);
    assert!(matches!(client(&server).me(&tokens).await, Err(ApiError::SignIn(_))));
}

#[tokio::test]
async fn a_refresh_token_that_another_process_has_exchanged_is_replaced_by_what_it_stored() {
    for (stored_by_other, expected) in [
        // Its access token still lasts.
        (other("r2", TimeDelta::hours(1)), vec!["POST /api/token r1", "load", "GET /v1/me a9"]),
        // It does not.
        (
            other("r2", TimeDelta::zero()),
            vec!["POST /api/token r1", "load", "POST /api/token r2", "save r3", "GET /v1/me a3"],
        ),
    ] {
        let server = Server::start(only_r2).await;
        let (client, vault) = (client(&server), recorder(&server));
        *vault.held.lock().unwrap() = Some(stored_by_other);
        let tokens = tokens(expired(), vault);
        let profiles = join_all((0..3).map(|_| client.me(&tokens))).await;
        assert!(profiles.iter().all(Result::is_ok), "{profiles:?}");
        assert_eq!(server.log.lines()[..expected.len()], expected);
        assert_eq!(server.log.lines().len(), expected.len() + 2, "two more callers, and not one more token request");
    }
}

#[tokio::test]
async fn a_refresh_token_that_another_process_has_exchanged_is_not_sent() {
    for (life, expected) in [
        (TimeDelta::hours(1), vec!["GET /v1/me a9"]),
        (TimeDelta::zero(), vec!["POST /api/token r2", "save r3", "GET /v1/me a3"]),
    ] {
        let server = Server::start(only_r2).await;
        let (client, vault) = (client(&server), recorder(&server));
        *vault.newer.lock().unwrap() = Some(other("r2", life));
        *vault.held.lock().unwrap() = Some(other("r2", life));
        client.me(&tokens(expired(), vault)).await.unwrap();
        assert_eq!(server.log.lines(), expected);
    }
}

#[tokio::test]
async fn a_refused_token_is_not_sent_again_while_there_is_no_new_one() {
    let server = Server::start(|request| match request.is_token() {
        true => Reply::status(503, ""),
        false => Reply::status(401, ""),
    })
    .await;
    let (client, tokens) = (client(&server), tokens(stored(), recorder(&server)));
    for _ in 0..4 {
        client.me(&tokens).await.unwrap_err();
    }
    assert_eq!((client.num_requests(), client.num_token_requests()), (1, 1));
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    client.me(&tokens).await.unwrap_err();
    assert_eq!(client.num_requests(), 2, "the refusal may have been wrong");
}

#[tokio::test]
async fn when_the_other_token_is_void_as_well_it_is_asked_once_more_too() {
    let server = Server::start(|_| Reply::status(400, r#"{"error": "invalid_grant"}"#)).await;
    let (client, vault) = (client(&server), recorder(&server));
    *vault.held.lock().unwrap() = Some(other("r2", TimeDelta::zero()));
    let tokens = tokens(run_out(), vault);
    for _ in 0..3 {
        assert!(matches!(client.me(&tokens).await, Err(ApiError::NoToken { .. })));
    }
    tokio::time::sleep(RESTS.doubt + Duration::from_millis(20)).await;
    assert!(matches!(client.me(&tokens).await, Err(ApiError::SignIn(_))));
    let told = ["POST /api/token r1", "load", "POST /api/token r2", "load", "trouble doubt"];
    assert_eq!(server.log.lines()[..5], told);
    assert_eq!(server.log.lines()[5..], ["POST /api/token r2", "load", "refused r2"]);
}

#[tokio::test]
async fn renewed_tokens_do_not_replace_a_new_sign_in() {
    let server = Server::start(grant_or_profile).await;
    let (client, vault) = (client(&server), recorder(&server));
    *vault.held.lock().unwrap() = Some(other("r8", TimeDelta::hours(1)));
    let tokens = tokens(expired(), vault.clone());
    client.me(&tokens).await.unwrap();
    assert_eq!(server.log.lines(), ["POST /api/token r1", "load", "GET /v1/me a9"]);
    assert_eq!(vault.saved.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn renewed_tokens_do_not_bring_back_a_sign_in_that_was_forgotten() {
    let server = Server::start(grant_or_profile).await;
    let (client, vault) = (client(&server), recorder(&server));
    *vault.held.lock().unwrap() = None;
    let tokens = tokens(expired(), vault.clone());
    for _ in 0..2 {
        let error = client.me(&tokens).await.unwrap_err();
        assert!(matches!(&error, ApiError::SignIn(why) if why.contains("signed out")), "{error:?}");
    }
    assert_eq!(server.log.lines(), ["POST /api/token r1", "load"]);
    assert!(vault.held.lock().unwrap().is_none());
}

/// Refuses `r1` for good and grants `a3` and `r3` for `r2`.
fn only_r2(request: &Request) -> Reply {
    match (request.is_token(), request.token()) {
        (true, "r2") => Reply::ok(r#"{"access_token": "a3", "expires_in": 3600, "refresh_token": "r3"}"#),
        (true, _) => Reply::status(400, r#"{"error": "invalid_grant", "error_description": "Refresh token revoked"}"#),
        (false, _) => Reply::ok(r#"{"id": "me"}"#),
    }
}

/// What another process has stored.
fn other(refresh_token: &str, life: TimeDelta) -> StoredTokens {
    StoredTokens {
        access_token: Some("a9".into()),
        expires_at: Some(Utc::now() + life),
        refresh_token: refresh_token.into(),
        scopes: None,
        trouble: None,
    }
}

#[tokio::test]
async fn tokens_that_could_not_be_stored_are_not_used_and_not_lost() {
    let server = Server::start(grant_or_profile).await;
    let (client, vault) = (client(&server), recorder(&server));
    vault.num_failures.store(1, Ordering::Relaxed);
    let tokens = tokens(expired(), vault);
    let error = client.me(&tokens).await.unwrap_err();
    assert_eq!(error.disposition().remedy, Some(Remedy::OursSoon), "{error:?}");
    client.me(&tokens).await.unwrap();
    assert_eq!(server.log.lines(), ["POST /api/token r1", "save r2", "GET /v1/me a2"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_during_a_refresh_does_not_lose_the_answer() {
    let server = Server::start(|request| {
        let delay = if request.is_token() { Duration::from_millis(100) } else { Duration::ZERO };
        Reply { delay, ..grant_or_profile(request) }
    })
    .await;
    let (client, tokens) = (client(&server), tokens(expired(), recorder(&server)));
    let given_up = tokio::time::timeout(Duration::from_millis(30), client.me(&tokens)).await;
    assert!(given_up.is_err());
    client.me(&tokens).await.unwrap();
    assert_eq!(server.log.lines(), ["POST /api/token r1", "save r2", "GET /v1/me a2"]);
}

#[tokio::test]
async fn a_first_sign_in_keeps_its_tokens_until_there_is_an_account() {
    let server = Server::start(grant_or_profile).await;
    let stored = StoredTokens { access_token: None, expires_at: None, ..stored() };
    let tokens = Tokens::new(stored, Arc::new(KeepInMemory), Utc::now);
    client(&server).me(&tokens).await.unwrap();
    let snapshot = tokens.snapshot().await;
    assert_eq!(snapshot.refresh_token.expose_secret(), "r2");
    assert!(snapshot.expires_at.unwrap() > Utc::now() + TimeDelta::minutes(59));
}

#[tokio::test]
async fn a_grant_without_a_usable_access_token_is_none_but_its_refresh_token_counts() {
    let server = Server::start(|request| match request.token() {
        "r1" => Reply::ok(r#"{"access_token": "line\nbreak", "refresh_token": "r1b"}"#),
        _ => grant_or_profile(request),
    })
    .await;
    let (client, tokens) = (client(&server), tokens(run_out(), recorder(&server)));
    assert!(matches!(client.me(&tokens).await, Err(ApiError::NoToken { .. })));
    tokio::time::sleep(RESTS.first).await;
    client.me(&tokens).await.unwrap();
    let told = ["POST /api/token r1", "save r1b", "trouble Grant", "POST /api/token r1b", "save r2", "GET /v1/me a2"];
    assert_eq!(server.log.lines(), told);
}

#[test]
fn tokens_print_nothing_secret() {
    let stored = stored();
    let tokens = Tokens::new(stored.clone(), Arc::new(KeepInMemory), Utc::now);
    let printed = format!("{stored:?} {tokens:?}");
    assert!(!printed.contains("a1") && !printed.contains("r1"), "{printed}");
}

/// Grants `a2` and `r2`; anything else is `/me`.
fn grant_or_profile(request: &Request) -> Reply {
    if !request.is_token() {
        return Reply::ok(r#"{"id": "me"}"#);
    }
    assert_eq!((&*request.form["grant_type"], &*request.form["client_id"]), ("refresh_token", "client"));
    assert!(!request.headers.contains_key("authorization"));
    Reply::ok(r#"{"access_token": "a2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r2"}"#)
}
