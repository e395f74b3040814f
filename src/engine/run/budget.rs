//! How many requests a run may make, so that every run ends.
//!
//! An API that contradicts itself can keep a run busy for ever. Three whole walks over everything there is to read, and
//! a fixed allowance for searches, gaps and lost places, are more than any honest listing needs. The pieces of pages
//! that cannot be served are counted separately, since a library with many such places is to be read all the same.

use super::bisection::num_pages;
use crate::engine::backoff::Patience;

/// Whole walks that a run may make, whatever they are for.
const WALKS_MAX: u32 = 3;

/// Requests beside those walks: looks at the head, searches, gaps, lost places.
const ALLOWANCE: u32 = 60;

/// Shortest pages that are allowed for: no cap that the API has ever had was lower, and one answer may name any.
const PAGE_SIZE_MIN: u32 = 10;

/// Pieces of pages that a run may ask for because the whole page did not come.
const PIECES_MAX: u32 = 600;

#[derive(Debug, Default)]
pub struct Budget {
    num_pages: u32,
    num_pieces: u32,
    pages_max: u32,
}

impl Budget {
    /// What there is to read, as far as is known: slots of the listing, in pages of `page_size`, and items of
    /// playlists. It only grows.
    pub fn allow(&mut self, num_listed: u32, page_size: u32, num_items: u32, num_playlists: u32) {
        let item_pages = if num_items == 0 { 0 } else { num_pages(num_items) };
        let items = item_pages.saturating_add(num_playlists);
        let listed = num_listed.div_ceil(page_size.max(PAGE_SIZE_MIN) - 1).max(1);
        let pages = listed.saturating_add(items);
        self.pages_max = self.pages_max.max(pages.saturating_mul(WALKS_MAX).saturating_add(ALLOWANCE));
    }

    pub fn count(&mut self, patience: Patience) {
        match patience {
            Patience::Page | Patience::Whole => self.num_pages += 1,
            Patience::Piece => self.num_pieces += 1,
        }
    }

    pub fn is_spent(&self) -> bool {
        self.num_pages >= self.pages_max.max(ALLOWANCE) || self.num_pieces >= PIECES_MAX
    }

    pub fn num_requests(&self) -> u32 {
        self.num_pages + self.num_pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_walks_and_an_allowance_are_the_end() {
        let mut budget = Budget::default();
        budget.allow(5_000, 50, 0, 0);
        // Learning that there is less to read takes nothing back.
        budget.allow(50, 50, 0, 0);
        let spent = (0..).take_while(|_| {
            budget.count(Patience::Page);
            !budget.is_spent()
        });
        assert_eq!(spent.count() as u32 + 1, 3 * 103 + 60);
    }

    #[test]
    fn a_cap_of_a_single_row_allows_no_request_for_each() {
        let mut budget = Budget::default();
        budget.allow(5_000, 1, 0, 0);
        assert_eq!(budget.pages_max, 3 * 556 + 60);
    }

    #[test]
    fn pieces_are_bounded_by_themselves() {
        let mut budget = Budget::default();
        budget.allow(50, 50, 0, 0);
        (1..PIECES_MAX).for_each(|_| budget.count(Patience::Piece));
        assert!(!budget.is_spent());
        budget.count(Patience::Piece);
        assert!(budget.is_spent());
    }

    #[test]
    fn playlists_count_by_what_they_hold() {
        let mut budget = Budget::default();
        budget.allow(40, 50, 4_000, 40);
        assert_eq!(budget.pages_max, 3 * (1 + 82 + 40) + 60);
    }
}
