//! Accounts and pauses.

use super::*;

#[test]
fn an_account_is_recognised_by_its_account_id_and_before_that_by_its_id() {
    on_both(async |db| {
        let sign_in =
            async |id, account_id, name, now| db.store.upsert_account(id, account_id, name, now).await.unwrap();
        assert_eq!(sign_in("mira", None, None, at(1)).await, db.account, "the older id alone");
        assert_eq!(sign_in("mira", Some("acc1"), Some("Mira"), at(2)).await, db.account, "now both are known");
        assert_eq!(sign_in("mira.new", Some("acc1"), None, at(3)).await, db.account, "the account id decides");
        let other = sign_in("mira.new", Some("acc2"), Some("Another"), at(4)).await;
        assert_ne!(other, db.account, "one id, two people");

        let accounts = db.store.accounts().await.unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].spotify_id, "mira.new");
        assert_eq!((accounts[0].display_name.as_deref(), accounts[0].authorized_at), (Some("Mira"), at(3)));
        assert_eq!(accounts[1].spotify_account_id.as_deref(), Some("acc2"));
    });
}

#[test]
fn signing_in_twice_at_once_makes_one_account() {
    on_both(async |db| {
        let sign_ins = (0..6).map(|_| db.store.upsert_account("noor", None, None, at(1)));
        let ids = futures_util::future::try_join_all(sign_ins).await.unwrap();
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(db.count("accounts").await, 2);
    });
}

/// Found by the simulation.
#[test]
fn a_pause_is_noted_though_a_calendar_that_was_set_back_calls_an_older_one_longer() {
    on_both(async |db| {
        let pause = |until| Pause { scope: Family::Tracks, class: LimitClass::Quota, until };
        db.store.save_pause(pause(at(90_000)), at(86_400)).await.unwrap();
        db.store.save_pause(pause(at(5_000)), at(1_000)).await.unwrap();
        assert_eq!(db.store.load_pauses(at(1_001)).await.unwrap(), [pause(at(5_000))]);
    });
}

#[test]
fn a_pause_is_kept_until_it_ends_and_never_shortened() {
    on_both(async |db| {
        let pause = |scope, class, until| Pause { scope, class, until };
        let long = pause(Family::Tracks, LimitClass::Quota, at(5000));
        let all = pause(Family::Application, LimitClass::Rate, at(40));
        for known in [long, all, pause(Family::Tracks, LimitClass::Rate, at(60))] {
            db.store.save_pause(known, at(1)).await.unwrap();
        }
        assert_eq!(db.store.load_pauses(at(2)).await.unwrap(), [all, long]);
        assert_eq!(db.store.load_pauses(at(40)).await.unwrap(), [long]);

        let longer = pause(Family::Tracks, LimitClass::Rate, at(6000));
        db.store.save_pause(longer, at(41)).await.unwrap();
        assert_eq!(db.store.load_pauses(at(41)).await.unwrap(), [longer]);
        db.store.clear_pause(Family::Tracks).await.unwrap();
        assert_eq!(db.store.load_pauses(at(41)).await.unwrap(), []);
        db.store.save_pause(long, at(42)).await.unwrap();
        assert_eq!(db.store.load_pauses(at(42)).await.unwrap(), [long]);
    });
}
