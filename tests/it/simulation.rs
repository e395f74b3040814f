//! The simulation of everything (`tests/simulation`), for as long as there is time: a minute on a server that runs all
//! tests, ten seconds elsewhere, `SEGNO_SIMULATION_SECONDS` otherwise. `cargo run --release --example simulate` runs it
//! at length.

#[path = "../simulation/mod.rs"]
mod lives;

use crate::support::needs;
use lives::{
    listener::Listening,
    live, live_traced,
    nodes::{Fleet, NodeFault},
    odds::Odd,
    rest::Rest,
    scenario::{Failure, Injection, Scenario, Settings, everything},
    shrink,
    tally::Tally,
};
use segno::{
    engine::run::BatchSizes,
    model::{
        EntityType::{self, Albums, Artists, Audiobooks, Episodes, Playlists, Tracks},
        Family, PerEntity,
    },
};
use std::time::{Duration, Instant};

/// Lives that run however slow the machine is.
const LIVES_MIN: u64 = 100;

/// Of these, lives with nodes, whose constant heartbeats make each take a while.
const LIVES_WITH_NODES: u64 = 25;

fn seconds() -> u64 {
    let wanted = std::env::var("SEGNO_SIMULATION_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    wanted.unwrap_or(if needs::all_is_required() { 60 } else { 10 })
}

#[test]
fn no_life_breaks_a_guarantee() {
    let (until, mut total) = (Instant::now() + Duration::from_secs(seconds()), Tally::default());
    for seed in 0.. {
        if seed >= LIVES_MIN && Instant::now() >= until {
            break;
        }
        total += lived(&Scenario::new(seed));
    }
    println!("{total}");
    assert!(total.num_kinds() > 20, "too few kinds of faults came up");
}

#[test]
fn no_life_with_nodes_breaks_a_guarantee() {
    let mut total = Tally::default();
    (0..LIVES_WITH_NODES).for_each(|seed| total += lived(&Scenario::new(seed).among_nodes()));
    println!("{total}");
}

/// `cargo run --release --example simulate -- --rest 10000` does it with more.
#[test]
fn accounts_at_rest_are_kept_current_for_a_day_and_stay_where_they_are() {
    let rest = Rest { seed: 1, accounts: 120, nodes: 3, limit: Rest::limit_for(120), hours: 24 };
    let rested = lives::rest::rest(rest).unwrap_or_else(|broken| panic!("{}: {}", broken.guarantee, broken.what));
    println!("{rested}");
    assert!(rested.runs >= 120 * 7 * 3 && rested.polls >= 120 * 23, "{rested}");
}

/// A failure that cannot be reproduced cannot be fixed.
#[test]
fn a_life_is_the_same_whenever_it_is_lived() {
    for seed in 0..20 {
        let scenario = Scenario::new(seed);
        let told = |tally: Tally| tally.to_string();
        assert_eq!(live(&scenario).map(told).ok(), live_traced(&scenario).map(told).ok(), "seed {seed}");
    }
}

/// Found by the simulation, as are the lives below, which it also minimised.
#[test]
fn one_total_that_is_too_small_hides_nothing_that_follows() {
    for entity in [Tracks, Playlists] {
        for step in 0..60 {
            let mut scenario = calm(&[(Tracks, 30), (Playlists, 30)], BatchSizes { initial: 10, incremental: 10 });
            scenario.script = vec![(step, Injection::LieTotal { entity, delta: -20, num: 1 })];
            lived(&scenario);
        }
    }
}

#[test]
fn what_slides_between_the_pieces_of_a_page_is_read_again() {
    for step in 20..200 {
        let mut scenario = calm(&[(Albums, 6), (Playlists, 6)], BatchSizes { initial: 200, incremental: 10 });
        scenario.script = vec![
            (0, Injection::Spoil { entity: Albums, at: 4 }),
            (0, Injection::Spoil { entity: Playlists, at: 4 }),
            (step, Injection::Remove { entity: Albums, at: 0, count: 2 }),
            (step, Injection::Remove { entity: Playlists, at: 0, count: 2 }),
        ];
        lived(&scenario);
    }
}

#[test]
fn an_outage_that_ends_while_a_page_is_halved_loses_nothing() {
    for step in 150..260 {
        let mut scenario =
            calm(&[(Tracks, 5), (Albums, 19), (Playlists, 6)], BatchSizes { initial: 23, incremental: 163 });
        let how = Failure::Broken;
        scenario.script = vec![(21, Injection::Down { seconds: 4_000 }), (step, Injection::Fail { num: 1, how })];
        lived(&scenario);
    }
}

#[test]
fn a_gate_that_dies_does_not_forget_what_its_window_holds() {
    for step in 20..160 {
        let mut scenario =
            calm(&[(Tracks, 60), (Albums, 60), (Playlists, 14)], BatchSizes { initial: 10, incremental: 50 });
        scenario.settings.requests = None;
        scenario.script = vec![(step, Injection::PanicGate)];
        lived(&scenario);
    }
}

#[test]
fn a_stop_does_not_make_a_walk_complete_that_has_to_be_repeated() {
    let mut scenario =
        calm(&[(Tracks, 29), (Artists, 12), (Playlists, 27)], BatchSizes { initial: 19, incremental: 849 });
    (scenario.seed, scenario.playlist_items, scenario.settings.is_routine) = (967_966, 0, true);
    let entity = Playlists;
    scenario.script = vec![
        (8, Injection::Add { entity, count: 12 }),
        (17, Injection::Remove { entity, at: 1_415_796_492, count: 2 }),
        (17, Injection::Add { entity, count: 2 }),
        (22, Injection::Add { entity: Tracks, count: 3 }),
        (31, Injection::Add { entity: Tracks, count: 1 }),
        (40, Injection::Resave { entity, at: 3_239_704_705 }),
        (51, Injection::Add { entity: Albums, count: 1 }),
        (64, Injection::Stop { down_s: 5_000 }),
    ];
    lived(&scenario);
}

#[test]
fn an_artist_that_only_the_first_page_counts_is_not_missed() {
    for step in 20..160 {
        let mut scenario = calm(&[(Artists, 17)], BatchSizes { initial: 10, incremental: 10 });
        scenario.script = vec![
            (step, Injection::Odd(Odd::OldCopy { entity: Artists, num: 3, is_behind: true })),
            (step, Injection::Add { entity: Artists, count: 1 }),
            (step + 80, Injection::PanicSyncer { entity: Artists, times: 1 }),
        ];
        lived(&scenario);
    }
}

/// The page is filled up from behind, and what is removed afterwards makes the total right again.
#[test]
fn a_row_that_a_page_lacks_is_not_made_up_for_by_a_removal() {
    for step in 20..140 {
        for later in [30, 60, 100, 140] {
            let mut scenario = calm(&[(Audiobooks, 33)], BatchSizes { initial: 10, incremental: 10 });
            let entity = Audiobooks;
            scenario.script = vec![
                (step, Injection::Odd(Odd::Fill { entity, at: 196_990_196, skip: 0 })),
                (step + later, Injection::Remove { entity, at: 3_773_710_052, count: 1 }),
            ];
            lived(&scenario);
        }
    }
}

/// Its row at the head has neither an id nor a date.
#[test]
fn an_item_that_is_saved_again_while_its_row_is_empty_is_not_removed() {
    for (silenced, saved) in (100..400).step_by(25).flat_map(|step| [(step, step + 40), (step, step + 200)]) {
        for at in 0..2 {
            let mut scenario = calm(&[(Albums, 2)], BatchSizes { initial: 50, incremental: 50 });
            let entity = Albums;
            scenario.script = vec![
                (silenced, Injection::Silence { entity, at, is_dated: false }),
                (saved, Injection::Add { entity, count: 3 }),
                (saved + 10, Injection::Resave { entity, at: 3 + at }),
            ];
            lived(&scenario);
        }
    }
}

#[test]
fn a_calendar_set_forward_in_a_pause_makes_nothing_spin() {
    let mut scenario =
        calm(&[(Tracks, 10), (Artists, 3), (Albums, 10), (Playlists, 3)], BatchSizes { initial: 50, incremental: 50 });
    scenario.settings.longest_wait = Some(300);
    scenario.script = vec![
        (0, Injection::Quota { family: Family::Tracks, hours: Some(20) }),
        (60, Injection::Jump { seconds: 90_000 }),
        (61, Injection::Want { entity: Tracks }),
    ];
    lived(&scenario);
}

/// Its look at what others have sent reaches the database when it continues.
#[test]
fn a_node_that_freezes_while_it_looks_forgets_nothing_that_others_send_meanwhile() {
    let mut scenario =
        calm(&[(Playlists, 20), (Episodes, 1), (Audiobooks, 1)], BatchSizes { initial: 286, incremental: 200 });
    (scenario.seed, scenario.counts_refused) = (687, true);
    (scenario.settings.requests, scenario.settings.is_routine) = (Some(30), true);
    scenario.listening = Some(Listening { spacing_s: (31, 90), offline: 0 });
    scenario.fleet = Some(Fleet { num: 7, beat_s: 4, num_others: 3 });
    scenario.script = vec![
        (36, Injection::Node(NodeFault::Freezes { at: 1_311_036_882, tenths: 15 })),
        (49, Injection::Node(NodeFault::Comes)),
        (60, Injection::Node(NodeFault::Stops { at: 1_431_610_683, down_s: 40 })),
        (133, Injection::Node(NodeFault::Dies { at: 1_833_571_525, down_s: 3 })),
        (163, Injection::Node(NodeFault::Stops { at: 3_041_223_163, down_s: 40 })),
    ];
    lived(&scenario);
}

/// A life without faults, for tests to disturb.
fn calm(sizes: &[(EntityType, u32)], batches: BatchSizes) -> Scenario {
    let size_of = |entity| sizes.iter().find(|(of, _)| *of == entity).map_or(0, |(_, size)| *size);
    Scenario {
        seed: 7,
        sizes: PerEntity::from_fn(size_of),
        playlist_items: 3,
        ties: 0,
        nulls: 0,
        is_disordered: false,
        hidden_limit: 1_000,
        counts_refused: false,
        window_s: 30,
        settings: Settings {
            batches,
            requests: Some(500),
            longest_wait: None,
            entities: everything(),
            guard: 20,
            is_routine: false,
        },
        listening: None,
        has_guest: false,
        bars_guest: false,
        fleet: None,
        script: Vec::new(),
    }
}

fn lived(scenario: &Scenario) -> Tally {
    live(scenario).unwrap_or_else(|failure| panic!("{}", shrink::story(scenario, &failure)))
}
