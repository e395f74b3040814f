//! Walks over small listings whose pages do not link up.

use super::*;
use crate::model::{Artist, Item, Next, PassFindings, Phase};

fn slot(at: u32) -> Slot {
    let artist = Artist { id: at.to_string(), name: String::new(), genres: None, image_url: None };
    Slot { item: Some(Item::Artist(Box::new(artist))), added_at: None, odd: None }
}

/// The slots of a listing that holds as many items as its total says, each named after its position.
fn page(offset: u32, limit: u32) -> Page {
    Page { total: Some(20), slots: (offset..20.min(offset + limit)).map(slot).collect(), ..Page::default() }
}

/// Walks the listing in pages of ten. `answer` gets the number of the request and the correct answer.
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

/// Found by the simulation: a playlist was dragged across the place at that moment, and marked removed.
#[test]
fn a_shared_slot_that_is_not_served_any_more_proves_nothing() {
    let holds = |page: &Page, at: &str| page.slots.iter().any(|slot| slot.id() == Some(at));
    let walk = walk(|n, page| {
        let is_spoilt = n >= 1 && holds(&page, "9");
        if is_spoilt { Err(Fault::Unservable("502".into())) } else { Ok(page) }
    });
    assert!(walk.tip.walk.found.unsteady && walk.tip.walk.found.has_hole, "{walk:?}");
}

/// Found by the simulation: it ended at once, and the listing was read from the beginning.
#[test]
fn a_walk_that_is_resumed_after_a_wrong_total_goes_on_from_its_place() {
    for total in [0, 100, 400] {
        let tip = Checkpoint { offset: 300, total: Some(total), ..Checkpoint::start(Phase::InitialSync) };
        let mut walk = OffsetWalk::new(EntityType::Episodes, tip, 50, 50);
        let asked = walk.poll_fetch(&mut Ticket::default(), true).map(|(_, request, _)| request);
        let (entity, offset, limit) = (EntityType::Episodes, 300, 50);
        assert_eq!(asked, Some(PageRequest::Listing { entity, offset, limit }), "{total} counted: {walk:?}");
    }
}

/// Found by the simulation: if the first pages do not contain the length of the listing, it may have been another one.
#[test]
fn a_total_that_is_told_late_makes_no_walk_steady() {
    let told_late = walk(|n, page| Ok(if n == 0 { Page { total: None, ..page } } else { page }));
    assert!(told_late.tip.walk.found.unsteady, "{told_late:?}");
}

/// Found by a server that was written without the code: 5,106 requests for 5,000 tracks.
#[test]
fn a_cap_of_a_few_rows_that_one_answer_names_is_no_cap() {
    let num_requests = |answers: std::ops::Range<usize>, cap: u32| {
        let num = std::cell::Cell::new(0);
        let ended = walk(|n, page| {
            num.set(n + 1);
            let slots = page.slots.iter().take(cap as usize).cloned().collect();
            Ok(if answers.contains(&n) { Page { slots, limit: Some(cap), ..page } } else { page })
        });
        assert_eq!(ended.tip.offset, 20);
        num.get()
    };
    assert_eq!(num_requests(0..0, 0), 3);
    for cap in 1..4 {
        assert!(num_requests(0..1, cap) <= 4, "{cap}, once");
        assert!(num_requests(0..2, cap) <= 9, "{cap}, twice: it is doubted");
    }
}

/// Found by the simulation: it was taken for a cap, or for hidden rows.
#[test]
fn an_offset_that_is_ignored_proves_nothing() {
    let ignoring = walk(|_, page| Ok(Page { slots: super::tests::page(0, page.slots.len() as u32).slots, ..page }));
    assert!(ignoring.tip.walk.found.unsteady || ignoring.tip.walk.found.is_broken, "{ignoring:?}");
}

/// Found by the simulation: after a page that was cut short, the offset was ignored, and the place ran past the end.
#[test]
fn a_page_that_links_up_beyond_the_total_proves_no_place() {
    let first = |num: u32| super::tests::page(0, num).slots;
    let walk = walk(|n, page| match n {
        0 => Ok(Page { total: Some(10), slots: first(7), ..page }),
        _ => Ok(Page { total: Some(10), slots: first(10), ..page }),
    });
    assert!(walk.tip.walk.found.unsteady, "{walk:?}");
}

/// Found by the simulation: two were removed meanwhile, two were missed, and the rows held matched the total.
#[test]
fn pages_of_one_row_may_have_left_something_out() {
    let walk = walk(|_, page| {
        let slots = page.slots.into_iter().take(1).collect();
        Ok(Page { slots, limit: Some(1), ..page })
    });
    assert!(walk.tip.walk.found.unsteady && walk.tip.walk.found.has_hole, "{walk:?}");
}

/// Found by the simulation: the walk went on as far behind it as a page without a cap would reach, or ended.
#[test]
fn a_capped_page_of_which_nothing_is_given_is_as_long_as_its_cap() {
    for (from, to) in [(0, 4), (3, 7), (8, 11)] {
        let is_given =
            |slot: &Slot| !slot.id().is_some_and(|id| (from..to).contains(&id.parse::<u32>().expect("its place")));
        let walk = walk(|_, page| {
            let slots = page.slots.into_iter().take(4).filter(is_given).collect();
            Ok(Page { slots, limit: Some(4), ..page })
        });
        assert_eq!(walk.tip.walk.place.anchors.len() as u32, 20 - (to - from), "{from} to {to}: {walk:?}");
    }
}

/// Something was added before the place and something else removed after it, so that the total reveals nothing.
#[test]
fn a_walk_that_finds_its_place_elsewhere_is_not_steady() {
    let walk = walk(|n, page| {
        let from = page.slots.first().and_then(|slot| slot.id()?.parse::<u32>().ok());
        match from.filter(|from| n > 0 && *from > 0) {
            Some(from) => Ok(super::tests::page(from - 1, page.slots.len() as u32)),
            None => Ok(page),
        }
    });
    assert!(walk.tip.walk.found.unsteady, "{walk:?}");
}

/// Found by the simulation: something else was removed before the next look, and as many were held as were counted.
#[test]
fn a_page_that_lacks_a_row_and_is_filled_up_from_behind_leaves_a_hole() {
    for (at, left_out) in [(0, 1), (0, 8), (1, 1), (1, 8)] {
        let walk = walk(|n, mut page| {
            if n == at {
                let last = page.slots.last().and_then(|slot| slot.id()?.parse::<u32>().ok()).expect("its place");
                page.slots.remove(left_out);
                page.slots.push(slot(last + 1));
            }
            Ok(page)
        });
        let PassFindings { unsteady, has_hole, .. } = walk.tip.walk.found;
        assert!(unsteady && has_hole, "page {at}, row {left_out}");
    }
}

/// What the total accounts for leaves nothing out: such a walk is not repeated.
#[test]
fn a_place_that_has_moved_as_far_as_the_total_leaves_no_hole() {
    let added = walk(|n, page| {
        let from = page.slots.first().and_then(|slot| slot.id()?.parse::<u32>().ok());
        match from.filter(|from| n > 0 && *from > 0) {
            Some(from) => Ok(Page { total: Some(21), slots: (from - 1..20.min(from + 9)).map(slot).collect(), ..page }),
            None => Ok(page),
        }
    });
    let PassFindings { unsteady, has_hole, .. } = added.tip.walk.found;
    assert!(unsteady && !has_hole, "{added:?}");
}

#[test]
fn a_row_that_a_page_gives_twice_is_noted() {
    let doubled = walk(|n, mut page| {
        if n == 0 {
            page.slots[1] = page.slots[0].clone();
        }
        Ok(page)
    });
    assert!(doubled.tip.walk.found.has_double, "{doubled:?}");
    assert!(!walk(|_, page| Ok(page)).tip.walk.found.has_double);
}

/// What is wrong with one answer of a walk.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Cut(usize),
    IgnoresOffset,
    Counts(i64),
}

/// Every small listing, with any row withheld, any cap from any request on, and any one answer wrong as well.
#[test]
fn whatever_is_withheld_capped_or_wrong_once_is_read_right_or_proves_nothing() {
    let wrongs = [
        None,
        Some(Wrong::Cut(0)),
        Some(Wrong::Cut(1)),
        Some(Wrong::IgnoresOffset),
        Some(Wrong::Counts(-1)),
        Some(Wrong::Counts(-3)),
        Some(Wrong::Counts(2)),
    ];
    for wrong in wrongs {
        for limit in 2..=4 {
            for len in 1..=8 {
                for hidden in (0..len).map(Some).chain([None]) {
                    for (cap, capped_from) in (1..=limit).flat_map(|cap| (0..=4).map(move |from| (cap, from))) {
                        for wrong_at in 0..wrong.map_or(1, |_| 5) {
                            try_small(limit, len, hidden, (cap, capped_from), wrong.map(|wrong| (wrong, wrong_at)));
                        }
                    }
                }
            }
        }
    }
}

fn try_small(
    limit: u32,
    len: u32,
    hidden: Option<u32>,
    (cap, capped_from): (u32, usize),
    wrong: Option<(Wrong, usize)>,
) {
    let mut walk = OffsetWalk::new(EntityType::Playlists, Checkpoint::start(Phase::InitialSync), limit, limit);
    if matches!(wrong, Some((Wrong::Counts(_), _))) && (cap < limit || hidden.is_some()) {
        // Rows that are withheld, with a count that agrees, are a shorter listing as far as one walk can see.
        return;
    }
    let (mut next_ticket, mut came) = (Ticket::default(), Vec::new());
    for n in 0..200 {
        while let Some(batch) = walk.poll_batch() {
            came.extend(batch.slots.iter().filter_map(|slot| slot.id()?.parse::<u32>().ok()));
            if batch.ended {
                break;
            }
        }
        let Some((ticket, request, _)) = walk.poll_fetch(&mut next_ticket, true) else { break };
        let PageRequest::Listing { offset, limit, .. } = request else { unreachable!("only listings are asked for") };
        let cap = if n >= capped_from { cap } else { limit };
        let wrong = wrong.filter(|(_, at)| *at == n).map(|(wrong, _)| wrong);
        let from = if matches!(wrong, Some(Wrong::IgnoresOffset)) { 0 } else { offset.min(len) };
        let to = (from + limit.min(cap)).min(len);
        let mut slots: Vec<Slot> = (from..to).filter(|at| Some(*at) != hidden).map(slot).collect();
        let mut next = if to < len { Next::Goes { offset: Some(to) } } else { Next::End };
        let mut total = len;
        match wrong {
            Some(Wrong::Cut(rows)) => {
                slots.truncate(rows);
                next = Next::End;
            }
            Some(Wrong::Counts(more)) => total = u32::try_from(i64::from(len) + more).unwrap_or(0),
            Some(Wrong::IgnoresOffset) | None => {}
        }
        walk.handle_page(
            ticket,
            Ok(Page { total: Some(total), limit: Some(limit.min(cap)), next, slots, ..Page::default() }),
        );
    }
    let case = format!("{len} by {limit}, {hidden:?} withheld, {cap} a page from {capped_from} on, {wrong:?}");
    assert!(walk.ended && walk.fault.is_none(), "{case}: {walk:?}");
    let PassFindings { unsteady, is_broken, has_hole, .. } = walk.tip.walk.found;
    if unsteady || is_broken || has_hole {
        return;
    }
    came.sort_unstable();
    came.dedup();
    let missing = (0..len).filter(|at| Some(*at) != hidden && !came.contains(at)).count() as u32;
    let told = walk.tip.total.unwrap_or(0).saturating_sub(came.len() as u32);
    assert!(missing <= told.saturating_sub(u32::from(hidden.is_some())), "{case}: {came:?} of {:?}", walk.tip.total);
}
