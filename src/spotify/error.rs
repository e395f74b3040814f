//! What can go wrong between us and Spotify, grouped by what can be done about it.

use crate::model::{Disposition, LimitClass, Remedy, RequestStatus};
use std::{error::Error, sync::Arc, time::Duration};

/// The cause of an error, shared because several callers may wait for one refresh and all get its outcome.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// Why there is no answer. Messages name the endpoint, never a token, and quote at most a line of a body.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// 429. With `LimitClass::Rate` there is always a `retry_after`, of at most [`super::RATE_RETRY_AFTER_MAX`].
    #[error("{message}")]
    RateLimited { class: LimitClass, retry_after: Option<Duration>, message: String },
    /// The refresh token is no longer accepted, for good: a person has to sign in again.
    #[error("{0}")]
    SignIn(String),
    /// The token endpoint gave no access token, and is not asked again for this long.
    #[error("{message}")]
    NoToken {
        left: Duration,
        /// Spotify has called the refresh token void. It is believed only if it says so again, minutes later.
        is_doubted: bool,
        message: String,
    },
    /// 401; the access token has been renewed, and the same request is worth one more try.
    #[error("the access token had expired and was renewed")]
    Renewed,
    /// 401, and the access token could not be renewed.
    #[error(transparent)]
    NotRenewed(Box<ApiError>),
    /// 401, although the access token was fresh.
    #[error("{0}")]
    Unauthorized(String),
    /// 403. The message says what to do about it.
    #[error("{1}")]
    Forbidden(ForbiddenReason, String),
    /// 404 for a playlist.
    #[error("{0}")]
    NotFound(String),
    /// 410, or another refusal that says that the endpoint is gone.
    #[error("{0}")]
    Gone(String),
    /// Any other 4xx. The reason is not known to last: such refusals have been seen to pass within minutes.
    #[error("{0}")]
    Refused(String),
    /// A page of HTML in place of a refusal, or a redirect: something between us and the API answered.
    #[error("{message}")]
    Intercepted { retry_after: Option<Duration>, message: String },
    /// No playlist can have this id.
    #[error("{0}")]
    NoPlaylist(String),
    /// 5xx, or another status that says that the request was not served.
    #[error("{message}")]
    Transient { retry_after: Option<Duration>, message: String },
    /// A body that was truncated, or is not what was requested.
    #[error("{message}")]
    Malformed {
        message: String,
        #[source]
        source: Option<Cause>,
    },
    /// No answer at all.
    #[error("{message}")]
    Network {
        kind: NetworkKind,
        message: String,
        #[source]
        source: Option<Cause>,
    },
    /// Fresh tokens could not be stored. They are kept in memory and stored before they are used.
    #[error("the refreshed tokens cannot be stored")]
    Vault(#[from] VaultError),
    /// The client cannot be built from its settings.
    #[error("{message}")]
    Config {
        message: String,
        #[source]
        source: Option<Cause>,
    },
}

/// How far an unanswered request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    Connect,
    Timeout,
    Other,
}

/// The meanings of a 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForbiddenReason {
    /// The items of a playlist that the user neither owns nor collaborates on.
    NotYours,
    /// The user is missing from the application's allow list.
    NotAllowListed,
    /// The owner of the application has no active Premium subscription.
    OwnerWithoutPremium,
    /// The sign-in did not ask for the permission.
    MissingScope,
    Other,
}

/// A [`super::TokenVault`] could not store what it was given.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct VaultError(Cause);

impl VaultError {
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> VaultError {
        VaultError(Arc::from(cause.into()))
    }
}

impl ApiError {
    /// The outcome of the request, and what can be done about it. These errors are classified nowhere else.
    pub fn disposition(&self) -> Disposition {
        let sent = Disposition::sent;
        let unsent = |remedy| Disposition { status: RequestStatus::Unanswered, was_sent: false, remedy: Some(remedy) };
        match self {
            ApiError::RateLimited { class, retry_after, .. } => {
                sent(RequestStatus::Limited, Remedy::Limit { class: *class, retry_after: *retry_after })
            }
            ApiError::Renewed => sent(RequestStatus::Refused, Remedy::AskAgain),
            ApiError::NotRenewed(error) => {
                Disposition { status: RequestStatus::Refused, was_sent: true, ..error.disposition() }
            }
            ApiError::Unauthorized(_) => sent(RequestStatus::Refused, Remedy::AskLater),
            ApiError::Forbidden(reason, _) => sent(
                RequestStatus::Refused,
                match reason {
                    ForbiddenReason::NotYours => Remedy::NotShown,
                    ForbiddenReason::MissingScope => Remedy::Permit,
                    ForbiddenReason::NotAllowListed | ForbiddenReason::OwnerWithoutPremium => Remedy::AskLater,
                    ForbiddenReason::Other => Remedy::AskOnceMore,
                },
            ),
            ApiError::NotFound(_) => sent(RequestStatus::Refused, Remedy::NotThere),
            ApiError::Gone(_) => sent(RequestStatus::Refused, Remedy::LeaveOut),
            ApiError::Refused(_) => sent(RequestStatus::Refused, Remedy::AskOnceMore),
            ApiError::Intercepted { retry_after, .. } => {
                sent(RequestStatus::Failing, Remedy::AskSoonPast { retry_after: *retry_after })
            }
            ApiError::Transient { retry_after, .. } => {
                sent(RequestStatus::Failing, Remedy::AskSoonOrDivide { retry_after: *retry_after })
            }
            ApiError::Malformed { .. } => {
                sent(RequestStatus::Unreadable, Remedy::AskSoonOrDivide { retry_after: None })
            }
            ApiError::Network { .. } => sent(RequestStatus::Unanswered, Remedy::AskSoon),
            ApiError::SignIn(_) => unsent(Remedy::SignIn),
            ApiError::NoToken { is_doubted: true, .. } => unsent(Remedy::AskLater),
            ApiError::NoToken { left, .. } => unsent(Remedy::AwaitToken { left: *left }),
            ApiError::NoPlaylist(_) => unsent(Remedy::NotThere),
            ApiError::Vault(_) => unsent(Remedy::OursSoon),
            ApiError::Config { .. } => unsent(Remedy::Ours),
        }
    }

    pub(super) fn config(message: impl Into<String>) -> ApiError {
        ApiError::Config { message: message.into(), source: None }
    }

    /// A body that does not parse; `what` is the request it should have answered.
    pub(super) fn malformed(what: &str, problem: impl std::fmt::Display) -> ApiError {
        ApiError::Malformed { message: format!("the answer to {what} {problem}"), source: None }
    }

    /// A request that failed before its answer's body was read.
    pub(super) fn from_send(what: &str, host: &str, error: reqwest::Error) -> ApiError {
        let (kind, message) = if error.is_connect() {
            // A connection timeout is both; what a person can check is the connection.
            (NetworkKind::Connect, format!("{what}: cannot connect to {host}"))
        } else if error.is_timeout() {
            (NetworkKind::Timeout, format!("{what}: {host} did not answer in time"))
        } else {
            (NetworkKind::Other, format!("{what}: the connection to {host} failed"))
        };
        ApiError::Network { kind, message, source: Some(Arc::new(error.without_url())) }
    }

    /// A body that stopped arriving.
    pub(super) fn from_body(what: &str, host: &str, error: reqwest::Error) -> ApiError {
        let is_timeout = error.is_timeout();
        let source: Option<Cause> = Some(Arc::new(error.without_url()));
        if is_timeout {
            let message = format!("{what}: the answer of {host} did not end in time");
            return ApiError::Network { kind: NetworkKind::Timeout, message, source };
        }
        ApiError::Malformed { message: format!("the answer to {what} was cut short"), source }
    }
}
