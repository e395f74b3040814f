//! A sign-in, from the address of the consent page to the tokens.

use super::{
    server::{Reply, Server},
    *,
};
use crate::model::scopes::SCOPES;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use url::Url;

const REDIRECT: &str = "http://127.0.0.1:4711/callback";

#[tokio::test]
async fn the_consent_page_is_asked_for_what_is_needed_and_nothing_else() {
    let server = Server::start(|_| Reply::status(500, "")).await;
    let (first, second) = (begin(&server), begin(&server));
    let query = query_of(&first.url);
    assert_eq!(first.url.path(), "/authorize");
    let expected = [
        ("client_id", "client"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("code_challenge_method", "S256"),
        ("show_dialog", "true"),
    ];
    for (name, value) in expected {
        assert_eq!(query[name], value, "{name}");
    }
    let names: Vec<_> = SCOPES.iter().map(|scope| scope.name).collect();
    assert_eq!(query["scope"].split(' ').collect::<Vec<_>>(), names);
    assert_eq!(query.len(), expected.len() + 3, "{query:?}");
    for secret in ["state", "code_challenge"] {
        assert!(query[secret].len() >= 22, "{secret}");
        assert_ne!(query[secret], query_of(&second.url)[secret], "{secret} is made anew each time");
    }
    assert_eq!(server.log.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn only_the_answer_to_this_sign_in_is_read() {
    let server = Server::start(|_| Reply::status(500, "")).await;
    let authorization = begin(&server);
    let state = query_of(&authorization.url)["state"].clone();
    let read = |query: &str| authorization.read(&query.replace("STATE", &state));
    assert!(matches!(read("code=abc&state=STATE"), Ok(Answer::Code(code)) if code.expose_secret() == "abc"));
    assert!(matches!(read("error=access_denied&state=STATE"), Ok(Answer::Denied)));
    assert!(matches!(read("error=server_error&state=STATE"), Ok(Answer::Failed(Some(word))) if word == "server_error"));
    assert!(matches!(read("error=%3Cb%3E&state=STATE"), Ok(Answer::Failed(None))), "no word is repeated that is none");
    for query in ["code=abc", "code=abc&state=", "code=abc&state=STATEx", "error=access_denied&state=other"] {
        assert!(matches!(read(query), Err(NotTheAnswer::OfAnother)), "{query}");
    }
    for query in ["", "state=STATE", "code=&state=STATE", "x=y"] {
        assert!(matches!(read(query), Err(NotTheAnswer::Empty)), "{query}");
    }
    assert!(!format!("{authorization:?}").contains(&state));
}

#[tokio::test]
async fn a_code_is_exchanged_with_the_verifier_of_its_challenge() {
    let (seen, forms) = std::sync::mpsc::channel();
    let seen = Mutex::new(seen);
    let server = Server::start(move |request| {
        assert!(!request.headers.contains_key("authorization"));
        seen.lock().unwrap().send(request.form.clone()).unwrap();
        Reply::ok(
            r#"{"access_token": "a1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r1", "scope": "x y"}"#,
        )
    })
    .await;
    let authorization = begin(&server);
    let challenge = query_of(&authorization.url)["code_challenge"].clone();
    let now = Utc::now();
    let client = client(&server);
    let granted = client.finish_authorization(authorization, &"the-code".into(), now).await.unwrap();
    assert_eq!((granted.refresh_token.expose_secret(), granted.scopes.as_deref()), ("r1", Some("x y")));
    assert_eq!(granted.access_token.unwrap().expose_secret(), "a1");
    assert_eq!(granted.expires_at, Some(now + TimeDelta::hours(1)));
    let form = forms.recv().unwrap();
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("redirect_uri", REDIRECT),
        ("client_id", "client"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])), challenge);
    assert_eq!(client.num_token_requests(), 1);
}

#[tokio::test]
async fn what_is_no_grant_is_an_error_without_secrets() {
    let refused = r#"{"error": "invalid_grant", "error_description": "Invalid code the-code"}"#;
    for (reply, words) in [
        (Reply::status(400, refused), "the code of the consent page was refused (Invalid code ***); sign in again"),
        (Reply::status(400, r#"{"error": "invalid_client"}"#), "spotify.client_id was refused"),
        (Reply::ok(r#"{"access_token": "a1", "token_type": "Bearer"}"#), "holds no refresh token"),
        (Reply::ok("<html>the-code</html>"), "is not a grant of tokens"),
        (Reply::status(503, "later"), "the token request was not served (503 Service Unavailable)"),
    ] {
        let server = Server::start(move |_| Reply {
            status: reply.status,
            headers: Vec::new(),
            body: reply.body.clone(),
            cut: 0,
            delay: Duration::ZERO,
        })
        .await;
        let error = client(&server).finish_authorization(begin(&server), &"the-code".into(), Utc::now()).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("the-code"), "{error}");
    }
}

fn begin(server: &Server) -> Authorization {
    client(server).begin_authorization(Url::parse(REDIRECT).unwrap())
}

fn query_of(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}
