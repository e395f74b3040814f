//! Accounts in words: who has signed in, how long that lasts, what was removed.

use super::numbers::{counted, day, grouped, time_of_day};
use crate::{
    model::{
        SignInState, TokenFailure,
        scopes::{self, SCOPES, Scope},
        status::AccountStatus,
        text::seen,
    },
    store::{Account, Purged},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt::Write;

/// A sign-in that was just made.
#[derive(Debug)]
pub struct LoginReport<'a> {
    pub account: &'a Account,
    /// As granted, separated by spaces; `None` if Spotify granted everything without listing it.
    pub scopes: Option<&'a str>,
    pub ends_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct LoginJson<'a> {
    spotify_id: &'a str,
    spotify_account_id: Option<&'a str>,
    display_name: Option<&'a str>,
    scopes: Vec<&'a str>,
    missing_scopes: Vec<&'a str>,
    authorized_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct PurgedJson<'a> {
    spotify_id: &'a str,
    removed: &'a Purged,
}

/// `mira (Mira Ek)`, on one line.
pub fn account_name(spotify_id: &str, display_name: Option<&str>) -> String {
    let id = seen(spotify_id);
    match display_name.map(seen) {
        Some(name) if name != id && !name.trim().is_empty() => format!("{id} ({name})"),
        Some(_) | None => id.into_owned(),
    }
}

impl LoginReport<'_> {
    pub fn json(&self) -> String {
        let Account { spotify_id, spotify_account_id, display_name, authorized_at, .. } = self.account;
        let report = LoginJson {
            spotify_id,
            spotify_account_id: spotify_account_id.as_deref(),
            display_name: display_name.as_deref(),
            scopes: self.granted(),
            missing_scopes: self.missing().into_iter().map(|scope| scope.name).collect(),
            authorized_at: *authorized_at,
            ends_at: self.ends_at,
        };
        serde_json::to_string_pretty(&report).expect("a report has string keys only") + "\n"
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let who = account_name(&self.account.spotify_id, self.account.display_name.as_deref());
        let _ = writeln!(out, "signed in as {who}");
        let _ = writeln!(out, "until        {}; sign in again before then", day(self.ends_at));
        let _ = writeln!(out, "permissions  {}", self.granted().join(" "));
        for Scope { name, serves } in self.missing() {
            let _ = writeln!(out, "missing      {name}: {serves} cannot be read; sign in again and grant it");
        }
        out
    }

    fn granted(&self) -> Vec<&str> {
        match self.scopes {
            Some(scopes) => scopes.split_whitespace().collect(),
            None => SCOPES.iter().map(|scope| scope.name).collect(),
        }
    }

    fn missing(&self) -> Vec<Scope> {
        scopes::missing(self.scopes)
    }
}

/// The lines of an account in `segno status`: who it is, how long the sign-in lasts, what it does not permit.
pub fn status_lines(account: &AccountStatus, now: DateTime<Utc>) -> Vec<String> {
    let who = account_name(&account.spotify_id, account.display_name.as_deref());
    let mut lines = vec![match &account.sign_in {
        SignInState::Valid { until } => format!("account {who}, signed in until {}", day(*until)),
        SignInState::EndsSoon { until } => {
            let days = (*until - now).num_days().unsigned_abs();
            let left = counted(days, "day");
            format!("account {who}, signed in until {}: {left} left; run \"segno login\" before then", day(*until))
        }
        SignInState::Ended { since } => {
            format!("account {who}, sign-in ended on {}; sign in again with \"segno login\"", day(*since))
        }
        SignInState::Refused { why, since } => {
            let since = time_of_day(*since, now);
            format!("account {who}, sign-in refused at {since} ({why}); sign in again with \"segno login\"")
        }
        SignInState::SignedOut => format!("account {who}, signed out; \"segno login\" signs in"),
    }];
    lines.extend(account.token_trouble.iter().map(|TokenFailure { why, retry_at, .. }| {
        format!("  no new access token: {why}; tried again at {}", time_of_day(*retry_at, now))
    }));
    lines.extend(account.service.iter().map(|service| format!("  kept current by {service}")));
    let missing = |name: &String| {
        let serves = SCOPES.iter().find(|scope| scope.name == name).map_or("something", |scope| scope.serves);
        format!("  missing permission {name}: {serves} cannot be read; run \"segno login\" and grant it")
    };
    lines.extend(account.missing_scopes.iter().map(missing));
    lines
}

pub fn purged_json(spotify_id: &str, purged: &Purged) -> String {
    let report = PurgedJson { spotify_id, removed: purged };
    serde_json::to_string_pretty(&report).expect("a report has string keys only") + "\n"
}

pub fn purged_text(who: &str, purged: &Purged) -> String {
    let mut out = format!("removed for {who}\n");
    for (number, what) in [
        (purged.saved_tracks, "saved tracks"),
        (purged.saved_albums, "saved albums"),
        (purged.saved_shows, "saved shows"),
        (purged.saved_episodes, "saved episodes"),
        (purged.saved_audiobooks, "saved audiobooks"),
        (purged.followed_artists, "followed artists"),
        (purged.library_playlists, "playlists of the library"),
        (purged.plays, "plays"),
        (purged.streams, "streams of your own data export"),
        (purged.playlists, "playlists that no other account here has"),
        (purged.playlist_items, "their items"),
        (purged.tracks, "tracks of the catalogue"),
        (purged.albums, "albums of the catalogue"),
        (purged.artists, "artists of the catalogue"),
        (purged.shows, "shows of the catalogue"),
        (purged.episodes, "episodes of the catalogue"),
        (purged.audiobooks, "audiobooks of the catalogue"),
        (purged.bookkeeping, "rows of tokens, checkpoints and history"),
    ] {
        let _ = writeln!(out, "{:>11}  {what}", grouped(number));
    }
    if !purged.account_removed {
        let (plays, streams) = (counted(purged.plays_kept, "play"), counted(purged.streams_kept, "stream"));
        let _ = writeln!(out, "kept: {plays} and {streams} from your own data export, and their account");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, status::PlaybackStatus};
    use chrono::TimeDelta;

    #[test]
    fn a_login_says_who_until_when_and_what_was_not_granted() {
        let account = Account {
            id: AccountId(1),
            spotify_id: "mira".into(),
            spotify_account_id: None,
            display_name: Some("Mira Ek".into()),
            authorized_at: noon(),
        };
        let scopes = "user-library-read user-read-private playlist-read-private user-follow-read";
        let report = LoginReport { account: &account, scopes: Some(scopes), ends_at: noon() + TimeDelta::days(181) };
        assert_eq!(
            report.text().lines().collect::<Vec<_>>(),
            [
                "signed in as mira (Mira Ek)",
                "until        2027-05-22; sign in again before then",
                &format!("permissions  {scopes}"),
                "missing      user-read-playback-position: saved episodes cannot be read; sign in again and grant it",
                "missing      playlist-read-collaborative: collaborative playlists cannot be read; sign in again and \
                 grant it",
                "missing      user-read-recently-played: the listening history cannot be read; sign in again and grant \
                 it",
            ]
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(
            json["missing_scopes"],
            serde_json::json!([
                "user-read-playback-position",
                "playlist-read-collaborative",
                "user-read-recently-played"
            ])
        );
    }

    #[test]
    fn a_display_name_is_one_line_of_what_can_be_seen() {
        assert_eq!(account_name("mira", Some("Mira\n\u{1b}[2J\u{202e}Ek")), "mira (Mira  [2JEk)");
        assert_eq!(account_name("mira", Some("\u{200b}")), "mira");
    }

    #[test]
    fn status_says_how_long_a_sign_in_lasts_and_what_to_do() {
        let line = |sign_in| {
            let account = AccountStatus {
                account_id: AccountId(1),
                spotify_id: "mira".into(),
                display_name: None,
                sign_in,
                token_trouble: None,
                missing_scopes: vec!["user-follow-read".into()],
                service: None,
                entities: Vec::new(),
                limited_until: None,
                playback: PlaybackStatus::default(),
            };
            let lines = status_lines(&account, noon());
            assert_eq!(lines.len(), 2);
            assert!(lines[1].contains("user-follow-read: followed artists cannot be read"), "{lines:?}");
            lines[0].clone()
        };
        let until = noon() + TimeDelta::days(9);
        assert_eq!(line(SignInState::Valid { until }), "account mira, signed in until 2026-12-01");
        let soon = line(SignInState::EndsSoon { until });
        assert_eq!(soon, "account mira, signed in until 2026-12-01: 9 days left; run \"segno login\" before then");
        let refused = line(SignInState::Refused { why: "Refresh token revoked".into(), since: noon() });
        assert!(refused.ends_with("(Refresh token revoked); sign in again with \"segno login\""), "{refused}");
        assert!(line(SignInState::SignedOut).contains("signed out"));
        assert!(line(SignInState::Ended { since: noon() }).contains("ended on 2026-11-22"));
    }

    #[test]
    fn status_says_why_there_is_no_new_token_and_until_when() {
        let (why, retry_at) =
            ("the token request was not served (502 Bad Gateway)".into(), noon() + TimeDelta::minutes(9));
        let account = AccountStatus {
            account_id: AccountId(1),
            spotify_id: "mira".into(),
            display_name: None,
            sign_in: SignInState::Valid { until: noon() },
            token_trouble: Some(TokenFailure { why, retry_at, doubted_at: None }),
            missing_scopes: Vec::new(),
            service: None,
            entities: Vec::new(),
            limited_until: None,
            playback: PlaybackStatus::default(),
        };
        let at = time_of_day(retry_at, noon());
        let expected =
            format!("  no new access token: the token request was not served (502 Bad Gateway); tried again at {at}");
        assert_eq!(status_lines(&account, noon())[1..], [expected]);
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }
}
