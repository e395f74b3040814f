//! What the gate counted and learned, and the pauses that it finds again.

use super::*;

fn entry(family: Family, started_at: DateTime<Utc>, requests: u32, refusals: u32) -> LedgerEntry {
    LedgerEntry { family, started_at, requests, refusals }
}

#[test]
fn requests_add_up_and_old_ones_are_forgotten() {
    on_both(async |db| {
        let day = 24 * 3600;
        let first = [entry(Family::Tracks, at(0), 5, 1), entry(Family::Player, at(300), 1, 0)];
        db.store.save_ledger(&first, at(310)).await.unwrap();
        let more = [entry(Family::Tracks, at(0), 2, 0), entry(Family::Tracks, at(300), 4, 2)];
        db.store.save_ledger(&more, at(320)).await.unwrap();
        let expected = [
            entry(Family::Player, at(300), 1, 0),
            entry(Family::Tracks, at(0), 7, 1),
            entry(Family::Tracks, at(300), 4, 2),
        ];
        assert_eq!(db.store.load_ledger(at(330)).await.unwrap(), expected);
        assert_eq!(db.cells("day_count", "rate_limits WHERE family = 'tracks'").await, [Some("11".into())]);
        // Nothing of the first five minutes is within a day any more.
        let kept = db.store.load_ledger(at(day + 301)).await.unwrap();
        assert_eq!(kept, [expected[0], expected[2]]);
        assert_eq!(db.count("request_ledger").await, 3);
        db.store.save_ledger(&[entry(Family::Albums, at(3 * day), 1, 0)], at(3 * day)).await.unwrap();
        assert_eq!(db.count("request_ledger").await, 1);
    });
}

#[test]
fn requests_of_a_clock_that_was_ahead_are_stored_as_of_now() {
    on_both(async |db| {
        let year = 365 * 24 * 3600;
        db.store.save_ledger(&[entry(Family::Tracks, at(year), 5, 1)], at(year)).await.unwrap();
        db.store.save_ledger(&[entry(Family::Tracks, at(0), 2, 0)], at(1)).await.unwrap();
        let redated = |change: &mut SharedChange| {
            change.drops_ledger_after = Some(at(600));
            change.ledger = vec![entry(Family::Tracks, at(300), 5, 1)];
        };
        share(db, redated, at(310)).await;
        let expected = [entry(Family::Tracks, at(0), 2, 0), entry(Family::Tracks, at(300), 5, 1)];
        assert_eq!(db.store.load_ledger(at(310)).await.unwrap(), expected);
        assert_eq!(db.store.load_ledger(at(2 * 24 * 3600)).await.unwrap(), []);
    });
}

#[test]
fn what_a_newer_version_sent_to_a_family_of_its_own_counts_and_its_pause_is_passed_over() {
    on_both(async |db| {
        let ours = Pause { scope: Family::Tracks, class: LimitClass::Quota, until: at(900) };
        db.store.save_pause(ours, at(1)).await.unwrap();
        db.store.save_ledger(&[entry(Family::Tracks, at(0), 5, 0)], at(1)).await.unwrap();
        let [zero, later] = [at(0), at(950)].map(|at| crate::store::types::At::from(at).literal());
        for row in [
            format!("request_ledger (family, started_at, requests, refusals) VALUES ('to_come', {zero}, 7, 1)"),
            format!(
                "rate_limits (family, blocked_until, class, updated_at) VALUES ('to_come', {later}, 'quota', {zero})"
            ),
            format!("cooldowns (family, class, began_at, ends_at) VALUES ('to_come', 'quota', {zero}, {later})"),
        ] {
            db.execute(&format!("INSERT INTO {row}")).await;
        }
        let counted = [entry(Family::Application, at(0), 7, 1), entry(Family::Tracks, at(0), 5, 0)];
        assert_eq!(db.store.load_ledger(at(2)).await.unwrap(), counted);
        assert_eq!(db.store.load_pauses(at(2)).await.unwrap(), [ours]);
        let found = share(db, |_| {}, at(2)).await;
        assert_eq!((found.pauses.len(), found.ledger), (1, Some(counted.to_vec())));
        let told = db.store.cooldowns_since(at(0)).await.unwrap();
        assert_eq!(told.iter().map(|entry| entry.family).collect::<Vec<_>>(), [Family::Tracks]);
        // What is noted here leaves it alone.
        db.store.save_ledger(&[entry(Family::Application, at(0), 1, 0)], at(3)).await.unwrap();
        assert_eq!(db.cells("requests", "request_ledger WHERE family = 'to_come'").await, [Some("7".into())]);
    });
}

#[test]
fn what_was_learned_is_found_again_until_it_is_forgotten() {
    on_both(async |db| {
        assert_eq!(db.store.load_learned_rate().await.unwrap(), None);
        let refused = Some(RefusedLevel { level: 51, at: at(7), times: 2 });
        for refused in [None, refused] {
            let learned = LearnedRate { requests: 47.5, window: Duration::from_secs(30), refused };
            share(db, |change| change.learned = Some(learned), at(8)).await;
            assert_eq!(db.store.load_learned_rate().await.unwrap(), Some(learned));
            assert_eq!(share(db, |_| {}, at(9)).await.learned, Some(learned));
        }
        db.store.forget_learned_rate().await.unwrap();
        assert_eq!(db.store.load_learned_rate().await.unwrap(), None);
    });
}

#[test]
fn a_pause_is_told_from_when_it_was_noted_whatever_touches_its_row() {
    on_both(async |db| {
        let quota = |scope, until| Pause { scope, class: LimitClass::Quota, until: at(until) };
        let rate = Pause { scope: Family::Application, class: LimitClass::Rate, until: at(1240) };
        for (pause, noted_at) in [
            (rate, 1210),
            (quota(Family::Tracks, 5000), 1210),
            (quota(Family::Albums, 1700), 1210),
            (quota(Family::Player, 1300), 1210),
            (quota(Family::Artists, 8000), 1230),
        ] {
            db.store.save_pause(pause, at(noted_at)).await.unwrap();
        }
        // Each of these touches the row of its family.
        let entries = [
            entry(Family::Tracks, at(900), 3, 1),
            entry(Family::Tracks, at(1500), 1, 0),
            entry(Family::Albums, at(1200), 3, 2),
            entry(Family::Albums, at(2400), 1, 1),
            entry(Family::Player, at(1200), 3, 0),
        ];
        db.store.save_ledger(&entries, at(2500)).await.unwrap();
        let told = db.store.cooldowns_since(at(0)).await.unwrap();
        let told: Vec<_> = told.iter().map(|pause| (pause.family, pause.from, pause.until)).collect();
        let expected = [
            (Family::Application, at(1210), at(1240)),
            (Family::Tracks, at(1210), at(5000)),
            (Family::Albums, at(1210), at(1700)),
            (Family::Player, at(1210), at(1300)),
            (Family::Artists, at(1230), at(8000)),
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn cooldowns_of_the_last_day_are_told_each_once_and_from_their_beginning() {
    on_both(async |db| {
        let pause = |scope, class, until| Pause { scope, class, until: at(until) };
        let all = |until| pause(Family::Application, LimitClass::Rate, until);
        // Reported again while in force, extended, refused again for the probe, and a separate one.
        for (noted_at, pause) in [
            (0, all(10)),
            (1, pause(Family::Tracks, LimitClass::Quota, 3601)),
            (2, all(10)),
            (5, all(20)),
            (20, all(25)),
            (60, all(70)),
        ] {
            db.store.save_pause(pause, at(noted_at)).await.unwrap();
        }
        // It is lifted, but remains in the past cooldowns.
        share(db, |change| change.lifts = Some(at(70)), at(71)).await;
        db.store.note_ceiling(pause(Family::Albums, LimitClass::Ceiling, 90), at(72)).await.unwrap();
        let told = async |since| {
            let told = db.store.cooldowns_since(at(since)).await.unwrap();
            told.into_iter().map(|told| (told.family, told.from, told.until)).collect::<Vec<_>>()
        };
        let expected = [
            (Family::Application, at(0), at(25)),
            (Family::Tracks, at(1), at(3601)),
            (Family::Application, at(60), at(70)),
            (Family::Albums, at(72), at(90)),
        ];
        assert_eq!(told(-1).await, expected);
        assert_eq!(told(30).await, expected[1..]);
        assert_eq!(told(90).await, expected[1..2]);
        for number in 2..310 {
            let ceiling = pause(Family::Albums, LimitClass::Ceiling, number * 60 + 1);
            db.store.note_ceiling(ceiling, at(number * 60)).await.unwrap();
        }
        assert_eq!(told(-1).await.len(), 288);
    });
}

#[test]
fn a_pause_that_is_over_is_noted_until_a_request_went_through() {
    on_both(async |db| {
        let rate = Pause { scope: Family::Application, class: LimitClass::Rate, until: at(60) };
        let quota = Pause { scope: Family::Tracks, class: LimitClass::Quota, until: at(500) };
        for pause in [rate, quota] {
            db.store.save_pause(pause, at(50)).await.unwrap();
        }
        let noted = [rate, quota].map(|pause| NotedPause { pause, noted_at: at(50) });
        assert_eq!(share(db, |_| {}, at(70)).await.pauses, noted);
        // A longer one has begun since the request that went through was sent.
        share(db, |change| change.lifts = Some(at(59)), at(71)).await;
        assert_eq!(share(db, |_| {}, at(72)).await.pauses.len(), 2);
        share(db, |change| change.lifts = Some(at(60)), at(73)).await;
        assert_eq!(share(db, |_| {}, at(74)).await.pauses, noted[1..]);
    });
}

#[test]
fn what_a_gate_notes_others_find() {
    on_both(async |db| {
        let noted = GateProcess {
            waiting_since: Some(at(3)),
            held: Sent { requests: 4, until: at(7) },
            has_block: true,
            answered: vec![Sent { requests: 2, until: at(1) }, Sent { requests: 1, until: at(2) }],
            ..process(1, at(5))
        };
        let probe = ProbeClaim { by: noted.owner.id, until: at(45) };
        let entries = vec![entry(Family::Tracks, at(0), 5, 1)];
        let change = |change: &mut SharedChange| {
            (change.process, change.probe, change.ledger) = (noted.clone(), Some(probe), entries.clone());
        };
        assert_eq!(share(db, change, at(5)).await, SharedLimits { ledger: Some(Vec::new()), ..Default::default() });
        let found = share(db, |change| change.process = process(2, at(6)), at(6)).await;
        assert_eq!((found.processes, found.probe, found.ledger), (vec![noted.clone()], Some(probe), Some(entries)));
        let forgets = |change: &mut SharedChange| {
            (change.process, change.forgotten) = (process(2, at(9)), vec![noted.owner.id]);
        };
        share(db, forgets, at(9)).await;
        let found = share(db, |change| change.process = process(2, at(9)), at(9)).await;
        assert_eq!((found.processes, found.probe), (vec![process(2, at(9))], None));
        db.store.forget_sent().await.unwrap();
        assert_eq!(db.count("gate_processes").await, 0);
    });
}

/// Each adds one to what it finds, as a window is counted.
#[test]
fn processes_look_one_at_a_time() {
    on_both(async |db| {
        let others =
            [Store::open_existing(&db.url, "one").await.unwrap(), Store::open_existing(&db.url, "two").await.unwrap()];
        let count = async |store: &Store, number: u8| {
            for _ in 0..20 {
                let rule = |found: &SharedLimits| {
                    let counted: u32 = found.processes.iter().map(|process| process.held.requests).max().unwrap_or(0);
                    let held = Sent { requests: counted + 1, until: at(9) };
                    Some((changed(GateProcess { held, ..process(number, at(5)) }), counted))
                };
                store.share_limits(false, at(5), rule).await.unwrap();
            }
        };
        let counts = (count(&db.store, 1), count(&others[0], 2), count(&others[1], 3));
        futures_util::future::join3(counts.0, counts.1, counts.2).await;
        assert_eq!(db.cells("max(held)", "gate_processes").await, [Some("60".into())]);
    });
}

#[test]
fn a_look_that_rules_nothing_notes_nothing() {
    on_both(async |db| {
        let looked: Option<()> = db.store.share_limits(false, at(5), |_| None).await.unwrap();
        assert_eq!((looked, db.cells("count(*)", "gate_processes").await), (None, vec![Some("0".into())]));
    });
}

fn process(number: u8, seen_at: DateTime<Utc>) -> GateProcess {
    let owner = Owner {
        id: Uuid::from_u128(number.into()),
        label: format!("segno sync (process {number})"),
        place: "here".to_owned(),
        pid: number.into(),
    };
    let held = Sent { requests: 0, until: seen_at };
    GateProcess { owner, seen_at, waiting_since: None, held, has_block: false, answered: Vec::new() }
}

fn changed(process: GateProcess) -> SharedChange {
    SharedChange {
        process,
        forgotten: Vec::new(),
        pauses: Vec::new(),
        lifts: None,
        probe: None,
        learned: None,
        drops_ledger_after: None,
        ledger: Vec::new(),
    }
}

/// One look, which changes this. Returns what it found.
async fn share(db: &Db, change: impl FnOnce(&mut SharedChange), now: DateTime<Utc>) -> SharedLimits {
    let rule = |found: &SharedLimits| {
        let mut changed = changed(process(1, now));
        change(&mut changed);
        Some((changed, found.clone()))
    };
    db.store.share_limits(true, now, rule).await.unwrap().unwrap()
}
