//! What the feed tells of, beside the library itself.

use super::ids::words;

words! {
    /// What an entry is about, as `outbox.kind` has it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    EventKind {
        /// Something came into the library or its playlists, or went from them.
        Changes = "changes",
        /// So much is gone that it waits for a later run, or a person.
        RemovalsHeld = "removals_held",
        /// A sign-in ends soon.
        SignInEnds = "sign_in_ends",
        /// A sync has failed for a day.
        SyncFailing = "sync_failing",
    }
}
