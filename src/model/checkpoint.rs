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
    /// The phase reached its end; `offset` is then no longer used.
    pub is_complete: bool,
    pub walk: WalkState,
    /// Something a person should know that did not stop the run (`error_message` of a complete row).
    pub note: Option<String>,
}

impl Checkpoint {
    /// The beginning of a phase.
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

/// What the engine stores about a walk, as JSON in `sync_states.checkpoint`: one flat object. Unknown or missing fields
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

/// Where a walk is: used until the walk has reached its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WalkPlace {
    pub stage: Stage,
    /// Number of the pass over the listing; marks which items this pass has seen.
    pub pass: i64,
    /// The pass records what it sees, because rows from before it may have to be marked removed.
    pub records_seen: bool,
    /// A person has ordered this pass: it looks at everything again, and must not be taken for a walk of any other run.
    pub verifying: bool,
    /// Keys of the last slots committed, in list order: where the walk verifies its place.
    pub anchors: Vec<SlotKey>,
    /// The slot before `offset` is part of a gap, so the place cannot be verified.
    pub unlinked: bool,
    /// Slots by which the page before `offset` was short: its last slot may stand this many places further on.
    pub num_short: u32,
    /// In `Stage::Items`: the playlist being read, its snapshot, and the next position inside it.
    pub playlist: Option<PlaylistPlace>,
}

/// What the pass under way, or the last one, has found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassFindings {
    /// Something moved while the pass read, so it may not mark anything removed.
    pub unsteady: bool,
    /// The pass reached a false end: the API went round in circles, or beyond the total.
    pub is_broken: bool,
    /// Something may have been left out: rows that the total counts, or an item that moved past a shared slot that was
    /// not served.
    pub has_hole: bool,
    /// A page left out rows between those that it gave, or was shorter than the others.
    pub has_short: bool,
    /// A page counted fewer rows than one before it: it may be an older copy.
    pub has_shrunk: bool,
    /// A page gave a row twice, and may have left out another.
    pub has_double: bool,
    /// The rows were not newest first, so a head read proves nothing.
    pub disordered: bool,
    /// Slots that hold no identifiable item.
    pub num_unidentified: u32,
    /// How many of those do not even have a date: any unseen item may be one of them.
    pub num_undated: u32,
    /// Ranges that the API could not serve.
    pub num_gaps: u32,
}

impl PassFindings {
    /// The findings that still hold in a later run. That the listing moved then says nothing about now.
    pub fn lasting(self) -> PassFindings {
        PassFindings {
            unsteady: false,
            is_broken: false,
            has_short: false,
            has_shrunk: false,
            has_double: false,
            num_undated: 0,
            ..self
        }
    }
}

/// What runs learn and the next ones build on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunMemory {
    /// `total` minus the rows held, as found by the last proven pass: rows that the API counts but does not give.
    pub discrepancy: Option<i64>,
    /// Number of removals that the last proven pass did not believe at once.
    pub held_removals: Option<u32>,
    /// How many of those the total still counted then, at least in part.
    pub num_counted: u32,
    /// By how much: what it counted beyond the rows that were seen, hidden or without an id.
    pub num_excess: u32,
    /// Rows that the API counts but does not give, as found by the last proven pass.
    pub num_hidden: u32,
    /// `num_undated` of the last proven pass; rows that hid nothing then hide nothing now.
    pub proven_undated: Option<u32>,
    /// The fewest slots without an identifiable item, but with a date, of any proven pass. If there are more, rows of
    /// held items have become unreadable.
    pub proven_dated: Option<u32>,
    /// Runs in a row that read the whole listing without result, because such rows may be what is missing.
    pub num_vain_runs: u32,
    /// Runs in a row, the last one included, that ended unsteady.
    pub num_unsteady_runs: u32,
    /// Runs that still have to look twice before they believe a total that explains nothing.
    pub num_wary_runs: u32,
    /// Most rows of a page when the API was asked for more.
    pub page_cap: Option<u32>,
    /// What the last walk left open: rows that are hidden, still counted, or without an id.
    pub num_open: u32,
    /// When everything is looked at once more because of that.
    pub look_again_at: Option<DateTime<Utc>>,
    /// Notes about lasting conditions that people have already been given.
    pub told: Vec<String>,
    /// When everything was last looked at, and how far it is being looked at again.
    pub verification: Option<Verification>,
    /// What a part of that missed, for the next run to confirm.
    pub missed: Option<Missed>,
}

/// Items that were missed while a row without an id or a date may have stood for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    pub since: DateTime<Utc>,
    pub ids: Vec<String>,
}

/// A position inside a long playlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistPlace {
    pub playlist_id: String,
    pub snapshot_id: Option<String>,
    pub offset: u32,
    /// Length when the walk of its items started; a different one means that it changed.
    pub total: u32,
    /// The last item before that position.
    #[serde(default)]
    pub last: Option<SlotKey>,
    /// Items by which the page before that position was short: its last item may stand this many places further on.
    #[serde(default)]
    pub num_short: u32,
    /// Some of the pages before had a single item, and cannot be linked.
    #[serde(default)]
    pub is_unproven: bool,
}

/// A pass that looks at every slot once, whatever the counts say. A service spreads it over days and many runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub began_at: DateTime<Utc>,
    /// When the last slot had been looked at; `None` while some are left.
    pub ended_at: Option<DateTime<Utc>>,
    /// Until then: the slot to be looked at next, the keys of the last ones before it, and how long the listing was.
    pub offset: u32,
    pub anchors: Vec<SlotKey>,
    /// The slot before `offset` could not be read, so the place cannot be verified.
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
