//! What the cells of a page of a playlist hold: items, odd rows, and places that could not be served.

use super::{GapRange, assembly::Cell};
use crate::model::{Item, Oddity, PlaylistItem, PlaylistItemKind};

/// What the cells of a page hold.
#[derive(Default)]
pub struct Split {
    /// In list order; a slot that the API could not serve becomes a missing item, so that positions stay true.
    pub items: Vec<PlaylistItem>,
    pub odd: Vec<(u32, Oddity)>,
    pub gaps: Vec<GapRange>,
}

pub fn split(cells: Vec<Cell>, offset: u32) -> Split {
    let mut split = Split::default();
    for (cell, at) in cells.into_iter().zip(offset..) {
        let (item, odd) = match cell {
            Cell::Slot(slot) => match slot.item {
                Some(Item::PlaylistItem(item)) => (*item, slot.odd),
                // A playlist contains nothing else.
                Some(_) | None => (missing(), slot.odd),
            },
            Cell::Gap { reason } => {
                split.gaps.push(GapRange { offset_from: at, offset_to: at + 1, reason });
                (missing(), Some(Oddity::Unserved))
            }
        };
        split.items.push(item);
        split.odd.extend(odd.map(|odd| (at, odd)));
    }
    split
}

pub fn missing() -> PlaylistItem {
    PlaylistItem { kind: PlaylistItemKind::Missing, uri: None, name: None, added_at: None, added_by: None, track: None }
}
