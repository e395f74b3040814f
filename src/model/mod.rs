//! The words of the domain.
//!
//! Plain data that every other layer shares: Spotify's terms, the contents of a listing's page, of a checkpoint, and of
//! a batch. Nothing here waits, reads a clock, or knows a database or a protocol.

pub mod answer;
pub mod batch;
pub mod checkpoint;
pub mod entities;
pub mod event;
pub mod facts;
pub mod fault;
pub mod ids;
pub mod limits;
pub mod listing;
pub mod order;
pub mod owner;
pub mod play;
pub mod playback;
pub mod playlist_choice;
pub mod reading;
pub mod removal_guard;
pub mod repair;
pub mod scopes;
pub mod sharing;
pub mod sign_in;
pub mod status;
pub mod stream;
pub mod stretches;
pub mod text;
pub mod version;
pub mod zone;

pub use answer::{Disposition, Remedy, RequestStatus};
pub use batch::{
    BatchSyncResult, Commit, CommitReport, Counts, Effects, Fence, Gap, Gone, HealedGap, HeldBefore, HeldRemoval, Hold,
    ItemCounts, Membership, NewGap, PlaylistPart, ReadingOutcome, Removal, Rows, Survey,
};
pub use checkpoint::{Checkpoint, Missed, PassFindings, RunMemory, Stage, Verification, WalkPlace, WalkState};
pub use entities::{
    Album, Artist, ArtistRef, Audiobook, Episode, LOCAL, Playlist, PlaylistItem, PlaylistItemKind, SavedAlbum,
    SavedTrack, Show, Track,
};
pub use event::EventKind;
pub use facts::{Dated, Facts, Line, ListingOrder, PerEntity};
pub use fault::{Fault, with_causes};
pub use ids::{AccountId, EntityType, Family, Phase, SyncKey, UnknownWord};
pub use limits::{
    DailyCeilings, GateNote, LearnedRate, LedgerEntry, LimitClass, NotedPause, Pause, PauseScope, RefusedLevel,
    START_REQUESTS, Sent,
};
pub use listing::{AddedBetween, FIRST_CURSOR, Item, Member, Next, Oddity, Page, PageRequest, Slot, SlotKey};
pub use order::{GivenOrder, Order, OrderOutcome};
pub use owner::{Claim, Heartbeat, Node, NodeLoad, Owner};
pub use play::{PLAYS_PAGE_LEN, Play, PlayKey, PlaySlot, PlaysPage};
pub use playback::{KnownPlays, PlayGap, PlaybackNote, PlaybackRecord, PlaysCommit};
pub use playlist_choice::PlaylistChoice;
pub use reading::{
    Due, FailedReading, FailureKind, LastFailure, LeftOpen, REST_MAX, ReadingState, StalePlaylist, look_again_in,
    reads_again_at,
};
pub use removal_guard::{REMOVAL_COUNT_ALWAYS, RemovalGuard};
pub use sharing::{GateProcess, ProbeClaim, SharedChange, SharedLimits};
pub use sign_in::{FailureOf, SignInRefusal, SignInState, TokenFailure};
