//! Filling ranges of a playlist's items that the API could not serve in an earlier run: what can be read now is
//! committed and healed, what cannot stays a gap.

use super::{assembly::Assembly, item_split::split};
use crate::model::{PlaylistPart, StalePlaylist, batch::PlaylistEnd};
use std::collections::VecDeque;

#[derive(Debug)]
pub struct GapFilling {
    pub playlist: StalePlaylist,
    todo: VecDeque<(u32, u32)>,
    /// How many ranges are on their way.
    num_asked: usize,
    /// Slots that still cannot be served.
    pub num_gaps: u32,
}

/// What filling a range brought.
#[derive(Debug, Default)]
pub struct Filled {
    pub part: Option<PlaylistPart>,
    pub healed: Option<(u32, u32)>,
}

impl GapFilling {
    pub fn new(playlist: StalePlaylist) -> GapFilling {
        GapFilling { todo: playlist.gaps.iter().copied().collect(), playlist, num_asked: 0, num_gaps: 0 }
    }

    pub fn plan(&mut self, limit: u32) -> Option<(u32, u32)> {
        let (from, to) = self.todo.pop_front()?;
        self.num_asked += 1;
        Some((from, (to - from).clamp(1, limit)))
    }

    pub fn is_done(&self) -> bool {
        self.num_asked == 0 && self.todo.is_empty()
    }

    pub fn absorb(&mut self, page: Assembly) -> Filled {
        let offset = page.offset;
        let num_unserved = page.limit - page.num_read();
        self.num_gaps += num_unserved;
        self.num_asked -= 1;
        let mut part = PlaylistPart {
            playlist_id: self.playlist.id.clone(),
            generation: self.playlist.generation,
            offset,
            end: Some(PlaylistEnd::GapFilled),
            ..PlaylistPart::default()
        };
        if num_unserved == 0 {
            let healed = Some((offset, offset + page.limit));
            let split = split(page.cells, offset);
            (part.items, part.odd) = (split.items, split.odd);
            return Filled { part: Some(part), healed };
        }
        Filled { part: self.is_done().then_some(part), healed: None }
    }
}
