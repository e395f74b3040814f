//! What the feed tells of, beside the library itself.

/// What an entry is about, as `outbox.kind` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Something came into the library or its playlists, or went from them.
    Changes,
    /// So much is gone that it waits for a later run, or a person.
    RemovalsHeld,
    /// A sign-in ends soon.
    SignInEnds,
    /// A sync has failed for a day.
    SyncFailing,
}

impl EventKind {
    pub const ALL: [EventKind; 4] =
        [EventKind::Changes, EventKind::RemovalsHeld, EventKind::SignInEnds, EventKind::SyncFailing];

    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Changes => "changes",
            EventKind::RemovalsHeld => "removals_held",
            EventKind::SignInEnds => "sign_in_ends",
            EventKind::SyncFailing => "sync_failing",
        }
    }
}
