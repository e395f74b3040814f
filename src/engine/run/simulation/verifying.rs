//! What no count can reveal: found by the slices of a service within one pass, or at once when a person orders it, with
//! a predictable number of requests, and never by marking anything removed that was not seen to be gone.

use super::{
    a_long_playlist, seeds, synced,
    world::{Conditions, Edit, Lie, World},
};
use crate::{
    engine::run::{Purpose, RunEnd, VerifySchedule},
    model::EntityType,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// As by default.
const ROUTINE: Purpose = Purpose::Routine(VerifySchedule {
    interval: Duration::from_secs(6 * 3600),
    verify_every: Duration::from_secs(7 * 24 * 3600),
    artists_every: Duration::from_secs(24 * 3600),
});

/// Those whose listings come newest first.
fn saved() -> impl Iterator<Item = EntityType> {
    EntityType::ALL.iter().copied().filter(|entity| entity.is_newest_first())
}

/// One that came in behind the head and one that left: the length stays.
fn swap(world: &mut World) {
    let at = world.anywhere();
    world.remove(at);
    let at = world.anywhere();
    world.slip_in(at);
}

/// Found by a server that was written without the code.
#[test]
fn a_row_of_somebody_else_in_the_place_of_one_marks_nothing_removed() {
    for entity in saved() {
        let mut world = synced(entity, 1_000);
        serve(&mut world, WEEK, |_, _| ());
        world.lie = Lie::Foreign { times: 1 };
        // G3 is checked as it runs.
        serve(&mut world, WEEK, |_, _| ());
        assert!(matches!(world.lie, Lie::Foreign { times: 0 }));
        world.check_equal();
    }
}

/// Runs of a service, one every interval; returns the most requests that one of them took.
fn serve(world: &mut World, num_runs: u32, between: impl Fn(&mut World, u32)) -> u32 {
    world.purpose = ROUTINE;
    let mut most = 0;
    for n in 0..num_runs {
        world.now += 6 * HOUR;
        between(world, n);
        let before = world.requests;
        world.run(false);
        most = most.max(world.requests - before);
    }
    most
}

/// The first sync looked at everything, so the first pass begins a week later.
const WEEK: u32 = 28;

#[test]
fn what_a_count_cannot_reveal_is_found_within_one_pass() {
    for seed in 0..seeds() / 8 {
        let size = [30, 120, 201, 420, 1000, 2000][seed as usize % 6];
        let ties = [0, 50, 80][seed as usize / 6 % 3];
        let mut world = World::new(
            seed,
            Conditions { ties, ..Conditions::calm([EntityType::Tracks, EntityType::Albums][seed as usize % 2], size) },
        );
        world.run(false);
        for _ in 0..1 + seed % 3 {
            swap(&mut world);
        }
        world.run(false);
        let walk = size as u32 / 49 + 1;
        let most = serve(&mut world, 2 * WEEK + 1, |_, _| ());
        world.check_equal();
        // At worst a search that finds more than it looks for, and then a walk.
        assert!(most <= 2 * walk + 6, "seed {seed}: {most} requests");
    }
}

#[test]
fn a_library_that_is_used_meanwhile_is_verified_all_the_same() {
    let mut most = 0;
    for seed in 0..seeds() / 40 {
        let mut world = World::new(seed, Conditions { ties: 40, ..Conditions::calm(EntityType::Tracks, 1500) });
        world.run(false);
        serve(&mut world, WEEK, |_, _| ());
        (0..3).for_each(|_| swap(&mut world));
        serve(&mut world, 2 * WEEK, |world, n| {
            // Albums are saved and removed as a whole, now and then.
            if n % 5 == 0 {
                (0..12).for_each(|_| world.add());
            }
            if n % 7 == 3 {
                let at = world.anywhere().min(world.library.len() - 13);
                (0..12).for_each(|_| drop(world.remove(at)));
            }
        });
        world.check_equal();
        most = most.max(serve(&mut world, WEEK, |_, _| ()));
    }
    assert!(most <= 1 + 2 + 2, "{most} requests in a run in which nothing happened");
}

#[test]
fn a_run_of_a_service_reads_its_share_of_the_pass_and_no_more() {
    for (size, share) in [(40, 0), (100, 1), (1_000, 1), (5_000, 4), (10_000, 8)] {
        let mut world = synced(EntityType::Tracks, size);
        assert_eq!(serve(&mut world, WEEK - 1, |_, _| ()), 1, "{size}: the first sync has looked at everything");
        let before = world.requests;
        let most = serve(&mut world, WEEK, |_, _| ());
        assert!(most <= 1 + share, "{size}: {most} requests in one run");
        let spent = world.requests - before - WEEK;
        // Each slice begins with a slot that was looked at before, and one date in two slices is read twice.
        assert!(spent <= size as u32 / 49 + WEEK / 3, "{size}: {spent} requests for a pass");
        assert!(size <= 50 || spent >= size as u32 / 50 - 1, "{size}: {spent} requests for a pass");
    }
}

#[test]
fn slices_survive_every_change_crash_and_refusal() {
    for seed in 0..seeds() / 4 {
        let conditions = Conditions {
            edits: [0, 20, 100][seed as usize % 3],
            crashes: [0, 5, 30][seed as usize / 3 % 3],
            refusals: [0, 5, 40][seed as usize / 9 % 3],
            ties: [0, 50][seed as usize % 2],
            nulls: seed % 4 == 0,
            ..Conditions::calm(EntityType::Tracks, [120, 420, 1000][seed as usize % 3])
        };
        let mut world = World::new(seed, conditions);
        world.purpose = ROUTINE;
        // G2 and G3 are checked in every run.
        for n in 0..30 {
            world.now += 6 * HOUR;
            if n % 8 == 7 && world.library.len() > 60 {
                swap(&mut world);
            }
            world.run(true);
        }
        world.conditions = Conditions { edits: 0, crashes: 0, refusals: 0, ..conditions };
        serve(&mut world, 2 * WEEK + 2, |_, _| ());
        world.check_equal();
    }
}

#[test]
fn an_item_that_is_saved_again_while_a_search_reads_is_not_marked_removed() {
    let again: Edit = World::save_again;
    for seed in 0..40 {
        for after in 2..9 {
            let mut world = synced(EntityType::Tracks, 2_000);
            world.remove(40 + seed * 48);
            let before = world.requests;
            world.edits_at.insert(before + after, again);
            world.run(false);
            let made = world.requests - before;
            if made >= after {
                world.check_equal();
            }
        }
    }
}

#[test]
fn an_item_that_is_saved_again_while_a_slice_reads_is_not_marked_removed() {
    let again: Edit = World::save_again;
    for at in [20, 60, 90, 120] {
        for after in 2..6 {
            let mut world = synced(EntityType::Tracks, 150);
            serve(&mut world, WEEK, |_, _| ());
            world.remove(at);
            world.slip_in(130);
            while world.num_removed() == 0 && world.database.rows.len() == 150 {
                let before = world.requests;
                world.edits_at.insert(before + after, again);
                serve(&mut world, 1, |_, _| ());
                world.edits_at.clear();
            }
            serve(&mut world, 2 * WEEK, |_, _| ());
            world.check_equal();
        }
    }
}

/// An unreadable row, and a removal between the same two runs: only a look there can reveal it.
#[test]
fn a_removal_behind_a_row_that_says_nothing_is_found() {
    let mut world = synced(EntityType::Tracks, 500);
    world.add();
    world.unread.extend(world.library[0].id.clone());
    world.remove(300);
    world.run(false);
    assert_eq!(world.num_removed(), 0, "the count agrees");
    serve(&mut world, 2 * WEEK, |_, _| ());
    assert_eq!(world.num_removed(), 1);
    world.purpose = Purpose::Current;
    // A person's run looks once more for what says nothing.
    world.run(false);
    let requests = world.requests;
    world.run(false);
    assert_eq!(world.requests - requests, 1, "and the count agrees again");
}

/// Found by the simulation: its row, now at the head, passed for one that stands for nothing.
#[test]
fn an_item_that_is_saved_again_while_its_row_says_nothing_is_not_marked_by_one_run() {
    let mut world = synced(EntityType::Tracks, 30);
    serve(&mut world, WEEK, |_, _| ());
    world.unread.extend(world.library[12].id.clone());
    world.remove(12);
    world.save_again();
    let has_missed = |world: &World| {
        let checkpoint = world.database.incremental.as_ref();
        checkpoint.is_some_and(|checkpoint| checkpoint.walk.memory.missed.is_some())
    };
    for _ in 0..3 * WEEK {
        if !has_missed(&world) {
            serve(&mut world, 1, |_, _| ());
        }
    }
    assert!(has_missed(&world) && world.num_removed() == 0, "one run proves nothing");
    world.unread.clear();
    serve(&mut world, 1, |_, _| ());
    world.check_equal();
}

#[test]
fn verifying_at_once_is_a_walk_and_finds_what_a_count_cannot_reveal() {
    for entity in saved() {
        let mut world = synced(entity, 1_000);
        let walk = world.requests;
        for at in [100, 500, 900] {
            world.remove(at);
            world.slip_in(at + 50);
        }
        world.run(false);
        assert_eq!(world.num_removed(), 0, "the count agrees");
        world.purpose = Purpose::Verify;
        let before = world.requests;
        world.run(false);
        world.check_equal();
        assert_eq!(world.num_removed(), 3);
        assert_eq!(world.requests - before, walk);
    }
}

#[test]
fn verifying_that_dies_carries_on_whoever_comes_next() {
    for next in [Purpose::Verify, Purpose::Current, ROUTINE] {
        let mut world = synced(EntityType::Tracks, 1_000);
        (0..3).for_each(|_| swap(&mut world));
        world.purpose = Purpose::Verify;
        world.dies_after = Some(8);
        assert_eq!(world.run(false), None);
        world.purpose = next;
        let before = world.requests;
        world.run(false);
        world.check_equal();
        assert!(world.requests - before <= 21 - 8 + 2, "{next:?}: {} requests", world.requests - before);
    }
}

/// What an ordinary run had begun is finished first; then everything is looked at.
#[test]
fn verifying_after_a_run_that_died_looks_at_everything() {
    let mut world = synced(EntityType::Tracks, 1_000);
    (0..60).for_each(|_| world.add());
    world.dies_after = Some(1);
    assert_eq!(world.run(false), None);
    swap(&mut world);
    world.purpose = Purpose::Verify;
    world.run(false);
    world.check_equal();
}

#[test]
fn verifying_playlists_reads_their_items_again_and_carries_on_where_it_died() {
    for dies_after in [None, Some(1), Some(2), Some(3), Some(5)] {
        let mut world = synced(EntityType::Playlists, 30);
        let (id, items) = a_long_playlist(&world);
        world.database.damage_items(&id);
        world.run(false);
        assert_ne!(world.items_of(&id), items, "the snapshot says that nothing changed");
        world.purpose = Purpose::Verify;
        world.dies_after = dies_after;
        world.run(false);
        if dies_after.is_some() {
            world.run(false);
        }
        assert_eq!(world.items_of(&id), items);
        world.check_equal();
    }
}

#[test]
fn followed_artists_rest_until_they_are_due() {
    let mut world = synced(EntityType::Artists, 120);
    let before = world.requests;
    world.purpose = ROUTINE;
    for hours in [6, 12, 18] {
        world.now += 6 * HOUR;
        let end = world.run(false);
        let is_told =
            matches!(&end, Some(RunEnd::Complete { notes, .. }) if hours == 6 || notes[0].contains("not due before"));
        assert!(is_told, "{end:?}");
    }
    assert_eq!(world.requests, before);
    world.add();
    world.now += 6 * HOUR;
    world.run(false);
    world.check_equal();
    // A person who asks gets the answer at once.
    world.add();
    world.purpose = Purpose::Current;
    world.run(false);
    world.check_equal();
}

#[test]
fn removals_that_are_held_back_do_not_wait_for_the_next_day() {
    let mut world = synced(EntityType::Artists, 120);
    (0..60).for_each(|_| drop(world.remove(0)));
    world.purpose = ROUTINE;
    world.now += 24 * HOUR;
    world.run(false);
    assert_eq!(world.num_removed(), 0);
    world.now += 6 * HOUR;
    world.run(false);
    world.check_equal();
}

#[test]
fn a_renamed_playlist_is_read_once_more_and_not_twice() {
    let mut world = synced(EntityType::Playlists, 30);
    let (id, items) = a_long_playlist(&world);
    world.touch(&id);
    let before = world.requests;
    world.run(false);
    // The listing before and after, and the items between.
    assert_eq!(world.requests - before, 2 + items.len().div_ceil(50) as u32);
    let before = world.requests;
    world.run(false);
    assert_eq!(world.requests - before, 1);
}
