//! The outcome of a request, and what can be done about it: the terms in which the Spotify client reports to the
//! engine.

use super::LimitClass;
use super::ids::words;
use std::time::Duration;

words! {
    /// How a request to the Web API ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    RequestStatus {
        Served = "2xx",
        /// 429.
        Limited = "429",
        /// Any other 4xx.
        Refused = "4xx",
        /// 5xx, or an answer of something in between.
        Failing = "5xx",
        /// Served, with a body that cannot be parsed.
        Unreadable = "unreadable",
        /// No answer, or no token for the request.
        Unanswered = "unanswered",
    }
}

/// The outcome of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disposition {
    pub status: RequestStatus,
    /// `false` if there was no access token, so that the API itself has seen nothing.
    pub was_sent: bool,
    /// `None` if the request was served.
    pub remedy: Option<Remedy>,
}

/// What can be done about a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A limit refused it: the gate waits.
    Limit { class: LimitClass, retry_after: Option<Duration> },
    /// The access token was renewed: ask again now.
    AskAgain,
    /// A 5xx, or a body that cannot be parsed: an outage, or the page's own fault. Ask again soon; whether other
    /// requests are answered meanwhile tells the two apart.
    AskSoonOrDivide { retry_after: Option<Duration> },
    /// Nothing answers. Ask again soon.
    AskSoon,
    /// Something between us and the API answered: a page of HTML, a redirect. Ask again soon.
    AskSoonPast { retry_after: Option<Duration> },
    /// A refusal without a reason that is known to last. Ask once more in a few seconds, then in minutes.
    AskOnceMore,
    /// The same, if a second try has been made or would reveal nothing. Ask in minutes.
    AskLater,
    /// The token endpoint is in trouble and must not be asked for this long.
    AwaitToken { left: Duration },
    /// No requests are possible until the person signs in again.
    SignIn,
    /// The sign-in lacks a permission: a person has to sign in again and grant it.
    Permit,
    /// The API says that the endpoint is gone.
    LeaveOut,
    /// The items of this playlist are not shown to this person.
    NotShown,
    /// There is no such playlist.
    NotThere,
    /// A fault of our own, which may pass: tokens could not be stored.
    OursSoon,
    /// A fault of our own, which stays.
    Ours,
}

impl Disposition {
    pub const SERVED: Disposition = Disposition { status: RequestStatus::Served, was_sent: true, remedy: None };

    /// A request that was sent and failed.
    pub const fn sent(status: RequestStatus, remedy: Remedy) -> Disposition {
        Disposition { status, was_sent: true, remedy: Some(remedy) }
    }
}
