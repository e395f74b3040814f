//! Who may see the page: clients that present the token, or the session that was given for it. If no token is set,
//! everybody who can reach it, which then is this machine alone.
//!
//! The token itself is stored only as its digest; sessions are random words without any other meaning. They end with
//! the process or when somebody signs out, and with them the streams that they opened. Wrong tokens are answered ever
//! more slowly, for each place that they come from; the right one is accepted whatever else came from there.
//! Comparisons take constant time.

use crate::clock;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;
use tokio::{sync::watch, time::sleep};
use tracing::warn;
use uuid::Uuid;

/// The cookie that carries a session.
pub const COOKIE_NAME: &str = "segno_session";

/// How long a session lasts.
pub const SESSION_LASTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// More than the browsers of one household; the oldest session is dropped.
const SESSIONS_MAX: usize = 64;

/// Cookies of a request that are tried: another program on this host name may set some with the same name.
const COOKIES_MAX: usize = 16;

/// How long somebody who guesses waits for each answer.
pub const SLOWED_BY: Duration = Duration::from_secs(1);

/// How often wrong tokens are logged.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Wrong tokens without a delay: people mistype.
const FREE_FAILURES: u32 = 5;

/// First and longest wait after a further one; each is twice the one before.
const WAIT_BASE: Duration = Duration::from_secs(1);
const WAIT_CAP: Duration = Duration::from_secs(60);

/// After this time without another failure, all are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// Places that are remembered; the one that failed longest ago is dropped.
const PLACES_MAX: usize = 1024;

type Hash = [u8; 32];

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It presents nothing, or nothing that is still valid.
    Unknown,
    /// It presents a wrong token.
    Wrong,
    /// It presents a wrong token, and too many came from there; the next try should wait this long.
    TooMany(Duration),
}

/// A session that was valid when it was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session(Hash);

/// Checks tokens and sessions.
pub struct Keeper {
    token: Option<Hash>,
    /// By the digest of the session, with its end; the oldest first.
    sessions: Mutex<VecDeque<(Hash, Instant)>>,
    failures: Mutex<Failures>,
    /// Signals that a session was ended early.
    sign_outs: watch::Sender<()>,
}

impl Keeper {
    pub fn new(token: Option<&SecretString>) -> Keeper {
        let token = token.map(|token| hash(token.expose_secret()));
        Keeper { token, sessions: Mutex::default(), failures: Mutex::default(), sign_outs: watch::channel(()).0 }
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with these headers may proceed.
    pub fn check(&self, headers: &HeaderMap, from: Option<IpAddr>, now: Instant) -> Result<(), Denied> {
        if self.token.is_none() || self.session(headers, now).is_some() {
            return Ok(());
        }
        match bearer_of(headers) {
            Some(shown) => self.try_token(shown, from, now),
            None => Err(Denied::Unknown),
        }
    }

    /// A session for the token.
    pub fn sign_in(&self, token: &str, from: Option<IpAddr>, now: Instant) -> Result<String, Denied> {
        self.try_token(token, from, now)?;
        // Two, for 244 random bits.
        let session = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|(_, ends_at)| *ends_at > now);
        let is_full = sessions.len() == SESSIONS_MAX;
        if is_full {
            sessions.pop_front();
        }
        sessions.push_back((hash(&session), now + SESSION_LASTS));
        drop(sessions);
        if is_full {
            self.sign_outs.send_replace(());
        }
        Ok(session)
    }

    /// Ends the sessions of these headers.
    pub fn sign_out(&self, headers: &HeaderMap) {
        let shown: Vec<Hash> = sessions_of(headers).map(hash).collect();
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| !shown.contains(known));
        self.sign_outs.send_replace(());
    }

    /// The session that these headers present, if one of them is valid.
    pub fn session(&self, headers: &HeaderMap, now: Instant) -> Option<Session> {
        // Looked up by its digest, so that the duration reveals nothing about the session.
        let is_good = |session: &Session| self.ends_at(*session).is_some_and(|ends_at| ends_at > now);
        sessions_of(headers).map(|shown| Session(hash(shown))).find(is_good)
    }

    fn ends_at(&self, session: Session) -> Option<Instant> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().find(|(known, _)| *known == session.0).map(|(_, ends_at)| *ends_at)
    }

    /// Waits until this session is over: somebody signs out, others take its place, or it expires. Without one it waits
    /// for ever.
    pub async fn session_over(&self, session: Option<Session>) {
        let mut sign_outs = self.sign_outs.subscribe();
        let Some(session) = session else { return pending().await };
        while let Some(ends_at) = self.ends_at(session) {
            let left = ends_at.saturating_duration_since(clock::instant());
            tokio::select! {
                changed = sign_outs.changed() => if changed.is_err() { return },
                () = sleep(left) => return,
            }
        }
    }

    fn try_token(&self, shown: &str, from: Option<IpAddr>, now: Instant) -> Result<(), Denied> {
        let Some(token) = &self.token else { return Ok(()) };
        // First of all: somebody who guesses may share an address with somebody who knows the token.
        if bool::from(hash(shown).ct_eq(token)) {
            return Ok(());
        }
        let place = place(from);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = failures.take_unlogged(now) {
            warn!(%place, times, "a wrong token was presented to the status page");
        }
        if let Some(wait) = failures.wait_of(place, now) {
            return Err(Denied::TooMany(wait));
        }
        failures.note(place, now);
        Err(Denied::Wrong)
    }
}

/// Wrong tokens, by where they came from. A right one does not reset them.
#[derive(Debug, Default)]
struct Failures {
    places: HashMap<IpAddr, Failing>,
    logged_at: Option<Instant>,
    num_unlogged: u64,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    times: u32,
    last: Instant,
}

impl Failures {
    /// How many there were since the last line of the log, if another is due.
    fn take_unlogged(&mut self, now: Instant) -> Option<u64> {
        self.num_unlogged += 1;
        if self.logged_at.is_some_and(|at| now.saturating_duration_since(at) < LOGGED_EVERY) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.num_unlogged))
    }

    /// How long wrong ones from there are not counted.
    fn wait_of(&self, place: IpAddr, now: Instant) -> Option<Duration> {
        let Failing { times, last } = *self.places.get(&place)?;
        let over = times.checked_sub(FREE_FAILURES)?;
        let wait = WAIT_BASE.saturating_mul(1 << over.min(16)).min(WAIT_CAP);
        (last + wait).checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn note(&mut self, place: IpAddr, now: Instant) {
        self.places.retain(|_, failing| now.duration_since(failing.last) < FORGOTTEN_AFTER);
        if self.places.len() >= PLACES_MAX
            && !self.places.contains_key(&place)
            && let Some(oldest) = self.places.iter().min_by_key(|(_, failing)| failing.last).map(|(place, _)| *place)
        {
            self.places.remove(&oldest);
        }
        let failing = self.places.entry(place).or_insert(Failing { times: 0, last: now });
        *failing = Failing { times: failing.times.saturating_add(1), last: now };
    }
}

/// An address; for IPv6, the network of one household.
fn place(from: Option<IpAddr>) -> IpAddr {
    match from {
        Some(IpAddr::V6(ip)) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
        Some(ip) => ip,
        None => IpAddr::from([0, 0, 0, 0]),
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Every cookie of that name: a browser may send several, from other paths or other programs, in any order.
fn sessions_of(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let pairs = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let named = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == COOKIE_NAME);
    named.map(|(_, session)| session).take(COOKIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderName;
    use tokio::time::timeout;

    const TOKEN: &str = "a-word-for-the-page";

    fn keeper() -> Keeper {
        Keeper::new(Some(&SecretString::from(TOKEN)))
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn bearer(token: &str) -> HeaderMap {
        headers(AUTHORIZATION, &format!("Bearer {token}"))
    }

    fn cookie(session: &str) -> HeaderMap {
        headers(COOKIE, &format!("theme=dark; {COOKIE_NAME}={session}"))
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn without_a_token_everybody_is_let_in() {
        assert_eq!(Keeper::new(None).check(&HeaderMap::new(), None, Instant::now()), Ok(()));
    }

    #[test]
    fn the_token_and_a_session_open_and_nothing_else_does() {
        let (keeper, now) = (keeper(), Instant::now());
        let check = |headers: &HeaderMap| keeper.check(headers, None, now);
        assert_eq!(check(&bearer(TOKEN)), Ok(()));
        assert_eq!(check(&HeaderMap::new()), Err(Denied::Unknown));
        assert_eq!(check(&bearer("another-word-for-it")), Err(Denied::Wrong));
        assert_eq!(check(&headers(AUTHORIZATION, &format!("Basic {TOKEN}"))), Err(Denied::Unknown));
        assert_eq!(check(&cookie(TOKEN)), Err(Denied::Unknown), "the token is no session");
        let session = keeper.sign_in(TOKEN, None, now).unwrap();
        assert!(!session.contains(TOKEN) && session.len() == 64);
        assert_eq!(check(&cookie(&session)), Ok(()));
        assert_eq!(check(&bearer(&session)), Err(Denied::Wrong), "a session is no token");
        keeper.sign_out(&cookie(&session));
        assert_eq!(check(&cookie(&session)), Err(Denied::Unknown));
    }

    #[tokio::test]
    async fn a_sign_out_is_told_to_what_its_session_opened_and_to_nothing_else() {
        let (keeper, now) = (keeper(), Instant::now());
        let [ours, theirs] = [(); 2].map(|()| cookie(&keeper.sign_in(TOKEN, None, now).unwrap()));
        let session = |headers: &HeaderMap| keeper.session(headers, now);
        assert_eq!(session(&bearer(TOKEN)), None);
        keeper.sign_out(&theirs);
        let over = async |session| timeout(Duration::from_millis(20), keeper.session_over(session)).await.is_ok();
        assert!(!over(session(&ours)).await && !over(None).await);
        let shown = session(&ours);
        tokio::join!(keeper.session_over(shown), async { keeper.sign_out(&ours) });
        assert!(over(shown).await, "and for whoever asks later");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_expires_or_makes_room_is_over_for_what_it_opened() {
        let (keeper, began) = (keeper(), clock::instant());
        let sign_in = || cookie(&keeper.sign_in(TOKEN, None, clock::instant()).unwrap());
        let [first, second] = [(); 2].map(|()| keeper.session(&sign_in(), began));
        let crowd = async { (1..SESSIONS_MAX).for_each(|_| _ = sign_in()) };
        tokio::join!(keeper.session_over(first), crowd);
        assert_eq!(clock::instant(), began, "at once");
        keeper.session_over(second).await;
        assert!((SESSION_LASTS..SESSION_LASTS + WAIT_BASE).contains(&(clock::instant() - began)));
    }

    #[test]
    fn every_cookie_of_the_name_is_tried() {
        let (keeper, now) = (keeper(), Instant::now());
        let session = keeper.sign_in(TOKEN, None, now).unwrap();
        let mut several = headers(COOKIE, &format!("{COOKIE_NAME}=of-another-path; {COOKIE_NAME}={session}"));
        assert_eq!(keeper.check(&several, None, now), Ok(()));
        several.append(COOKIE, format!("{COOKIE_NAME}=too").parse().unwrap());
        assert_eq!(keeper.check(&several, None, now), Ok(()));
        keeper.sign_out(&several);
        assert_eq!(keeper.check(&cookie(&session), None, now), Err(Denied::Unknown));
        let flood = format!("{}; {COOKIE_NAME}={session}", vec![format!("{COOKIE_NAME}=x"); COOKIES_MAX].join("; "));
        assert_eq!(keeper.check(&headers(COOKIE, &flood), None, now), Err(Denied::Unknown));
    }

    #[test]
    fn wrong_tokens_are_logged_once_a_minute_with_their_number() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let logged: Vec<_> = [0, 1, 59, 60, 61, 200].map(|seconds| failures.take_unlogged(at(seconds))).into();
        assert_eq!(logged, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn a_session_ends_after_a_week_and_the_oldest_makes_room() {
        let (keeper, now) = (keeper(), Instant::now());
        let sessions: Vec<String> = (0..=SESSIONS_MAX).map(|_| keeper.sign_in(TOKEN, None, now).unwrap()).collect();
        let check = |session: &str, at| keeper.check(&cookie(session), None, at).is_ok();
        assert!(!check(&sessions[0], now) && check(&sessions[1], now) && check(&sessions[SESSIONS_MAX], now));
        assert!(!check(&sessions[1], now + SESSION_LASTS));
    }

    #[test]
    fn whoever_guesses_has_to_wait_ever_longer_and_others_do_not() {
        let (keeper, mut now) = (keeper(), Instant::now());
        let guess = |now| keeper.check(&bearer("is-it-this-one-then"), from("10.0.0.1"), now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(guess(now), Err(Denied::Wrong));
            if let Err(Denied::TooMany(wait)) = guess(now) {
                let right = keeper.check(&bearer(TOKEN), from("10.0.0.1"), now);
                assert_eq!(right, Ok(()), "whoever knows is let in meanwhile");
                waits.push(wait.as_secs());
                now += wait;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(keeper.check(&bearer("is-it-this-one-then"), from("10.0.0.2"), now), Err(Denied::Wrong));
        assert_eq!(guess(now + FORGOTTEN_AFTER), Err(Denied::Wrong));
        assert_eq!(guess(now + FORGOTTEN_AFTER), Err(Denied::Wrong), "long ago is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_place_and_many_places_take_no_more_room() {
        assert_eq!(place(from("2001:db8:1:2::1")), place(from("2001:db8:1:2:ffff::9")));
        assert_ne!(place(from("2001:db8:1:2::1")), place(from("2001:db8:1:3::1")));
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 0..2 * PLACES_MAX as u32 {
            failures.note(IpAddr::from(number.to_be_bytes()), now + Duration::from_millis(number.into()));
        }
        assert_eq!(failures.places.len(), PLACES_MAX);
    }
}
