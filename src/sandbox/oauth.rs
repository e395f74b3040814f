//! The sign-in: consent, codes and tokens, as `accounts.spotify.com` issues them to an application without a secret
//! (authorization code with PKCE). Who is asked, and how, is in `consent`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::consent::Manners;
use super::http::Query;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fastrand::Rng;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// How long a code is valid.
const CODE_TTL: Duration = Duration::from_secs(600);
/// Most tokens and codes of each kind that are remembered; beyond that the oldest are forgotten.
const REMEMBERED_MAX: usize = 1_000;
/// The scopes of the refresh token that a sandbox starts with: everything that can be read.
const SCOPES: &str = "playlist-read-collaborative playlist-read-private user-follow-read user-library-read \
                      user-read-currently-playing user-read-email user-read-playback-position \
                      user-read-playback-state user-read-private user-read-recently-played";

/// Everything that was issued.
#[derive(Debug)]
pub struct OAuth {
    client_id: String,
    /// Lifetime of future access tokens.
    pub access_token_ttl: Duration,
    /// Whether a refresh replaces the refresh token.
    pub rotates: bool,
    pub manners: Manners,
    grants: Remembered<Grant>,
    access: Remembered<AccessToken>,
    codes: Remembered<Code>,
    rng: Rng,
}

/// What a refresh token stands for.
#[derive(Debug)]
struct Grant {
    user: usize,
    scope: String,
    is_revoked: bool,
}

#[derive(Debug)]
struct AccessToken {
    user: usize,
    expires_at: Instant,
    scope: String,
}

#[derive(Debug)]
struct Code {
    user: usize,
    redirect_uri: String,
    challenge: String,
    scope: String,
    expires_at: Instant,
}

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Remembered<T> {
    entries: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Remembered<T> {
    fn new() -> Remembered<T> {
        Remembered { entries: HashMap::new(), order: VecDeque::new() }
    }

    fn insert(&mut self, key: String, value: T) {
        if self.order.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.entries.insert(key, value);
    }
}

/// Why a request's token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    Missing,
    Unknown,
    Expired,
}

impl Unauthorized {
    /// The `message` of the error object.
    pub const fn message(self) -> &'static str {
        match self {
            Unauthorized::Missing => "No token provided",
            Unauthorized::Unknown => "Invalid access token",
            Unauthorized::Expired => "The access token expired",
        }
    }

    /// The `WWW-Authenticate` header.
    pub const fn challenge(self) -> &'static str {
        match self {
            Unauthorized::Missing => r#"Bearer realm="spotify", error="missing_token""#,
            Unauthorized::Unknown | Unauthorized::Expired => r#"Bearer realm="spotify", error="invalid_token""#,
        }
    }
}

/// The answer to a token request.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct TokenWire {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub scope: String,
}

/// Why a token request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenError {
    pub error: &'static str,
    pub error_description: &'static str,
}

const fn invalid_grant(error_description: &'static str) -> TokenError {
    TokenError { error: "invalid_grant", error_description }
}

const fn invalid_request(error_description: &'static str) -> TokenError {
    TokenError { error: "invalid_request", error_description }
}

impl OAuth {
    /// A sign-in with one application and, as a shortcut, a refresh token for each person.
    pub fn new(seed: u64, users: usize, access_token_ttl: Duration, rotates: bool) -> (OAuth, Vec<String>) {
        let mut seeded = Rng::with_seed(seed ^ 0x5e67_6e6f);
        let client_id = (0..32).map(|_| seeded.digit(16)).collect();
        let refresh_tokens: Vec<String> = (0..users).map(|_| token(&mut seeded, "AQ", 129)).collect();
        let mut grants = Remembered::new();
        for (user, refresh_token) in refresh_tokens.iter().enumerate() {
            grants.insert(refresh_token.clone(), Grant { user, scope: SCOPES.to_owned(), is_revoked: false });
        }
        let oauth = OAuth {
            client_id,
            access_token_ttl,
            rotates,
            manners: Manners::default(),
            grants,
            access: Remembered::new(),
            codes: Remembered::new(),
            // Not seeded: a restarted sandbox must not issue a token that it issued before.
            rng: Rng::new(),
        };
        (oauth, refresh_tokens)
    }

    /// The one application.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The owner and the scope of a valid token.
    pub fn check(&self, authorization: Option<&str>, now: Instant) -> Result<(usize, &str), Unauthorized> {
        let token = authorization.and_then(|header| header.strip_prefix("Bearer ")).map(str::trim);
        let token = token.filter(|token| !token.is_empty()).ok_or(Unauthorized::Missing)?;
        let token = self.access.entries.get(token).ok_or(Unauthorized::Unknown)?;
        if now < token.expires_at { Ok((token.user, &token.scope)) } else { Err(Unauthorized::Expired) }
    }

    /// Who requests a token, if that is known.
    pub fn whose(&self, form: &Query<'_>) -> Option<usize> {
        let refreshing =
            form.get("refresh_token").and_then(|token| self.grants.entries.get(token)).map(|grant| grant.user);
        refreshing.or_else(|| form.get("code").and_then(|code| self.codes.entries.get(code)).map(|code| code.user))
    }

    /// Expires all access tokens.
    pub fn expire_access_tokens(&mut self, now: Instant) {
        for token in self.access.entries.values_mut() {
            token.expires_at = token.expires_at.min(now);
        }
    }

    /// Revokes all refresh tokens, or those of one person. Access tokens remain valid until they expire, as with
    /// Spotify.
    pub fn revoke_refresh_tokens(&mut self, user: Option<usize>) {
        let theirs = |grant: &&mut Grant| user.is_none_or(|user| grant.user == user);
        self.grants.entries.values_mut().filter(theirs).for_each(|grant| grant.is_revoked = true);
    }

    /// Whether the application's request is valid; `Err` is the text of a page that says what is wrong.
    pub fn check_request(&self, query: &Query<'_>) -> Result<(), &'static str> {
        if query.get("client_id") != Some(&self.client_id) {
            return Err("INVALID_CLIENT: Invalid client");
        }
        self.manners.redirect(query.get("redirect_uri").ok_or("INVALID_CLIENT: Missing redirect URI")?)?;
        if query.get("response_type") != Some("code") {
            return Err("response_type must be code");
        }
        if query.get("code_challenge_method") != Some("S256") {
            return Err("code_challenge_method must be S256");
        }
        let challenge = query.get("code_challenge").unwrap_or_default();
        if BASE64_URL_SAFE_NO_PAD.decode(challenge).map(|hash| hash.len()) != Ok(32) {
            return Err("code_challenge must be the base64url of a SHA-256 hash");
        }
        Ok(())
    }

    /// Takes a person's answer, `None` for no. `Ok` is the address to send the browser to.
    pub fn authorize(&mut self, query: &Query<'_>, user: Option<usize>, now: Instant) -> Result<String, &'static str> {
        self.check_request(query)?;
        let redirect_uri = query.get("redirect_uri").unwrap_or_default();
        let mut location = self.manners.redirect(redirect_uri)?;
        let answer = match user {
            None => ("error", "access_denied".to_owned()),
            Some(user) => {
                let code = token(&mut self.rng, "AQ", 180);
                let details = Code {
                    user,
                    redirect_uri: redirect_uri.to_owned(),
                    challenge: query.get("code_challenge").unwrap_or_default().to_owned(),
                    scope: self.manners.grant(query.get("scope").unwrap_or_default()),
                    expires_at: now + CODE_TTL,
                };
                self.codes.insert(code.clone(), details);
                ("code", code)
            }
        };
        location.query_pairs_mut().append_pair(answer.0, &answer.1);
        if let Some(state) = query.get("state") {
            location.query_pairs_mut().append_pair("state", state);
        }
        Ok(location.into())
    }

    /// Exchanges a code or a refresh token for an access token.
    pub fn token(&mut self, form: &Query<'_>, now: Instant) -> Result<TokenWire, TokenError> {
        let grant_type = form.get("grant_type").ok_or(invalid_request("grant_type parameter is missing"))?;
        if !matches!(grant_type, "authorization_code" | "refresh_token") {
            return Err(TokenError {
                error: "unsupported_grant_type",
                error_description: "grant_type must be authorization_code or refresh_token",
            });
        }
        if form.get("client_id") != Some(&self.client_id) {
            return Err(TokenError { error: "invalid_client", error_description: "Invalid client" });
        }
        if grant_type == "refresh_token" { self.refresh(form, now) } else { self.exchange(form, now) }
    }

    fn exchange(&mut self, form: &Query<'_>, now: Instant) -> Result<TokenWire, TokenError> {
        let code = form.get("code").ok_or(invalid_request("code must be supplied"))?;
        // Removed at once: a code is good for one try, successful or not.
        let code = self.codes.entries.remove(code).ok_or(invalid_grant("Invalid authorization code"))?;
        if now >= code.expires_at {
            return Err(invalid_grant("Authorization code expired"));
        }
        if form.get("redirect_uri") != Some(&code.redirect_uri) {
            return Err(invalid_grant("Invalid redirect URI"));
        }
        let verifier = form.get("code_verifier").ok_or(invalid_request("code_verifier required"))?;
        let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        if !(43..=128).contains(&verifier.len()) || hash != code.challenge {
            return Err(invalid_grant("code_verifier was incorrect"));
        }
        let refresh_token = self.grant(code.user, &code.scope);
        Ok(self.access_token(code.user, code.scope, Some(refresh_token), now))
    }

    fn refresh(&mut self, form: &Query<'_>, now: Instant) -> Result<TokenWire, TokenError> {
        let refresh_token = form.get("refresh_token").ok_or(invalid_request("refresh_token must be supplied"))?;
        let grant = self.grants.entries.get_mut(refresh_token).ok_or(invalid_grant("Invalid refresh token"))?;
        if grant.is_revoked {
            return Err(invalid_grant("Refresh token revoked"));
        }
        let (user, scope) = (grant.user, grant.scope.clone());
        grant.is_revoked = self.rotates;
        let replacement = self.rotates.then(|| self.grant(user, &scope));
        Ok(self.access_token(user, scope, replacement, now))
    }

    fn grant(&mut self, user: usize, scope: &str) -> String {
        let refresh_token = token(&mut self.rng, "AQ", 129);
        self.grants.insert(refresh_token.clone(), Grant { user, scope: scope.to_owned(), is_revoked: false });
        refresh_token
    }

    fn access_token(&mut self, user: usize, scope: String, refresh_token: Option<String>, now: Instant) -> TokenWire {
        let access_token = token(&mut self.rng, "BQ", 180);
        let ttl = self.access_token_ttl;
        self.access.insert(access_token.clone(), AccessToken { user, expires_at: now + ttl, scope: scope.clone() });
        let expires_in = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        TokenWire { access_token, token_type: "Bearer", expires_in, refresh_token, scope }
    }
}

fn token(rng: &mut Rng, prefix: &str, len: usize) -> String {
    prefix.chars().chain((0..len).map(|_| rng.alphanumeric())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const REDIRECT: &str = "http://127.0.0.1:9/callback";

    #[test]
    fn a_code_is_exchanged_once_and_by_whoever_has_the_verifier() {
        let (mut oauth, _) = oauth();
        let now = Instant::now();
        let code = consent(&mut oauth, now);
        let tokens = exchange(&mut oauth, &code, VERIFIER, REDIRECT, now).expect("all is well");
        assert_eq!(tokens.scope, "user-library-read");
        assert!(tokens.refresh_token.is_some());
        assert_eq!(oauth.check(Some(&format!("Bearer {}", tokens.access_token)), now), Ok((0, "user-library-read")));
        let again = exchange(&mut oauth, &code, VERIFIER, REDIRECT, now);
        assert_eq!(again, Err(invalid_grant("Invalid authorization code")));

        let code = consent(&mut oauth, now);
        let forged = exchange(&mut oauth, &code, &VERIFIER.replace('d', "e"), REDIRECT, now);
        assert_eq!(forged, Err(invalid_grant("code_verifier was incorrect")));
        let code = consent(&mut oauth, now);
        let elsewhere = exchange(&mut oauth, &code, VERIFIER, "http://127.0.0.1:10/callback", now);
        assert_eq!(elsewhere, Err(invalid_grant("Invalid redirect URI")));
        let code = consent(&mut oauth, now);
        let late = exchange(&mut oauth, &code, VERIFIER, REDIRECT, now + CODE_TTL);
        assert_eq!(late, Err(invalid_grant("Authorization code expired")));
    }

    #[test]
    fn access_tokens_expire_and_refreshing_gives_another() {
        let (mut oauth, refresh_token) = oauth();
        let now = Instant::now();
        let tokens = refresh(&mut oauth, &refresh_token, now).expect("live");
        assert_eq!((tokens.expires_in, &tokens.refresh_token), (2, &None));
        let header = format!("Bearer {}", tokens.access_token);
        assert!(oauth.check(Some(&header), now + Duration::from_millis(1_999)).is_ok());
        assert_eq!(oauth.check(Some(&header), now + Duration::from_secs(2)), Err(Unauthorized::Expired));
        assert_eq!(oauth.check(Some("Bearer nonsense"), now), Err(Unauthorized::Unknown));
        assert_eq!(oauth.check(Some("Basic abc"), now), Err(Unauthorized::Missing));
        oauth.revoke_refresh_tokens(None);
        assert_eq!(refresh(&mut oauth, &refresh_token, now), Err(invalid_grant("Refresh token revoked")));
    }

    #[test]
    fn rotation_revokes_the_old_refresh_token() {
        let (mut oauth, first) = oauth();
        oauth.rotates = true;
        let now = Instant::now();
        let second = refresh(&mut oauth, &first, now).expect("live").refresh_token.expect("rotated");
        assert_eq!(refresh(&mut oauth, &first, now), Err(invalid_grant("Refresh token revoked")));
        assert!(refresh(&mut oauth, &second, now).is_ok());
    }

    #[test]
    fn tokens_are_those_of_who_agreed_and_one_persons_can_be_taken_back() {
        let (mut oauth, refresh_tokens) = OAuth::new(1, 2, Duration::from_secs(2), false);
        let now = Instant::now();
        for (user, refresh_token) in refresh_tokens.iter().enumerate() {
            let tokens = refresh(&mut oauth, refresh_token, now).expect("live");
            let (whose, _) = oauth.check(Some(&format!("Bearer {}", tokens.access_token)), now).expect("live");
            assert_eq!(whose, user);
        }
        oauth.revoke_refresh_tokens(Some(1));
        assert!(refresh(&mut oauth, &refresh_tokens[0], now).is_ok());
        assert_eq!(refresh(&mut oauth, &refresh_tokens[1], now), Err(invalid_grant("Refresh token revoked")));
    }

    #[test]
    fn a_refusal_comes_back_with_the_state() {
        let (mut oauth, _) = oauth();
        let location = authorize(&mut oauth, None, "&state=a%20b", Instant::now()).expect("a redirect");
        assert_eq!(location, format!("{REDIRECT}?error=access_denied&state=a+b"));
    }

    fn oauth() -> (OAuth, String) {
        let (oauth, mut refresh_tokens) = OAuth::new(1, 2, Duration::from_secs(2), false);
        (oauth, refresh_tokens.swap_remove(0))
    }

    fn authorize(oauth: &mut OAuth, user: Option<usize>, extra: &str, now: Instant) -> Result<String, &'static str> {
        let text = format!(
            "client_id={}&response_type=code&redirect_uri={REDIRECT}&scope=user-library-read\
             &code_challenge_method=S256&code_challenge={CHALLENGE}{extra}",
            oauth.client_id
        );
        oauth.authorize(&Query::parse(text.as_bytes()), user, now)
    }

    fn consent(oauth: &mut OAuth, now: Instant) -> String {
        let location = Url::parse(&authorize(oauth, Some(0), "", now).expect("a redirect")).expect("a URL");
        location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
    }

    fn exchange(
        oauth: &mut OAuth,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
        now: Instant,
    ) -> Result<TokenWire, TokenError> {
        let form = format!(
            "grant_type=authorization_code&client_id={}&code={code}&redirect_uri={redirect_uri}&code_verifier={verifier}",
            oauth.client_id
        );
        oauth.token(&Query::parse(form.as_bytes()), now)
    }

    fn refresh(oauth: &mut OAuth, refresh_token: &str, now: Instant) -> Result<TokenWire, TokenError> {
        let form = format!("grant_type=refresh_token&client_id={}&refresh_token={refresh_token}", oauth.client_id);
        oauth.token(&Query::parse(form.as_bytes()), now)
    }
}
