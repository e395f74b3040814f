//! One node publishes the feed while it is alive; its notes count for as long.

use super::nodes::{join, node, outlive};
use super::*;
use crate::model::status::StreamStatus;
use crate::store::RELAY;

async fn take(db: &Db, node: &Node) -> Option<i64> {
    db.store.take_relay(node.owner.id, Utc::now()).await.unwrap()
}

async fn moved(db: &Db, node: &Node, to: i64) -> bool {
    db.store.moved(RELAY, Some(node.owner.id), to, Utc::now()).await.unwrap()
}

async fn stream(db: &Db) -> Option<StreamStatus> {
    db.store.status(Utc::now()).await.unwrap().stream
}

#[test]
fn one_node_that_lives_publishes_and_another_after_its_death() {
    on_both(async |db| {
        let (first, second) = (node("first"), node("second"));
        join(db, &first).await;
        assert_eq!(take(db, &first).await, None, "it is published nowhere");
        db.store.describe_relay("nats.example").await.unwrap();
        assert_eq!(take(db, &second).await, None, "it does not live");
        assert_eq!(take(db, &first).await, Some(0));
        assert!(moved(db, &first, 4).await);
        if db.store.is_shared() {
            join(db, &second).await;
            assert_eq!(take(db, &second).await, None, "the first one lives");
            assert!(!moved(db, &second, 9).await);
            db.store.not_taken(RELAY, Some(second.owner.id), "no", Utc::now(), Utc::now()).await.unwrap();
            assert_eq!(stream(db).await.unwrap().error, None, "it has no say");
            outlive(db, &first).await;
        } else {
            join(db, &second).await;
        }
        assert_eq!(take(db, &first).await, None, "it has been silent for too long");
        assert_eq!(take(db, &second).await, Some(4));
        assert!(!moved(db, &first, 5).await, "it has been followed");
        assert!(moved(db, &second, 6).await);
        db.store.leave(second.owner.id, Utc::now()).await.unwrap();
        join(db, &first).await;
        assert_eq!(take(db, &first).await, Some(6), "one that has left is followed at once");
    });
}

#[test]
fn the_status_says_who_publishes_and_what_waits() {
    on_both(async |db| {
        let first = node("first");
        join(db, &first).await;
        assert_eq!(stream(db).await, None);
        db.store.describe_relay("nats.example").await.unwrap();
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(1)).await;
        db.begin(EntityType::Tracks).await.commit(tracks(&["t2"]), at(2)).await;
        take(db, &first).await.unwrap();
        moved(db, &first, 1).await;
        let found = stream(db).await.unwrap();
        assert_eq!((found.host.as_str(), found.node.as_deref()), ("nats.example", Some("first")));
        assert_eq!((found.published, found.waiting, found.failing_since), (1, 1, None));
        db.store.not_taken(RELAY, Some(first.owner.id), "down", at(3), at(9)).await.unwrap();
        let found = stream(db).await.unwrap();
        assert_eq!((found.failing_since, found.next_try_at), (Some(at(3)), Some(at(9))));
        assert_eq!(found.error.as_deref(), Some("down"));
        assert_eq!(db.store.status(at(3)).await.unwrap().webhooks, [], "it is no webhook");
        moved(db, &first, 2).await;
        assert_eq!(stream(db).await.unwrap().failing_since, None);
        db.store.show_followers(&[]).await.unwrap();
        assert_eq!(stream(db).await, None, "it is no longer in the settings");
    });
}
