//! What a page of the history leaves out.

use super::CLOCK_MARGIN;
use crate::model::{KnownPlays, PlayGap, PlaysPage};
use chrono::{DateTime, Utc};

/// The plays that may be missing before a page: those after the newest known one, if the page does not contain it, or
/// those before its oldest row, if that is new although older plays are known. Then late rows are at its end, and there
/// may be more beyond.
pub(super) fn gap(
    page: &PlaysPage,
    known: &KnownPlays,
    tracked_since: Option<DateTime<Utc>>,
    wall: DateTime<Utc>,
) -> Option<PlayGap> {
    let newest_known = known.newest(page.horizon(wall));
    let (Some(oldest), Some(newest)) = (page.oldest(), page.newest()) else {
        let played_after = newest_known.filter(|newest| page.slots.is_empty() && *newest < wall)?;
        return Some(PlayGap { played_after, played_before: wall });
    };
    let is_stale = newest_known.is_some_and(|known| newest < known);
    if is_stale {
        return None;
    }
    // Without the newest one that is known, the page does not reach back to it, whatever older rows it contains.
    let is_shown = |known: DateTime<Utc>| page.slots.iter().any(|slot| slot.played_at == Some(known));
    if let Some(played_after) = newest_known.filter(|known| !is_shown(*known)) {
        let after = page.plays().map(|play| play.played_at).filter(|at| *at > played_after).min();
        return after.map(|played_before| PlayGap { played_after, played_before });
    }
    let is_linked = page.plays().filter(|play| play.played_at == oldest).any(|play| known.keys.contains(&play.key()))
        || known.newest_before.is_some_and(is_shown);
    if is_linked {
        return None;
    }
    // If every page so far was empty, none of them proves that nothing was heard; a page that is not full shows
    // everything that was.
    let tracked_since =
        tracked_since.map(|since| since - CLOCK_MARGIN).filter(|since| *since < oldest && page.is_full());
    let played_after = known.newest_before.or(tracked_since)?;
    Some(PlayGap { played_after, played_before: oldest })
}
