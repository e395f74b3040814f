//! How the items of one playlist are read, whatever the API answers.

use super::*;
use crate::{
    engine::run::Ticket,
    model::{Item, Next, Page, PlaylistItem, PlaylistItemKind, Slot},
};

/// The outcome of a reading: the items with their places, how many are hidden, and the requests it took.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    items: Vec<(u32, String)>,
    num_hidden: u32,
    is_unproven: bool,
    requests: u32,
}

/// Reads a playlist with the given answers, until it ends or is seen to move.
fn read(listed: u32, answer: &mut dyn FnMut(u32, u32, u32) -> Page) -> Result<Read, u32> {
    read_by(50, listed, answer)
}

/// The same with pages of at most `limit` rows.
fn read_by(limit: u32, listed: u32, answer: &mut dyn FnMut(u32, u32, u32) -> Page) -> Result<Read, u32> {
    let playlist = StalePlaylist { id: "p".into(), total_items: Some(listed), ..StalePlaylist::default() };
    let mut reading = ItemReading::new(playlist, None, limit);
    let (mut ticket, mut requests, mut items) = (Ticket::default(), 0, Vec::new());
    while requests < 200 {
        let pages: Vec<(u32, u32)> = std::iter::from_fn(|| reading.plan()).take(4).collect();
        assert!(!pages.is_empty(), "nothing is planned: {reading:?}");
        for (offset, limit) in pages {
            let mut page = Assembly::new(offset, limit);
            while let Some((_, offset, limit, _)) = page.poll_piece(&mut ticket) {
                requests += 1;
                page.handle_answer(Ok(answer(requests, offset, limit)), true);
            }
            match reading.absorb(page) {
                Absorbed::Useless => {}
                Absorbed::Moved => return Err(requests),
                Absorbed::Rows { offset, cells, num_before, is_end, .. } => {
                    if offset == num_before {
                        // It started over.
                        items.clear();
                    }
                    items.extend((offset..).zip(cells.iter().map(|cell| key(cell).unwrap().id.unwrap())));
                    if is_end {
                        let ItemReading { num_hidden, is_unproven, .. } = reading;
                        return Ok(Read { items, num_hidden, is_unproven, requests });
                    }
                }
            }
        }
        reading.replan();
    }
    panic!("it reads for ever: {reading:?}");
}

fn slot(name: u32) -> Slot {
    let item = PlaylistItem {
        kind: PlaylistItemKind::Local,
        uri: None,
        name: Some(name.to_string()),
        added_at: None,
        added_by: None,
        track: None,
    };
    Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at: None, odd: None }
}

/// An honest answer, except for the rows that are counted but not given, and a cap.
fn page(items: &[u32], hidden: &[u32], cap: u32, offset: u32, limit: u32) -> Page {
    let total = items.len() as u32;
    let to = (offset + limit.min(cap)).min(total).max(offset.min(total));
    let shown = (offset.min(total)..to).filter(|at| !hidden.contains(at));
    let next = if to < total { Next::Goes { offset: Some(to) } } else { Next::End };
    let slots = shown.map(|at| slot(items[at as usize])).collect();
    Page { total: Some(total), limit: Some(limit.min(cap)), next, slots, ..Page::default() }
}

fn numbers(len: u32) -> Vec<u32> {
    (0..len).collect()
}

fn expected(items: &[u32], hidden: &[u32]) -> Vec<String> {
    let shown = (0..).zip(items).filter(|(at, _)| !hidden.contains(at));
    shown.map(|(_, item)| item.to_string()).collect()
}

fn names(read: &Read) -> Vec<String> {
    read.items.iter().map(|(_, name)| name.clone()).collect()
}

#[test]
fn playlists_of_any_length_are_read_whole_with_hardly_a_request_more_than_needed() {
    for len in (1..=420).chain([1000, 2000, 5000]) {
        let items = numbers(len);
        let read = read(len, &mut |_, offset, limit| page(&items, &[], 50, offset, limit)).unwrap();
        assert_eq!((names(&read), read.num_hidden), (expected(&items, &[]), 0));
        assert!(read.items.iter().map(|(at, _)| *at).eq(0..len), "at its place");
        let least = len.div_ceil(50);
        assert!(read.requests <= least + least / LINKED_PER_EXTRA, "{len} took {}", read.requests);
    }
}

/// Pages that are not linked, and from one on an answer from before an item was moved.
#[test]
fn a_page_from_an_older_copy_repeats_what_has_moved() {
    for len in [100, 130, 150, 200, 250, 1000] {
        let old = numbers(len);
        for (from, to) in [(60, 3), (3, 60), (len - 1, 0), (0, len - 1), (99, 50), (50, 49)] {
            let mut new = old.clone();
            let moved = new.remove(from as usize);
            new.insert(to as usize, moved);
            for stale_from in (49..len).step_by(25) {
                let mut answer = |_, offset, limit| {
                    let items = if offset >= stale_from { &old } else { &new };
                    page(items, &[], 50, offset, limit)
                };
                if let Ok(read) = read(len, &mut answer) {
                    let is_of_one_moment = [&new, &old].iter().any(|items| names(&read) == expected(items, &[]));
                    assert!(is_of_one_moment, "{len}: {from} to {to}, older from {stale_from}: {:?}", names(&read));
                }
            }
        }
    }
}

/// Found by the simulation: the first page was of an older version, one of whose rows was hidden.
#[test]
fn pages_that_count_fewer_items_than_they_show_prove_nothing() {
    for (len, denied, total, is_unproven) in [
        (120, 0..1, 0, true),
        (120, 1..2, 0, true),
        (120, 0..0, 0, false),
        (5, 0..1, 1, true),
        (5, 0..1, 4, true),
        (5, 0..1, 0, true),
        // A length of zero is known to be told of playlists that have items.
        (120, 0..9, 0, false),
        (5, 0..9, 0, false),
    ] {
        let mut answer = |n, offset, limit| {
            let page = page(&numbers(len), &[], 50, offset, limit);
            if denied.contains(&(n - 1)) { Page { total: Some(total), ..page } } else { page }
        };
        let read = read(len, &mut answer).expect("it ends");
        assert_eq!((read.items.len() as u32, read.is_unproven), (len, is_unproven), "{len}: {denied:?} {total}");
    }
}

#[test]
fn rows_that_are_counted_and_not_given_are_no_end() {
    let items = numbers(230);
    for hidden in [vec![0], vec![10], vec![48], vec![49], vec![50], vec![98], vec![229], vec![3, 4, 60], vec![49, 50]] {
        let read = read(230, &mut |_, offset, limit| page(&items, &hidden, 50, offset, limit)).unwrap();
        assert_eq!(names(&read), expected(&items, &hidden), "{hidden:?}");
        assert_eq!(read.num_hidden, hidden.len() as u32, "{hidden:?}");
        assert!(read.requests <= 12, "{hidden:?} took {}", read.requests);
    }
}

/// Found by the simulation: the page after it was asked for as far on as a page without a cap would reach.
#[test]
fn a_capped_page_of_which_nothing_is_given_is_as_long_as_its_cap() {
    let items = numbers(100);
    for (from, to) in [(20, 39), (19, 60), (60, 80), (90, 100)] {
        let hidden: Vec<u32> = (from..to).collect();
        let read = read(100, &mut |_, offset, limit| page(&items, &hidden, 20, offset, limit)).unwrap();
        assert_eq!((names(&read), read.num_hidden), (expected(&items, &hidden), to - from), "{from} to {to}");
    }
}

#[test]
fn a_cap_is_learned() {
    for cap in [1, 2, 10, 20, 49] {
        let items = numbers(100);
        let read = read(100, &mut |_, offset, limit| page(&items, &[], cap, offset, limit));
        if cap > 1 {
            let read = read.unwrap();
            assert_eq!((names(&read), read.num_hidden), (expected(&items, &[]), 0), "at most {cap}");
        }
    }
}

#[test]
fn an_end_that_comes_too_early_is_asked_for_again() {
    let items = numbers(40);
    let read = read(40, &mut |request, offset, limit| match request {
        1 => Page { slots: (0..25).map(slot).collect(), next: Next::End, ..page(&items, &[], 50, offset, limit) },
        _ => page(&items, &[], 50, offset, limit),
    });
    assert_eq!(names(&read.unwrap()), expected(&items, &[]));
}

#[test]
fn a_page_without_any_item_where_some_are_counted_is_asked_for_again() {
    for len in [51, 100, 230] {
        let items = numbers(len);
        for empty in 2..=4 {
            let read = read(len, &mut |request, offset, limit| match request {
                _ if request == empty && offset > 0 => {
                    Page { slots: Vec::new(), ..page(&items, &[], 50, offset, limit) }
                }
                _ => page(&items, &[], 50, offset, limit),
            });
            assert_eq!(names(&read.unwrap()), expected(&items, &[]), "{len}, request {empty}");
        }
    }
}

#[test]
fn an_api_that_ignores_the_offset_is_found_out() {
    for len in [60, 100, 230] {
        let items = numbers(len);
        let read = read(len, &mut |_, _, limit| page(&items, &[], 50, 0, limit));
        assert!(read.is_err(), "{len}: {read:?}");
    }
}

#[test]
fn pages_of_an_older_copy_behind_a_fresh_first_one_are_found_out() {
    let (fresh, old) = ([vec![7777], numbers(229)].concat(), numbers(230));
    let read = read(230, &mut |_, offset, limit| page(if offset == 0 { &fresh } else { &old }, &[], 50, offset, limit));
    assert!(read.is_err(), "{read:?}");
}

#[test]
fn another_total_in_every_answer_is_a_playlist_that_moves() {
    let items = numbers(230);
    let read = read(230, &mut |request, offset, limit| Page {
        total: Some(230 - request % 2),
        ..page(&items, &[], 50, offset, limit)
    });
    assert!(read.is_err());
}

#[test]
fn a_track_that_stands_there_many_times_in_a_row_is_read_as_often() {
    for len in [100, 120, 230] {
        let items = vec![7; len as usize];
        let read = read(len, &mut |_, offset, limit| page(&items, &[], 50, offset, limit)).unwrap();
        assert_eq!(names(&read).len(), len as usize);
    }
}

#[test]
fn without_a_total_the_listing_and_the_end_tell_how_long_it_is() {
    let items = numbers(120);
    for listed in [0, 1, 120, 500] {
        let read = read(listed, &mut |_, offset, limit| Page { total: None, ..page(&items, &[], 50, offset, limit) });
        assert_eq!(names(&read.unwrap()), expected(&items, &[]), "listed with {listed}");
    }
}

#[test]
fn a_reading_that_found_something_amiss_links_every_page() {
    let playlist = StalePlaylist { total_items: Some(100), ..StalePlaylist::default() };
    let mut reading = ItemReading::new(playlist, None, 50);
    let plan = |reading: &mut ItemReading| std::iter::from_fn(|| reading.plan()).collect::<Vec<_>>();
    assert_eq!(plan(&mut reading), [(0, 50), (50, 50)]);
    reading.restart();
    assert_eq!(plan(&mut reading), [(0, 50), (49, 50), (98, 50)]);
}

#[test]
fn a_place_is_as_far_as_the_items_are() {
    let items = numbers(100);
    let playlist =
        || StalePlaylist { id: "p".into(), snapshot_id: Some("s".into()), num_read: 50, ..StalePlaylist::default() };
    let mut reading = ItemReading::new(playlist(), None, 50);
    let (offset, limit) = reading.plan().unwrap();
    let mut assembly = Assembly::new(offset, limit);
    let (_, offset, limit, _) = assembly.poll_piece(&mut Ticket::default()).unwrap();
    assembly.handle_answer(Ok(page(&items, &[], 50, offset, limit)), true);
    assert!(matches!(reading.absorb(assembly), Absorbed::Rows { offset: 0, .. }));
    let place = reading.place().unwrap();
    assert_eq!(place.offset, 50);
    // Resumed there, and not from the beginning.
    assert_eq!(ItemReading::new(playlist(), Some(&place), 50).committed, 50);
}

/// Found by the simulation: an item was hidden, and no longer when the playlist was resumed after a crash. The last
/// item was read twice, the count agreed, and the hidden one was missed.
#[test]
fn a_reading_that_is_taken_up_behind_a_short_page_is_linked_to_it() {
    let items = numbers(100);
    let place = |num_short| PlaylistPlace {
        playlist_id: "p".into(),
        snapshot_id: Some("s".into()),
        offset: 99,
        total: 100,
        last: Some(slot(99).key()),
        num_short,
        is_unproven: false,
    };
    let answer = |num_short| {
        let (id, snapshot_id) = ("p".into(), Some("s".into()));
        let playlist = StalePlaylist { id, snapshot_id, num_read: 99, ..StalePlaylist::default() };
        let mut reading = ItemReading::new(playlist, Some(&place(num_short)), 50);
        let (offset, limit) = reading.plan().unwrap();
        let mut assembly = Assembly::new(offset, limit);
        let (_, offset, limit, _) = assembly.poll_piece(&mut Ticket::default()).unwrap();
        assembly.handle_answer(Ok(page(&items, &[], 50, offset, limit)), true);
        reading.absorb(assembly)
    };
    assert!(matches!(answer(1), Absorbed::Moved), "{:?}", answer(1));
}

/// What is wrong with one answer of a reading.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Cut(usize),
    IgnoresOffset,
}

/// Every small playlist, with any two rows withheld, any cap from any request on, and any one answer wrong as well.
#[test]
fn whatever_is_withheld_capped_or_wrong_once_is_read_right_or_found_out() {
    let wrongs = [None, Some(Wrong::Cut(0)), Some(Wrong::Cut(1)), Some(Wrong::Cut(2)), Some(Wrong::IgnoresOffset)];
    for wrong in wrongs {
        for limit in 2..=4 {
            for len in 1..=7 {
                for hidden in pairs(len) {
                    for (cap, capped_from) in (1..=limit).flat_map(|cap| (1..=5).map(move |from| (cap, from))) {
                        for wrong_at in 1..=wrong.map_or(1, |_| 5) {
                            try_small(limit, len, &hidden, (cap, capped_from), wrong.map(|wrong| (wrong, wrong_at)));
                        }
                    }
                }
            }
        }
    }
}

fn pairs(len: u32) -> Vec<Vec<u32>> {
    let ones = (0..len).flat_map(|one| (one..len).map(move |other| (one, other)));
    let pair = |(one, other)| if one == other { vec![one] } else { vec![one, other] };
    std::iter::once(Vec::new()).chain(ones.map(pair)).collect()
}

fn try_small(limit: u32, len: u32, hidden: &[u32], (cap, capped_from): (u32, u32), wrong: Option<(Wrong, u32)>) {
    let items = numbers(len);
    let read = read_by(limit, len, &mut |request, offset, limit| {
        let cap = if request >= capped_from { cap } else { limit };
        let honest = |offset| page(&items, hidden, cap, offset, limit);
        match wrong.filter(|(_, at)| *at == request) {
            Some((Wrong::Cut(rows), _)) => {
                let mut page = honest(offset);
                page.slots.truncate(rows);
                Page { next: Next::End, ..page }
            }
            Some((Wrong::IgnoresOffset, _)) => honest(0),
            None => honest(offset),
        }
    });
    let case = format!("{len} by {limit}, {hidden:?} withheld, {cap} a page from {capped_from} on, {wrong:?}");
    let Ok(read) = read else { return };
    assert!(cap == 1 || !read.is_unproven, "{case}");
    if read.is_unproven {
        return;
    }
    let came: Vec<u32> = read.items.iter().map(|(_, name)| name.parse().unwrap()).collect();
    assert!(came.is_sorted_by(|one, next| one < next), "{case}: {came:?}");
    assert_eq!(came.len() as u32 + read.num_hidden, len, "{case}: {came:?}");
    if wrong.is_none() && (hidden.is_empty() || cap == limit) {
        assert_eq!(names(&read), expected(&items, hidden), "{case}");
    }
}

#[test]
fn a_reading_heals_what_it_has_read_itself() {
    let place = PlaylistPlace {
        playlist_id: "p".into(),
        snapshot_id: Some("s".into()),
        offset: 50,
        total: 100,
        last: None,
        num_short: 0,
        is_unproven: false,
    };
    let gaps = vec![(10, 11), (50, 60), (70, 80), (90, 95)];
    let playlist =
        StalePlaylist { id: "p".into(), snapshot_id: Some("s".into()), num_read: 50, gaps, ..Default::default() };
    let mut reading = ItemReading::new(playlist, Some(&place), 50);
    reading.unread = vec![(75, 76)];
    assert_eq!(reading.healed(), [(50, 60), (90, 95)]);
    reading.restart();
    assert_eq!(reading.healed(), reading.playlist.gaps);
}
