//! A playlist whose items are read, or whose gaps are filled.

use super::*;

#[derive(Debug)]
pub(super) struct Work {
    pub task: Task,
    pub num_refusals: u32,
    /// It failed, and nothing has been answered since.
    pub suspect: Option<Fault>,
    pub is_done: bool,
}

#[derive(Debug)]
pub(super) enum Task {
    Read(ItemReading),
    /// Fills gaps of an earlier reading instead of reading it all.
    Fill(GapFilling),
}

impl Work {
    pub fn playlist(&self) -> &StalePlaylist {
        match &self.task {
            Task::Read(reading) => &reading.playlist,
            Task::Fill(filling) => &filling.playlist,
        }
    }

    pub fn num_left(&self) -> u32 {
        match &self.task {
            Task::Read(reading) => reading.playlist.total_items.unwrap_or(1).saturating_sub(reading.committed),
            Task::Fill(filling) => filling.playlist.gaps.iter().map(|(from, to)| to - from).sum(),
        }
    }

    pub fn replan(&mut self) {
        if let Task::Read(reading) = &mut self.task {
            reading.replan();
        }
    }
}
