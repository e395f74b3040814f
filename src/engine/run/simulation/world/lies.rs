//! How the API misbehaves in a world.

use super::{super::rows::slot, Entry, World};
use crate::model::{Next, Page, PageRequest};

/// How the pages of the listing deviate from what was asked for.
#[derive(Debug, Clone, Default)]
pub enum Lie {
    #[default]
    Nothing,
    /// No page holds more rows than this; `says_so` makes the answer admit it.
    Cap { rows: u32, says_so: bool },
    /// This item is counted but not given.
    Hidden(String),
    /// This many pages end after some rows, and claim that the listing does.
    EndsEarly { rows: u32, times: u32 },
    /// One page is empty, counts nothing, and claims that nothing follows.
    EmptyOnce,
    /// This many pages give their first row in place of their last.
    Doubles { times: u32 },
    /// This many pages behind the head lack the row in their middle, and are filled up with the one behind them.
    Fits { times: u32 },
    /// This many pages behind the head give a row of somebody else in the place of the one in their middle.
    Foreign { times: u32 },
    /// Every page is the first.
    OffsetIgnored,
    /// Every other answer counts one row less.
    TotalAlternates,
    /// The cursor goes round in this many pages.
    CursorTurns { length: u32 },
    /// Pages from this offset on come from an older copy.
    StaleBehind { from: u32, library: Vec<Entry> },
    /// Answers in turn neither give nor count one of these.
    OmitsInTurn(Vec<String>),
    /// The row at this place is not given so many times; and every answer counts so many more.
    HiddenAt { at: u32, times: u32, counts: i32 },
}

impl World {
    /// What becomes of a true answer.
    pub(super) fn spoil(&mut self, lie: Lie, request: &PageRequest, page: &mut Page) {
        let (offset, limit) = match request {
            PageRequest::Listing { offset, limit, .. } => (*offset, *limit),
            PageRequest::Following { limit, .. } | PageRequest::PlaylistItems { limit, .. } => (0, *limit),
        };
        let total = page.total.unwrap_or(0);
        let goes = |at: u32| if at < total { Next::Goes { offset: Some(at) } } else { Next::End };
        match lie {
            Lie::Nothing | Lie::OffsetIgnored | Lie::CursorTurns { .. } | Lie::StaleBehind { .. } => {}
            Lie::Cap { rows, says_so } => {
                page.slots.truncate(rows as usize);
                if says_so {
                    page.limit = Some(rows.min(limit));
                    page.next = goes(offset + page.slots.len() as u32);
                }
            }
            Lie::Hidden(id) => {
                page.slots.retain(|slot| slot.id() != Some(&id));
                page.limit = Some(limit);
                page.next = goes(offset + limit);
            }
            Lie::EndsEarly { rows, times } => {
                if times > 0 {
                    page.slots.truncate(rows as usize);
                    page.next = Next::End;
                    self.lie = Lie::EndsEarly { rows, times: times - 1 };
                }
            }
            Lie::Doubles { times: 0 } | Lie::Fits { times: 0 } | Lie::Foreign { times: 0 } => {}
            Lie::Fits { times } => {
                let behind = self.library.get((offset + limit) as usize).filter(|_| offset > 0);
                if let Some(behind) = behind.map(|entry| slot(self.conditions.entity, entry)) {
                    page.slots.remove(page.slots.len() / 2);
                    page.slots.push(behind);
                    self.lie = Lie::Fits { times: times - 1 };
                }
            }
            Lie::Foreign { times } => {
                let middle = page.slots.len() / 2;
                let entry = self.library.get(offset as usize + middle).filter(|_| offset > 0).cloned();
                if let Some(entry) = entry {
                    let foreign = Entry { id: Some("foreign".to_owned()), ..entry };
                    page.slots[middle] = slot(self.conditions.entity, &foreign);
                    self.lie = Lie::Foreign { times: times - 1 };
                }
            }
            Lie::Doubles { times } => {
                if let [first, .., last] = &mut *page.slots {
                    last.clone_from(first);
                }
                self.lie = Lie::Doubles { times: times - 1 };
            }
            Lie::EmptyOnce => {
                page.slots.clear();
                (page.total, page.next, page.next_cursor) = (None, Next::End, None);
                self.lie = Lie::Nothing;
            }
            Lie::OmitsInTurn(ids) => {
                let id = &ids[self.requests as usize % ids.len()];
                page.slots.retain(|slot| slot.id() != Some(id));
                page.total = Some(total - 1);
            }
            Lie::HiddenAt { at, times, counts } => {
                if times > 0 && (offset..offset + page.slots.len() as u32).contains(&at) {
                    page.slots.remove((at - offset) as usize);
                    page.limit = Some(limit);
                    page.next = goes(offset + limit);
                    self.lie = Lie::HiddenAt { at, times: times - 1, counts };
                }
                page.total = Some(total.saturating_add_signed(counts));
            }
            Lie::TotalAlternates => page.total = Some(total - self.requests % 2),
        }
    }
}
