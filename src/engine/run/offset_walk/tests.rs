//! Walks over small listings whose pages do not link up.

use super::*;
use crate::model::{Artist, Item, Phase};

/// The slots of a listing that holds as many items as its total says, each named after its place.
fn page(offset: u32, limit: u32) -> Page {
    let slot = |at: u32| {
        let artist = Artist { id: at.to_string(), name: String::new(), genres: None, image_url: None };
        Slot { item: Some(Item::Artist(Box::new(artist))), added_at: None, odd: None }
    };
    Page { total: Some(20), slots: (offset..20.min(offset + limit)).map(slot).collect(), ..Page::default() }
}

/// Walks the listing in pages of ten. `answer` gets the number of the request, and the answer as it should be.
fn walk(answer: impl Fn(usize, Page) -> Result<Page, Fault>) -> OffsetWalk {
    let mut walk = OffsetWalk::new(EntityType::Playlists, Checkpoint::start(Phase::InitialSync), 10, 10);
    let mut next_ticket = Ticket::default();
    for n in 0..100 {
        // The last one is handed out as often as it is asked for.
        while walk.poll_batch().is_some_and(|batch| !batch.ended) {}
        let Some((ticket, request, _)) = walk.poll_fetch(&mut next_ticket, true) else { break };
        let PageRequest::Listing { offset, limit, .. } = request else { unreachable!("only listings are asked for") };
        walk.handle_page(ticket, answer(n, page(offset, limit)));
    }
    assert!(walk.ended && walk.fault.is_none(), "{walk:?}");
    walk
}

#[test]
fn a_walk_whose_shared_slots_hold_is_steady() {
    assert!(!walk(|_, page| Ok(page)).tip.walk.found.unsteady);
}

/// Found by the simulation: a playlist was dragged across the place in that moment, and called removed.
#[test]
fn a_shared_slot_that_is_not_served_any_more_proves_nothing() {
    let holds = |page: &Page, at: &str| page.slots.iter().any(|slot| slot.id() == Some(at));
    let walk = walk(|n, page| {
        let is_spoilt = n >= 1 && holds(&page, "9");
        if is_spoilt { Err(Fault::Unservable("502".into())) } else { Ok(page) }
    });
    assert!(walk.tip.walk.found.unsteady && walk.tip.walk.found.has_hole, "{walk:?}");
}

/// Found by the simulation: where the first pages did not tell how long the listing was, it may have been another length.
#[test]
fn a_total_that_is_told_late_makes_no_walk_steady() {
    let told_late = walk(|n, page| Ok(if n == 0 { Page { total: None, ..page } } else { page }));
    assert!(told_late.tip.walk.found.unsteady, "{told_late:?}");
}

/// Found by the simulation: taken for a cap, or for rows that are hidden.
#[test]
fn an_offset_that_is_ignored_proves_nothing() {
    let ignoring = walk(|_, page| Ok(Page { slots: super::tests::page(0, page.slots.len() as u32).slots, ..page }));
    assert!(ignoring.tip.walk.found.unsteady || ignoring.tip.walk.found.is_broken, "{ignoring:?}");
}

/// Found by the simulation: behind a page that was cut short, the offset was ignored, and the place ran past the end.
#[test]
fn a_page_that_links_up_beyond_the_total_proves_no_place() {
    let first = |num: u32| super::tests::page(0, num).slots;
    let walk = walk(|n, page| match n {
        0 => Ok(Page { total: Some(10), slots: first(7), ..page }),
        _ => Ok(Page { total: Some(10), slots: first(10), ..page }),
    });
    assert!(walk.tip.walk.found.unsteady, "{walk:?}");
}

/// Found by the simulation: two were removed meanwhile, two were missed, and as many were held as the total counted.
#[test]
fn pages_of_one_row_may_have_left_something_out() {
    let walk = walk(|_, page| {
        let slots = page.slots.into_iter().take(1).collect();
        Ok(Page { slots, limit: Some(1), ..page })
    });
    assert!(walk.tip.walk.found.unsteady && walk.tip.walk.found.has_hole, "{walk:?}");
}
