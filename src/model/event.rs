//! The kinds of events in the feed.

use super::ids::words;

words! {
    /// The kind of an entry, as stored in `outbox.kind`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    EventKind {
        /// Something was added to the library or its playlists, or removed from them.
        Changes = "changes",
        /// So much is gone that it waits for a later run, or a person.
        RemovalsHeld = "removals_held",
        /// A sign-in ends soon.
        SignInEnds = "sign_in_ends",
        /// A sync has failed for a day.
        SyncFailing = "sync_failing",
    }
}
