//! What became of a request, and what can be done about it: the words in which the way out to Spotify tells the engine.

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
        /// Served, with a body that cannot be read.
        Unreadable = "unreadable",
        /// No answer, or no token to ask with.
        Unanswered = "unanswered",
    }
}

/// What became of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disposition {
    pub status: RequestStatus,
    /// `false` where no access token could be had, so that the API itself has seen nothing.
    pub was_sent: bool,
    /// `None` where the request was served.
    pub remedy: Option<Remedy>,
}

/// What can be done about a request that brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A limit refused it: the gate waits.
    Limit { class: LimitClass, retry_after: Option<Duration> },
    /// The access token was renewed: ask again now.
    AskAgain,
    /// A 5xx, or a body that cannot be read: an outage, or the page's own fault. Ask again soon; what else is answered
    /// meanwhile tells the two apart.
    AskSoonOrDivide { retry_after: Option<Duration> },
    /// Nothing answers. Ask again soon.
    AskSoon,
    /// Something between us and the API answers for it: a page of HTML, a redirect. Ask again soon.
    AskSoonPast { retry_after: Option<Duration> },
    /// A refusal without a reason that is known to last. Ask once more in a few seconds, then in minutes.
    AskOnceMore,
    /// The same, where another try at once has been made or tells nothing. Ask in minutes.
    AskLater,
    /// The token endpoint is in trouble and is left alone for so long.
    AwaitToken { left: Duration },
    /// Nothing can be asked until the person signs in again.
    SignIn,
    /// The sign-in lacks a permission: a person has to sign in again and grant it.
    Permit,
    /// The endpoint is gone, by its own words.
    LeaveOut,
    /// The items of this playlist are not shown to this person.
    NotShown,
    /// There is no such playlist.
    NotThere,
    /// Something of our own is wrong, and may pass: tokens could not be stored.
    OursSoon,
    /// Something of our own is wrong and stays so.
    Ours,
}

impl Disposition {
    pub const SERVED: Disposition = Disposition { status: RequestStatus::Served, was_sent: true, remedy: None };

    /// A request that was sent and brought nothing.
    pub const fn sent(status: RequestStatus, remedy: Remedy) -> Disposition {
        Disposition { status, was_sent: true, remedy: Some(remedy) }
    }
}
