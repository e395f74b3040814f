//! The sign: what a run writes with every batch, and all that it needs to carry on from there.

use super::{Phase, SlotKey};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Place of one entity type in one phase; the row of `sync_states` that a batch commits with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub phase: Phase,
    /// The slot of the listing to be read next: `last_synced_offset`.
    pub offset: u32,
    /// The same for listings paged by cursor.
    pub cursor: Option<String>,
    /// `total_estimated`.
    pub total: Option<u32>,
    /// The phase reached its end; `offset` is then of no more use.
    pub is_complete: bool,
    pub walk: WalkState,
    /// Something a person should know that did not stop the run (`error_message` of a complete row).
    pub note: Option<String>,
}

impl Checkpoint {
    /// Where a phase begins.
    pub fn start(phase: Phase) -> Checkpoint {
        Checkpoint {
            phase,
            offset: 0,
            cursor: None,
            total: None,
            is_complete: false,
            walk: WalkState::default(),
            note: None,
        }
    }
}

/// What a phase is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing has been read yet.
    #[default]
    Fresh,
    /// Reading the head of the listing until it meets what is known.
    Head,
    /// Reading the listing from its head to its end.
    Walk,
    /// Reading the items of playlists.
    Items,
    /// The head explains the listing; a slice of the verifying pass is read.
    Verify,
}

/// What the engine keeps of a walk, stored as JSON in `sync_states.checkpoint`: one flat object. Unknown or missing fields
/// are tolerated, so that another version of the program can read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WalkState {
    #[serde(flatten)]
    pub place: WalkPlace,
    #[serde(flatten)]
    pub found: PassFindings,
    #[serde(flatten)]
    pub memory: RunMemory,
}

/// Where a walk is: of use until the walk has reached its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WalkPlace {
    pub stage: Stage,
    /// Number of the pass over the listing; marks which items this pass has seen.
    pub pass: i64,
    /// The pass records what it sees, because rows from before it may have to be marked removed.
    pub records_seen: bool,
    /// A person has asked for this pass: it looks at everything again, and is not the walk that any other run might make.
    pub verifying: bool,
    /// Keys of the last slots committed, in list order: where the walk verifies its place.
    pub anchors: Vec<SlotKey>,
    /// The slot before `offset` is part of a gap, so nothing there can verify the place.
    pub unlinked: bool,
    /// Slots that the page before `offset` was short by: so many places further on its last slot may stand.
    pub num_short: u32,
    /// In `Stage::Items`: the playlist being read, its snapshot, and the next position inside it.
    pub playlist: Option<PlaylistPlace>,
}

/// What the pass under way, or the last one, has found on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassFindings {
    /// Something moved while the pass read, so it may not mark anything removed.
    pub unsteady: bool,
    /// The pass came to an end that is none: the API went round in circles, or on beyond the total.
    pub is_broken: bool,
    /// Something may have been left out: rows that the total counts, or what went past a shared slot that was not served.
    pub has_hole: bool,
    /// A page counted fewer rows than one before it: it may be an older copy.
    pub has_shrunk: bool,
    /// A page gave a row twice, and may have left out another for it.
    pub has_double: bool,
    /// The rows were not newest first, so a head read proves nothing.
    pub disordered: bool,
    /// Slots that hold no identifiable item.
    pub num_unidentified: u32,
    /// How many of those do not even say when they were added: any item that is not seen may be one of them.
    pub num_undated: u32,
    /// Ranges that the API could not serve.
    pub num_gaps: u32,
}

impl PassFindings {
    /// What of it still holds in a later run. That the listing moved then says nothing about now.
    pub fn lasting(self) -> PassFindings {
        PassFindings { unsteady: false, is_broken: false, has_shrunk: false, has_double: false, num_undated: 0, ..self }
    }
}

/// What runs learn and the next ones build on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunMemory {
    /// `total` minus the rows held, as the last proven pass found it: rows the API counts but does not give.
    pub discrepancy: Option<i64>,
    /// Number of removals that the last proven pass did not believe at once.
    pub held_removals: Option<u32>,
    /// How many of those the total still counted then, or some of them.
    pub num_counted: u32,
    /// How many that was: what it counted beyond the rows that were seen, hidden or without an id.
    pub num_excess: u32,
    /// Rows that the API counts and does not give, as the last proven pass found them.
    pub num_hidden: u32,
    /// `num_undated` of the last proven pass; what that did not hide, is not hidden now.
    pub proven_undated: Option<u32>,
    /// The fewest slots without an identifiable item, and with a date, of any proven pass. Where there are more, rows have
    /// fallen silent that are held.
    pub proven_dated: Option<u32>,
    /// Runs in a row that read the whole listing in vain, because such rows may be what is missing.
    pub num_vain_runs: u32,
    /// Runs in a row, the last one included, that ended unsteady.
    pub num_unsteady_runs: u32,
    /// Runs that are still to look twice before they believe a total that explains nothing.
    pub num_wary_runs: u32,
    /// Most rows of a page that the API gave when it was asked for more.
    pub page_cap: Option<u32>,
    /// What the last walk left open: rows that are hidden, still counted, or without an id.
    pub num_open: u32,
    /// When everything is looked at once more because of that.
    pub look_again_at: Option<DateTime<Utc>>,
    /// Notes about lasting conditions that people have already been given.
    pub told: Vec<String>,
    /// When everything was last looked at, and how far it is being looked at again.
    pub verification: Option<Verification>,
}

/// A position inside a long playlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistPlace {
    pub playlist_id: String,
    pub snapshot_id: Option<String>,
    pub offset: u32,
    /// Length that the walk of its items started with; another one means that it changed.
    pub total: u32,
    /// The last item before that position.
    #[serde(default)]
    pub last: Option<SlotKey>,
    /// Items that the page before that position was short by: so many places further on its last item may stand.
    #[serde(default)]
    pub num_short: u32,
    /// Pages of a single item were among those before, which nothing links.
    #[serde(default)]
    pub is_unproven: bool,
}

/// A pass that looks at every slot once, whatever the counts say. Of a service it is spread over days and many runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub began_at: DateTime<Utc>,
    /// When the last slot had been looked at; `None` while there is more.
    pub ended_at: Option<DateTime<Utc>>,
    /// Until then: the slot to be looked at next, the keys of the last ones before it, and how long the listing was.
    pub offset: u32,
    pub anchors: Vec<SlotKey>,
    /// The slot before `offset` could not be read, so nothing there can verify the place.
    pub unlinked: bool,
    pub total: Option<u32>,
}

impl Verification {
    /// Nothing has been looked at yet.
    pub fn begin(began_at: DateTime<Utc>) -> Verification {
        Verification { began_at, ended_at: None, offset: 0, anchors: Vec::new(), unlinked: false, total: None }
    }

    /// Everything was looked at, in one go.
    pub fn done(at: DateTime<Utc>) -> Verification {
        Verification { ended_at: Some(at), ..Verification::begin(at) }
    }
}
