//! How long a sign-in lasts, and its state. Spotify ends every refresh token six months after the person consented,
//! however often it was used, and shows that date nowhere: the count begins at `authorized_at`.

use chrono::{DateTime, Months, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lifetime of a refresh token, from the person's consent.
const LIFE: Months = Months::new(6);

/// How long before the end a person is asked to sign in again: long enough to be back from a holiday.
pub const WARN_BEFORE: TimeDelta = TimeDelta::days(14);

/// The state of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SignInState {
    Valid {
        until: DateTime<Utc>,
    },
    /// Valid, and a person should sign in again within [`WARN_BEFORE`].
    EndsSoon {
        until: DateTime<Utc>,
    },
    /// Its six months are over by our count. One more refresh is worth trying, to be certain.
    Ended {
        since: DateTime<Utc>,
    },
    /// Spotify has refused the refresh token. Nothing is sent until the person signs in again.
    Refused {
        why: String,
        since: DateTime<Utc>,
    },
    SignedOut,
}

/// Spotify's refusal of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRefusal {
    pub why: String,
    pub since: DateTime<Utc>,
}

/// Why an account gets no new access token for a while. A current one remains in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenFailure {
    pub why: String,
    /// The token endpoint is not asked before this.
    pub retry_at: DateTime<Utc>,
    /// When Spotify first called the refresh token void. If it says so again, some minutes later, the sign-in is over.
    pub doubted_at: Option<DateTime<Utc>>,
}

/// What trouble with the token endpoint applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureOf {
    /// The tokens of one account.
    Grant,
    /// Every account of the application.
    Endpoint,
}

impl SignInState {
    /// The state of a sign-in that still has its tokens.
    pub fn at(now: DateTime<Utc>, authorized_at: DateTime<Utc>, refusal: Option<&SignInRefusal>) -> SignInState {
        if let Some(SignInRefusal { why, since }) = refusal {
            return SignInState::Refused { why: why.clone(), since: *since };
        }
        let until = ends_at(authorized_at);
        match until - now {
            left if left <= TimeDelta::zero() => SignInState::Ended { since: until },
            left if left <= WARN_BEFORE => SignInState::EndsSoon { until },
            _ => SignInState::Valid { until },
        }
    }

    /// Whether requests may be sent with it.
    pub fn may_ask(&self) -> bool {
        match self {
            SignInState::Valid { .. } | SignInState::EndsSoon { .. } | SignInState::Ended { .. } => true,
            SignInState::Refused { .. } | SignInState::SignedOut => false,
        }
    }
}

/// When a sign-in from that moment ends.
pub fn ends_at(authorized_at: DateTime<Utc>) -> DateTime<Utc> {
    authorized_at.checked_add_months(LIFE).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_valid_then_ends_soon_then_has_ended() {
        let authorized_at = at("2026-05-22T10:00:00Z");
        let until = at("2026-11-22T10:00:00Z");
        for (now, expected) in [
            ("2026-05-22T10:00:00Z", SignInState::Valid { until }),
            ("2026-11-08T09:59:59Z", SignInState::Valid { until }),
            ("2026-11-08T10:00:00Z", SignInState::EndsSoon { until }),
            ("2026-11-22T09:59:59Z", SignInState::EndsSoon { until }),
            ("2026-11-22T10:00:00Z", SignInState::Ended { since: until }),
            ("2027-11-22T10:00:00Z", SignInState::Ended { since: until }),
        ] {
            assert_eq!(SignInState::at(at(now), authorized_at, None), expected, "{now}");
        }
    }

    #[test]
    fn six_months_from_the_last_of_august_end_with_february() {
        assert_eq!(ends_at(at("2026-08-31T08:30:00Z")), at("2027-02-28T08:30:00Z"));
    }

    #[test]
    fn a_refusal_counts_more_than_the_calendar_and_stops_all_requests() {
        let since = at("2026-06-01T00:00:00Z");
        let refusal = SignInRefusal { why: "Refresh token revoked".into(), since };
        for now in ["2026-06-02T00:00:00Z", "2027-06-02T00:00:00Z"] {
            let state = SignInState::at(at(now), at("2026-05-22T10:00:00Z"), Some(&refusal));
            assert_eq!(state, SignInState::Refused { why: refusal.why.clone(), since });
            assert!(!state.may_ask());
        }
        assert!(SignInState::at(at("2027-06-02T00:00:00Z"), since, None).may_ask(), "the last word is Spotify's");
    }

    #[test]
    fn it_reads_as_documented() {
        let state = SignInState::EndsSoon { until: at("2026-11-22T10:00:00Z") };
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json, serde_json::json!({ "state": "ends_soon", "until": "2026-11-22T10:00:00Z" }));
        assert_eq!(serde_json::to_value(SignInState::SignedOut).unwrap(), serde_json::json!({ "state": "signed_out" }));
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }
}
