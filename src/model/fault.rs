//! Why a page could not be read, sorted by what can be done about it.

use super::Pause;

/// A request that was given up. Retries that could help have been made before one of these exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A limit pauses the family for longer than the asker may wait.
    #[error("paused by the {} limit until {}", .0.class.as_str(), .0.until.format("%Y-%m-%d %H:%M:%S UTC"))]
    Paused(Pause),
    /// The API answers, but not this request: a 5xx or an unreadable body, every time.
    #[error("the API cannot serve this page: {0}")]
    Unservable(String),
    /// Nothing answers.
    #[error("the API cannot be reached: {0}; check the network and spotify.api_url, running again carries on")]
    Unreachable(String),
    /// It was refused, for no reason that is known to last, or the token endpoint is in trouble: asking again in
    /// minutes may help, without anybody's intervention.
    #[error("{0}")]
    Outage(String),
    /// The refresh token is no longer accepted.
    #[error("{0}")]
    SignIn(String),
    /// The sign-in lacks a permission.
    #[error("{0}")]
    NotPermitted(String),
    /// The items of this playlist are not shown to this person.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such playlist.
    #[error("{0}")]
    Gone(String),
    /// The API says that the endpoint is gone.
    #[error("{0}")]
    Refused(String),
    /// The database does not answer for now; it may pass.
    #[error("{0}")]
    Away(String),
    /// A fault of our own.
    #[error("{0}")]
    Internal(String),
    /// The fence no longer holds: another process, or a reset, has taken over.
    #[error("{0}")]
    Overtaken(String),
    /// The run is being stopped.
    #[error("stopped")]
    Stopped,
}

/// An error and its causes on one line, for people; a cause that the error itself already contains is not repeated.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
