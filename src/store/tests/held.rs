//! Removals that are held back: item by item, from when they were missing, until a later look or a person decides.

use super::effects::seen;
use super::*;

const PASS: i64 = 7;

fn nothing() -> Rows {
    Rows::Listing(vec![])
}

fn survey(ripe_at: i64) -> Effects {
    Effects { survey: Some(Survey { pass: Some(PASS), ripe_at: Some(at(ripe_at)) }), ..Effects::default() }
}

fn hold(counts: Counts) -> Effects {
    Effects { hold: Some(Hold { pass: PASS, counts }), ..Effects::default() }
}

fn remove(of: Gone) -> Effects {
    Effects { removal: Some(Removal { pass: PASS, of }), ..Effects::default() }
}

fn held(num_ripe: u32, num_counted: u32, num_confirmed: u32) -> HeldBefore {
    HeldBefore { num_ripe, num_counted, num_confirmed }
}

#[test]
fn each_item_waits_since_it_was_first_missed_and_no_longer_than_it_is_missing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2", "t3", "t4"]), at(1)).await;
        run.commit_with(tracks(&["t3", "t4"]), seen(PASS), at(10)).await;
        run.commit_with(nothing(), hold(Counts::Nothing), at(10)).await;
        assert_eq!(run.commit_with(nothing(), survey(9), at(11)).await.held, held(0, 0, 0), "not long enough");
        assert_eq!(run.commit_with(nothing(), survey(10), at(11)).await.held, held(2, 0, 0));

        // t1 comes back, and t4 is missed as well.
        run.commit_with(nothing(), Effects { reset_seen: true, ..Effects::default() }, at(19)).await;
        run.commit_with(tracks(&["t1", "t3"]), seen(PASS), at(20)).await;
        run.commit_with(nothing(), hold(Counts::AsBefore), at(20)).await;
        assert_eq!(run.commit_with(nothing(), survey(15), at(21)).await.held, held(1, 0, 0));
        let removed = run.commit_with(nothing(), remove(Gone::Ripe { at: at(15) }), at(22)).await.counts.removed;
        assert_eq!(removed, 1);
        assert_eq!(db.texts("track_id", "saved_tracks WHERE removed_at IS NOT NULL").await, ["t2"]);
        run.commit_with(nothing(), hold(Counts::AsBefore), at(23)).await;
        let waiting = db.store.held_removals(db.account).await.unwrap();
        let names: Vec<_> = waiting.iter().map(|one| (one.item_id.as_str(), one.name.is_some(), one.since)).collect();
        assert_eq!(names, [("t4", true, at(20))]);
        run.commit_with(nothing(), Effects { release_held: true, ..Effects::default() }, at(24)).await;
        assert_eq!(db.count("held_removals").await, 0);
    });
}

#[test]
fn what_the_total_counts_waits_for_a_person_or_for_the_total() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2", "t3"]), at(1)).await;
        run.commit_with(tracks(&["t3"]), seen(PASS), at(10)).await;
        run.commit_with(nothing(), hold(Counts::All), at(10)).await;
        assert_eq!(run.commit_with(nothing(), survey(99), at(100)).await.held, held(0, 2, 0));
        for of in [Gone::Uncounted, Gone::Ripe { at: at(99) }, Gone::Confirmed] {
            assert_eq!(run.commit_with(nothing(), remove(of), at(101)).await.counts.removed, 0, "{of:?}");
        }
        run.commit_with(nothing(), hold(Counts::Nothing), at(102)).await;
        assert_eq!(run.commit_with(nothing(), survey(101), at(103)).await.held, held(0, 0, 0), "from now on");
        assert_eq!(run.commit_with(nothing(), survey(102), at(103)).await.held, held(2, 0, 0));

        run.commit_with(nothing(), hold(Counts::All), at(104)).await;
        assert_eq!(db.store.confirm_removals(db.account, &[EntityType::Albums]).await.unwrap(), 0);
        assert_eq!(db.store.confirm_removals(db.account, &[EntityType::Tracks]).await.unwrap(), 2);
        let head = Effects { survey: Some(Survey::default()), ..Effects::default() };
        assert_eq!(run.commit_with(nothing(), head, at(105)).await.held, held(0, 0, 2));
        assert_eq!(run.commit_with(nothing(), survey(0), at(105)).await.held, held(0, 0, 2));
        assert_eq!(run.commit_with(nothing(), remove(Gone::Confirmed), at(106)).await.counts.removed, 2);
    });
}

#[test]
fn a_reset_and_a_purge_forget_what_is_held() {
    on_both(async |db| {
        for purges in [false, true] {
            let run = db.begin(EntityType::Tracks).await;
            run.commit(tracks(&["t1"]), at(1)).await;
            run.commit_with(nothing(), hold(Counts::All), at(2)).await;
            assert_eq!(db.count("held_removals").await, 1);
            match purges {
                false => db.store.reset(db.account, EntityType::Tracks).await.unwrap(),
                true => drop(db.store.purge(db.account, Imported::Kept).await.unwrap()),
            }
            assert_eq!(db.count("held_removals").await, 0);
        }
    });
}
