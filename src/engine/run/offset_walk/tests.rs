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

/// Walks the listing in pages of ten; from request `spoilt_from` on the slot at 9 cannot be served.
fn walk(spoilt_from: usize) -> OffsetWalk {
    let mut walk = OffsetWalk::new(EntityType::Playlists, Checkpoint::start(Phase::InitialSync), 10, 10);
    let mut next_ticket = Ticket::default();
    for n in 0.. {
        // The last one is handed out as often as it is asked for.
        while walk.poll_batch().is_some_and(|batch| !batch.ended) {}
        let Some((ticket, request, _)) = walk.poll_fetch(&mut next_ticket, true) else { break };
        let PageRequest::Listing { offset, limit, .. } = request else { unreachable!("only listings are asked for") };
        let is_spoilt = n >= spoilt_from && (offset..offset + limit).contains(&9);
        let answer = if is_spoilt { Err(Fault::Unservable("502".into())) } else { Ok(page(offset, limit)) };
        walk.handle_page(ticket, answer);
    }
    assert!(walk.ended && walk.fault.is_none());
    walk
}

#[test]
fn a_walk_whose_shared_slots_hold_is_steady() {
    assert!(!walk(usize::MAX).tip.walk.unsteady);
}

/// Found by the simulation: a playlist was dragged across the place in that moment, and called removed.
#[test]
fn a_shared_slot_that_is_not_served_any_more_proves_nothing() {
    let walk = walk(1);
    assert!(walk.tip.walk.unsteady && walk.tip.walk.has_hole, "{walk:?}");
}
