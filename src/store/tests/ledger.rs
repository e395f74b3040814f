//! What the gate counted and learned, and the pauses it finds again.

use super::*;

fn entry(family: Family, started_at: DateTime<Utc>, requests: u32, refusals: u32) -> LedgerEntry {
    LedgerEntry { family, started_at, requests, refusals }
}

#[test]
fn requests_add_up_and_old_ones_are_forgotten() {
    on_both(async |db| {
        let day = 24 * 3600;
        let first = [entry(Family::Tracks, at(0), 5, 1), entry(Family::Player, at(300), 1, 0)];
        db.store.save_ledger(&first, None, false, at(310)).await.unwrap();
        let more = [entry(Family::Tracks, at(0), 2, 0), entry(Family::Tracks, at(300), 4, 2)];
        db.store.save_ledger(&more, None, false, at(320)).await.unwrap();
        let expected = [
            entry(Family::Player, at(300), 1, 0),
            entry(Family::Tracks, at(0), 7, 1),
            entry(Family::Tracks, at(300), 4, 2),
        ];
        assert_eq!(db.store.load_ledger(at(330)).await.unwrap(), expected);
        assert_eq!(db.cells("day_count", "rate_limits WHERE family = 'tracks'").await, [Some("11".into())]);
        // Of the first five minutes nothing is within a day any more.
        let kept = db.store.load_ledger(at(day + 301)).await.unwrap();
        assert_eq!(kept, [expected[0], expected[2]]);
        assert_eq!(db.count("request_ledger").await, 3);
        db.store.save_ledger(&[entry(Family::Albums, at(3 * day), 1, 0)], None, false, at(3 * day)).await.unwrap();
        assert_eq!(db.count("request_ledger").await, 1);
    });
}

#[test]
fn what_was_learned_is_found_again_until_it_is_forgotten() {
    on_both(async |db| {
        assert_eq!(db.store.load_learned_rate().await.unwrap(), None);
        let refused = Some(RefusedLevel { level: 51, at: at(7), times: 2 });
        for refused in [None, refused] {
            let learned = LearnedRate { requests: 47.5, window: Duration::from_secs(30), refused };
            db.store.save_ledger(&[], Some(learned), false, at(8)).await.unwrap();
            assert_eq!(db.store.load_learned_rate().await.unwrap(), Some(learned));
            assert_eq!(db.store.load_gate_note(at(9)).await.unwrap().learned, Some(learned));
        }
        db.store.forget_learned_rate().await.unwrap();
        assert_eq!(db.store.load_learned_rate().await.unwrap(), None);
    });
}

#[test]
fn a_pause_is_told_from_when_it_had_begun_at_the_latest() {
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
        // Each of these touches the row of its family, some after the pause.
        let entries = [
            entry(Family::Tracks, at(900), 3, 1),
            entry(Family::Tracks, at(1500), 1, 0),
            entry(Family::Albums, at(1200), 3, 2),
            entry(Family::Albums, at(2400), 1, 1),
            entry(Family::Player, at(1200), 3, 0),
        ];
        db.store.save_ledger(&entries, None, false, at(2500)).await.unwrap();
        let told = db.store.latest_pauses().await.unwrap();
        let told: Vec<_> = told.iter().map(|pause| (pause.family, pause.from, pause.until)).collect();
        let expected = [
            // Until its row is touched again, that tells best.
            (Family::Application, at(1210), at(1240)),
            (Family::Albums, at(1500), at(1700)),
            (Family::Artists, at(1230), at(8000)),
            // Refused within the five minutes before, as albums were; of the player nothing tells any more.
            (Family::Tracks, at(1200), at(5000)),
        ];
        assert_eq!(told, expected);
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
        assert_eq!(db.store.load_gate_note(at(70)).await.unwrap().pauses, noted);
        // A longer one has come since the request that went through was sent.
        db.store.save_ledger(&[], None, true, at(59)).await.unwrap();
        assert_eq!(db.store.load_gate_note(at(70)).await.unwrap().pauses.len(), 2);
        db.store.save_ledger(&[], None, true, at(60)).await.unwrap();
        assert_eq!(db.store.load_gate_note(at(70)).await.unwrap().pauses, noted[1..]);
    });
}
