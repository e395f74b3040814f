//! Services that share accounts: which are alive, which hold what, which are fenced off, and orders between them.

use super::*;

const HOLD: Duration = Duration::from_secs(60);

pub(super) fn node(label: &str) -> Node {
    let owner = Owner { id: Uuid::new_v4(), label: label.to_owned(), place: String::new(), pid: 1 };
    Node { owner, client_id: "app".into(), version: "0", holds_for: HOLD }
}

async fn sign_in(db: &Db, name: &str) -> AccountId {
    let account = db.store.upsert_account(name, None, None, at(0)).await.unwrap();
    db.execute(&format!(
        "INSERT INTO account_tokens (account_id, client_id, refresh_token, updated_at) \
         VALUES ({}, 'app', 'secret', '2026-11-01 00:00:00.000000+00:00')",
        account.0
    ))
    .await;
    account
}

/// Makes a node live. SQLite has room for one; the next takes its place.
pub(super) async fn join(db: &Db, node: &Node) {
    if !db.store.is_shared() {
        db.execute("DELETE FROM nodes").await;
        db.store.join_alone(node, None, Utc::now()).await.unwrap();
    }
    beat(db, node).await;
}

async fn beat(db: &Db, node: &Node) -> Heartbeat {
    db.store.beat(node, Utc::now()).await.unwrap().found
}

/// Keeps a node silent until it holds nothing any more.
pub(super) async fn outlive(db: &Db, node: &Node) {
    let past = "holds_until = '2026-01-01 00:00:00.000000+00:00'";
    db.execute(&format!("UPDATE nodes SET {past} WHERE id = '{}'", node.owner.id)).await;
}

async fn claim(db: &Db, node: &Node, most: u32) -> Vec<(AccountId, i64)> {
    db.store.claim_free(node, most, Utc::now()).await.unwrap()
}

#[test]
fn what_is_free_is_claimed_once_and_counted_by_epochs() {
    on_both(async |db| {
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        let first = node("first");
        join(db, &first).await;
        assert_eq!(claim(db, &first, 10).await, [(one, 1), (two, 1)], "the account without a sign-in is nobody's");
        assert_eq!(claim(db, &first, 10).await, []);
        let found = beat(db, &first).await;
        assert_eq!((found.held, found.num_accounts), ([(one, 1), (two, 1)].into(), 2));
        assert_eq!(found.nodes.iter().map(|load| (load.id, load.num_held)).collect::<Vec<_>>(), [(first.owner.id, 2)]);

        db.store.release(&[one], first.owner.id, Utc::now()).await.unwrap();
        assert_eq!(beat(db, &first).await.held, [(two, 1)].into());
        assert_eq!(claim(db, &first, 10).await, [(one, 2)]);
    });
}

#[test]
fn a_service_that_is_certainly_dead_is_not_shown_as_alive() {
    on_both(async |db| {
        sign_in(db, "one").await;
        let service = node("service");
        join(db, &service).await;
        claim(db, &service, 10).await;
        let shown = async |dead: Option<Uuid>| {
            let is_gone = |owner: &Owner| Some(owner.id) == dead;
            let status = db.store.status_again(&PlayCounts::default(), &is_gone, Utc::now()).await.unwrap();
            (status.accounts[1].service.clone(), status.nodes[0].lives)
        };
        assert_eq!(shown(None).await, (Some("service".to_owned()), true));
        assert_eq!(shown(Some(Uuid::nil())).await, (Some("service".to_owned()), true), "it is another that is dead");
        assert_eq!(shown(Some(service.owner.id)).await, (None, false));
    });
}

#[test]
fn a_hold_is_prolonged_while_it_lasts_and_one_that_is_over_is_not() {
    on_both(async |db| {
        let first = node("first");
        let prolong = async || db.store.prolong(&first, Utc::now()).await.unwrap();
        assert_eq!(prolong().await, None, "nobody has heard of it");
        join(db, &first).await;
        assert_eq!(prolong().await, Some([first.owner.id].into()));
        if db.store.is_shared() {
            let second = node("second");
            join(db, &second).await;
            assert_eq!(prolong().await, Some([first.owner.id, second.owner.id].into()));
            outlive(db, &second).await;
            assert_eq!(prolong().await, Some([first.owner.id].into()));
        }
        outlive(db, &first).await;
        assert_eq!(prolong().await, None);
        let late = "nodes WHERE holds_until > '2026-01-01 00:00:00.000000+00:00'";
        assert_eq!(db.count(late).await, 0, "and stays over");
    });
}

#[test]
fn a_node_hears_of_those_who_sign_in_again() {
    on_both(async |db| {
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        let first = node("first");
        join(db, &first).await;
        claim(db, &first, 10).await;
        db.store.upsert_account("two", None, None, at(60)).await.unwrap();
        let found = db.store.beat(&first, Utc::now()).await.unwrap();
        assert_eq!(found.signed_in_at, [(one, at(0)), (two, at(60))].into());
    });
}

#[test]
fn what_another_node_holds_is_left_to_it_as_long_as_it_lives() {
    on_both(async |db| {
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        claim(db, &first, 1).await;
        let left_to = async |node: &Node| {
            let left = db.store.not_held_by_others(node.owner.id, Utc::now()).await.unwrap();
            left.into_iter().filter(|account| [one, two].contains(account)).collect::<Vec<_>>()
        };
        assert_eq!((left_to(&first).await, left_to(&second).await), (vec![one, two], vec![two]));
        db.store.release(&[one], first.owner.id, Utc::now()).await.unwrap();
        assert_eq!(left_to(&second).await, [one, two], "given back");
        claim(db, &first, 1).await;
        outlive(db, &first).await;
        assert_eq!(left_to(&second).await, [one, two], "of a dead one");
    });
}

#[test]
fn a_claim_fences_off_whatever_the_last_owner_had_begun() {
    on_both(async |db| {
        let account = sign_in(db, "one").await;
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        claim(db, &first, 1).await;
        let begin = async |node: &Node| {
            let owner = &node.owner;
            db.store.begin_run(account, EntityType::Tracks, Phase::InitialSync, owner.id, &owner.label, at(0)).await
        };
        let (fence, checkpoint) = begin(&first).await.unwrap();
        let run = Run { db, account, entity: EntityType::Tracks, fence, checkpoint };
        db.store.release(&[account], first.owner.id, Utc::now()).await.unwrap();
        join(db, &second).await;
        assert_eq!(claim(db, &second, 1).await, [(account, 2)]);

        let commit = Box::new(run.commit_of(tracks(&["t1"])));
        let fenced = db.store.commit(commit, at(1)).await;
        assert!(matches!(fenced, Err(StoreError::Fenced { ref by }) if by == "second"), "{fenced:?}");
        assert!(matches!(begin(&first).await, Err(StoreError::Fenced { .. })));
        db.store.plan_run(SyncKey { account, entity: EntityType::Tracks }, first.owner.id, Some(at(9))).await.unwrap();
        assert_eq!(db.count("sync_states WHERE next_run_at IS NOT NULL").await, 0);
        assert_eq!(db.count("saved_tracks").await, 0);
        assert!(begin(&second).await.is_ok());
    });
}

#[test]
fn the_accounts_of_the_dead_are_claimed_first_and_those_of_the_living_never() {
    on_both(async |db| {
        let one = sign_in(db, "one").await;
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        claim(db, &first, 10).await;
        let never_held: Vec<AccountId> = vec![sign_in(db, "two").await, sign_in(db, "three").await];
        if db.store.is_shared() {
            beat(db, &second).await;
            assert_eq!(claim(db, &second, 1).await, [(never_held[0], 1)]);
            outlive(db, &first).await;
        }
        join(db, &second).await;
        assert_eq!(claim(db, &second, 1).await, [(one, 2)]);
        let found = beat(db, &second).await;
        assert_eq!(found.nodes.len(), 1, "the first is silent");
        assert!(db.store.status(Utc::now()).await.unwrap().nodes.iter().filter(|node| node.lives).count() == 1);
    });
}

#[test]
fn a_node_that_wakes_late_has_what_nobody_took() {
    on_both(async |db| {
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        claim(db, &first, 10).await;
        if !db.store.is_shared() {
            join(db, &second).await;
            let overtaken = db.store.beat(&first, Utc::now()).await;
            assert!(matches!(overtaken, Err(StoreError::Fenced { ref by }) if by == "second"), "{overtaken:?}");
            return;
        }
        outlive(db, &first).await;
        beat(db, &second).await;
        assert_eq!(claim(db, &second, 1).await, [(one, 2)]);
        assert_eq!(beat(db, &first).await.held, [(two, 1)].into());
    });
}

/// A process that hangs in the middle of a commit keeps its locks until the server ends it. It is not waited for.
#[test]
fn an_account_that_is_being_written_for_is_passed_over() {
    on_both(async |db| {
        if !db.store.is_shared() {
            return;
        }
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        for account in [one, two] {
            db.begin_for(account, EntityType::Tracks).await;
        }
        let mut hanging = db.store.connect().await.unwrap();
        hanging.begin().await.unwrap();
        let write = format!("UPDATE sync_states SET generation = generation WHERE account_id = {}", one.0);
        with_conn!(&mut hanging, |c| c.batch_execute(&write).await).unwrap();
        let first = node("first");
        beat(db, &first).await;
        assert_eq!(claim(db, &first, 10).await, [(two, 1)]);
        hanging.rollback().await.unwrap();
        assert_eq!(claim(db, &first, 10).await, [(one, 1)]);
    });
}

#[test]
fn a_node_that_leaves_gives_everything_back() {
    on_both(async |db| {
        let account = sign_in(db, "one").await;
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        claim(db, &first, 10).await;
        let held = db.store.claim(account, &second.owner, None, Utc::now()).await;
        assert!(matches!(held, Err(StoreError::Held(ref by)) if by.owner.label == "first"), "{held:?}");
        db.store.leave(first.owner.id, Utc::now()).await.unwrap();
        assert_eq!(db.count("nodes").await, 0);
        assert_eq!(db.store.status(Utc::now()).await.unwrap().accounts[1].service, None);
        db.store.claim(account, &second.owner, None, Utc::now()).await.unwrap();
    });
}

#[test]
fn one_that_wants_to_be_alone_is_refused_while_another_lives() {
    on_both(async |db| {
        let (first, second) = (node("first"), node("second"));
        db.store.join_alone(&first, None, Utc::now()).await.unwrap();
        let refused = db.store.join_alone(&second, None, Utc::now()).await;
        assert!(matches!(refused, Err(StoreError::Held(ref by)) if by.owner == first.owner), "{refused:?}");
        db.store.join_alone(&first, None, Utc::now()).await.unwrap();
        db.store.join_alone(&second, Some(first.owner.id), Utc::now()).await.unwrap();
        assert_eq!(db.texts("label", "nodes").await, ["second"]);
    });
}

#[test]
fn an_account_of_another_application_or_signed_out_is_no_longer_fit() {
    on_both(async |db| {
        let (one, two) = (sign_in(db, "one").await, sign_in(db, "two").await);
        let first = node("first");
        join(db, &first).await;
        claim(db, &first, 10).await;
        db.store.forget_tokens(one).await.unwrap();
        db.execute(&format!("UPDATE account_tokens SET client_id = 'other' WHERE account_id = {}", two.0)).await;
        let found = beat(db, &first).await;
        assert_eq!((found.held.len(), found.unfit, found.num_accounts), (0, vec![one, two], 0));
    });
}

#[test]
fn an_order_waits_for_the_owner_and_is_answered_once() {
    on_both(async |db| {
        let account = sign_in(db, "one").await;
        let first = node("first");
        join(db, &first).await;
        let entities = [EntityType::Tracks, EntityType::Albums];
        let give =
            async |order| db.store.give_order(account, order, Some(&entities), "page", Utc::now()).await.unwrap();
        let number = give(Order::Pause).await.unwrap();
        let open = async || db.store.open_orders(first.owner.id, Utc::now()).await.unwrap();
        assert_eq!(open().await, [], "nobody holds it");
        claim(db, &first, 1).await;
        let given = GivenOrder { id: number, order: Order::Pause, account, entities: Some(entities.to_vec()) };
        assert_eq!(open().await, [given]);
        assert_eq!(db.store.order_outcome(number).await.unwrap(), None);

        let key = |entity| SyncKey { account, entity };
        let outcome = OrderOutcome {
            accepted: vec![key(EntityType::Tracks)],
            skipped: vec![(key(EntityType::Albums), "paused by hand".into())],
        };
        db.store.end_order(number, &outcome, "first", Utc::now()).await.unwrap();
        assert_eq!(db.store.order_outcome(number).await.unwrap(), Some(outcome));
        assert_eq!(open().await, []);
        give(Order::ConfirmRemovals).await.unwrap();
        let tomorrow = Utc::now() + TimeDelta::hours(24);
        assert_eq!(db.store.open_orders(first.owner.id, tomorrow).await.unwrap(), [], "by then it would surprise");
        assert_eq!(db.store.give_order(db.account, Order::Sync, None, "page", at(0)).await.unwrap(), None);
    });
}
