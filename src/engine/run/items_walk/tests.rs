//! What the walk of one playlist commits.

use super::{super::item_split::missing, *};
use crate::model::{Item, Next, Phase, PlaylistItem, PlaylistItemKind, Slot};

fn slot(place: u32) -> Slot {
    let name = Some(place.to_string());
    let item = PlaylistItem { kind: PlaylistItemKind::Local, name, ..missing() };
    Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at: None, odd: None }
}

fn plan(batch_size: u32) -> ItemsPlan {
    ItemsPlan { batch_size, page_limit: 50, now: DateTime::<Utc>::UNIX_EPOCH, wait: Duration::ZERO, is_alive: true }
}

/// What the walk of one playlist commits if some rows are counted but not given.
fn parts(len: u32, hidden: &[u32], batch_size: u32) -> Vec<PlaylistPart> {
    parts_of(StalePlaylist { id: "p".into(), total_items: Some(len), ..StalePlaylist::default() }, hidden, batch_size)
}

fn parts_of(playlist: StalePlaylist, hidden: &[u32], batch_size: u32) -> Vec<PlaylistPart> {
    let len = playlist.total_items.unwrap();
    let mut walk = ItemsWalk::new(Checkpoint::start(Phase::InitialSync), vec![playlist], plan(batch_size));
    let (mut ticket, mut parts) = (Ticket::default(), Vec::new());
    while !walk.is_finished() {
        if let Some(batch) = walk.poll_batch() {
            parts.extend(batch.parts);
        }
        while let Some((ticket, request, _)) = walk.poll_fetch(&mut ticket, true) {
            let PageRequest::PlaylistItems { offset, limit, .. } = request else { panic!("{request:?}") };
            let to = (offset + limit).min(len);
            let next = if to < len { Next::Goes { offset: Some(to) } } else { Next::End };
            let slots = (offset..to).filter(|at| !hidden.contains(at)).map(slot).collect();
            walk.handle_page(ticket, Ok(Page { total: Some(len), next, slots, ..Page::default() }));
        }
    }
    parts
}

/// The store accepts only parts that follow each other: one hidden item made it drop 181 of 230.
#[test]
fn parts_follow_each_other_wherever_rows_are_hidden() {
    for hidden in [vec![], vec![0], vec![20], vec![49], vec![50], vec![99, 100], vec![229], vec![3, 120, 121]] {
        for batch_size in [50, 200, 500] {
            let parts = parts(230, &hidden, batch_size);
            assert!(parts.windows(2).all(|pair| pair[0].end_offset() == pair[1].offset), "{hidden:?}: {parts:?}");
            let num_items: usize = parts.iter().map(|part| part.items.len()).sum();
            let num_hidden: u32 = parts.iter().map(|part| part.num_hidden).sum();
            assert_eq!((num_items, num_hidden as usize), (230 - hidden.len(), hidden.len()), "{hidden:?}");
            let end = PlaylistEnd::Complete { snapshot_id: None, total: 230, failure: None, healed: Vec::new() };
            assert_eq!(parts.last().and_then(|part| part.end.clone()), Some(end), "{hidden:?}");
        }
    }
}

/// Found by the simulation: one answer of the listing counted none of its items, and the playlist was taken for empty.
#[test]
fn a_playlist_that_the_listing_counts_as_empty_is_asked_for() {
    for (num_held, shown, is_empty) in [(None, 0, true), (Some(0), 0, true), (None, 3, false), (Some(0), 3, false)] {
        let playlist =
            StalePlaylist { id: "p".into(), total_items: Some(0), num_held, is_own: true, ..StalePlaylist::default() };
        let mut walk = ItemsWalk::new(Checkpoint::start(Phase::InitialSync), vec![playlist], plan(50));
        let (ticket, ..) = walk.poll_fetch(&mut Ticket::default(), true).expect("a request");
        let page =
            Page { total: Some(shown), next: Next::End, slots: (0..shown).map(slot).collect(), ..Page::default() };
        walk.handle_page(ticket, Ok(page));
        let parts = walk.poll_batch().expect("a batch").parts;
        let end = parts.last().and_then(|part| part.end.clone());
        let is_whole = matches!(end, Some(PlaylistEnd::Complete { total: 0, failure: None, .. }));
        assert_eq!(is_whole, is_empty, "{num_held:?} {shown}: {end:?}");
    }
}

#[test]
fn while_nothing_is_answered_no_playlist_is_to_blame() {
    let playlist = |id: &str| StalePlaylist { id: id.into(), total_items: Some(3), is_own: true, ..Default::default() };
    let plan = ItemsPlan { is_alive: false, ..plan(50) };
    let mut walk = ItemsWalk::new(Checkpoint::start(Phase::InitialSync), ["p", "q", "r"].map(playlist).to_vec(), plan);
    let mut next_ticket = Ticket::default();
    for _ in 0..20 {
        while let Some((ticket, ..)) = walk.poll_fetch(&mut next_ticket, true) {
            walk.handle_page(ticket, Err(Fault::Unreachable("nobody is there".into())));
        }
        assert!(walk.poll_batch().is_none(), "{walk:?}");
    }
    assert!(walk.fault().is_some() && walk.is_doubtful(), "{walk:?}");
}

/// The gap stayed open, and the history of the playlist waited for it.
#[test]
fn a_whole_reading_ends_the_gaps_of_earlier_ones() {
    let gaps = vec![(10, 11), (60, 70), (300, 301)];
    let playlist = StalePlaylist { id: "p".into(), total_items: Some(230), gaps: gaps.clone(), ..Default::default() };
    let parts = parts_of(playlist, &[], 500);
    let Some(PlaylistEnd::Complete { healed, .. }) = parts.last().and_then(|part| part.end.clone()) else {
        panic!("{parts:?}")
    };
    assert_eq!(healed, gaps);
}
