//! What a commit did is in the outbox, if and only if the commit is in the database; in order, whoever writes at once.

use super::effects::seen;
use super::versions::{begun, read};
use super::*;
use crate::store::{Feed, FeedEvent};
use serde_json::Value;

async fn events(db: &Db, after: i64) -> Vec<FeedEvent> {
    match db.store.feed(after, None, 1000).await.unwrap() {
        Feed::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

/// `1 added t1 track t1`, and so on.
async fn told(db: &Db, after: i64) -> Vec<String> {
    let mut told = Vec::new();
    for event in events(db, after).await {
        let entry: Value = serde_json::from_str(&event.json()).unwrap();
        assert_eq!((&entry["seq"], &entry["account"]), (&event.seq.into(), &"mira".into()));
        let text = |change: &Value, name: &str| change[name].as_str().unwrap_or("-").to_owned();
        for change in entry["changes"].as_array().into_iter().flatten() {
            let [kind, id, name] = ["change", "id", "name"].map(|name| text(change, name));
            told.push(format!("{} {kind} {id} {name}", event.seq));
        }
    }
    told
}

#[test]
fn a_commit_tells_what_came_and_went_and_nothing_twice() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2", "t1"]), at(1)).await;
        assert_eq!(told(db, 0).await, ["1 added t1 track t1", "1 added t2 track t2"]);
        // Writing the same again changes nothing, and a new name is no change.
        run.commit(tracks(&["t1", "t2"]), at(2)).await;
        run.commit(Rows::Listing(vec![saved(Track { name: "other".into(), ..track("t1") }, at(-1000))]), at(3)).await;
        assert_eq!(events(db, 1).await, vec![]);

        run.commit_with(tracks(&["t1"]), seen(7), at(4)).await;
        let all = Effects { removal: Some(Removal { pass: 7, of: Gone::All }), ..Effects::default() };
        run.commit_with(Rows::Listing(vec![]), all, at(5)).await;
        assert_eq!(told(db, 1).await, ["2 removed t2 track t2"]);
        let gone = Effects { removed_ids: vec!["t1".into(), "unknown".into()], ..Effects::default() };
        run.commit_with(tracks(&["t2"]), gone, at(6)).await;
        assert_eq!(told(db, 2).await, ["3 added_again t2 track t2", "3 removed t1 track t1"]);
        let entry: Value = serde_json::from_str(&events(db, 0).await[0].json()).unwrap();
        assert_eq!(
            (&entry["event"], &entry["entity_type"], &entry["phase"]),
            (&"changes".into(), &"tracks".into(), &"initial_sync".into())
        );
        assert_eq!(entry["changes"][0]["artist"], "artist a1");
    });
}

#[test]
fn what_is_not_committed_is_not_told() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.begin(EntityType::Tracks).await;
        let refused = db.store.commit(Box::new(run.commit_of(tracks(&["t1"]))), at(1)).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
        assert_eq!((events(db, 0).await, db.store.feed_end().await.unwrap()), (vec![], 0));
    });
}

#[test]
fn what_changes_in_a_playlist_is_told_to_everybody_who_has_it() {
    on_both(async |db| {
        let noor = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        let run = begun(db).await;
        let listed = db.store.feed_end().await.unwrap();
        read(&run, &["t1", "t2"], "s1").await;
        assert_eq!(events(db, listed).await, vec![], "the first reading is a count");
        db.execute(&format!(
            "INSERT INTO library_playlists (account_id, playlist_id, position) VALUES ({}, 'p1', 0)",
            noor.0
        ))
        .await;
        read(&run, &["t2", "t3"], "s2").await;
        let told = |feed| match feed {
            Feed::Events(events) => {
                let entry: Value = serde_json::from_str(&events[0].json()).unwrap();
                let changes = entry["changes"].as_array().unwrap().clone();
                changes
                    .iter()
                    .map(|change| format!("{} {} {}", change["change"], change["uri"], change["playlist_name"]))
                    .collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let expected = [r#""removed" "spotify:track:t1" "playlist p1""#, r#""added" "spotify:track:t3" "playlist p1""#];
        for account in [db.account, noor] {
            assert_eq!(told(db.store.feed(listed, Some(account), 10).await.unwrap()), expected, "{account:?}");
        }
    });
}

#[test]
fn removals_that_begin_to_wait_are_told_once() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1", "t2", "t3"]), at(1)).await;
        run.commit_with(tracks(&["t3"]), seen(7), at(2)).await;
        let hold = Effects { hold: Some(Hold { pass: 7, counts: Counts::Nothing }), ..Effects::default() };
        for seconds in 3..6 {
            run.commit_with(Rows::Listing(vec![]), hold.clone(), at(seconds)).await;
        }
        let kinds: Vec<_> = events(db, 1).await.into_iter().map(|event| (event.seq, event.kind)).collect();
        assert_eq!(kinds, [(2, "removals_held".to_owned())]);
        let entry: Value = serde_json::from_str(&events(db, 1).await[0].json()).unwrap();
        assert_eq!((&entry["num_held"], &entry["entity_type"]), (&2.into(), &"tracks".into()));
    });
}

#[test]
fn a_position_that_is_no_longer_kept_or_not_there_yet_is_said() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        for (number, id) in ["t1", "t2", "t3"].iter().enumerate() {
            run.commit(tracks(&[id]), at(10 * number as i64)).await;
        }
        assert_eq!(db.store.forget_events_before(at(15)).await.unwrap(), 2);
        assert_eq!(db.store.feed(1, None, 10).await.unwrap(), Feed::Forgotten { kept_after: 2 });
        assert_eq!(told(db, 2).await, ["3 added t3 track t3"]);
        assert_eq!(db.store.feed(9, None, 10).await.unwrap(), Feed::Ahead { last: 3 });
        // Numbers go on even when nothing is left.
        assert_eq!(db.store.forget_events_before(at(99)).await.unwrap(), 1);
        assert_eq!(db.store.feed(3, None, 10).await.unwrap(), Feed::Events(vec![]));
        run.commit(tracks(&["t4"]), at(100)).await;
        assert_eq!(told(db, 3).await, ["4 added t4 track t4"]);
    });
}

#[test]
fn a_follower_begins_at_the_end_and_its_place_is_kept() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1"]), at(1)).await;
        let place = db.store.follow("webhook a").await.unwrap();
        assert_eq!((place.seq, place.num_failures, place.failing_since), (1, 0, None));
        run.commit(tracks(&["t2"]), at(2)).await;
        assert_eq!(db.store.follow("webhook a").await.unwrap().seq, 1);
        for seconds in [3, 4] {
            db.store.not_taken("webhook a", None, "it is\0 down", at(seconds), at(seconds + 5)).await.unwrap();
        }
        let place = db.store.follow("webhook a").await.unwrap();
        assert_eq!(
            (place.num_failures, place.failing_since, place.error.as_deref()),
            (2, Some(at(3)), Some("it is down"))
        );
        db.store.moved("webhook a", None, 2, at(5)).await.unwrap();
        let place = db.store.follow("webhook a").await.unwrap();
        assert_eq!((place.seq, place.num_failures, place.failing_since, place.error), (2, 0, None, None));
    });
}

#[test]
fn what_no_commit_says_is_noted_once_under_its_words() {
    on_both(async |db| {
        let note = async |once: &str| {
            let body = serde_json::json!({ "until": "2026-12-24T10:00:00Z" });
            db.store.note_event(db.account, EventKind::SignInEnds, &body, once, at(1)).await.unwrap()
        };
        assert_eq!((note("a").await, note("a").await, note("b").await), (true, false, true));
        let lines: Vec<String> = events(db, 0).await.iter().map(FeedEvent::json).collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with(r#"{"seq":1,"id":"1-1790000001000000","event":"sign_in_ends","at":""#),
            "{}",
            lines[0]
        );
        assert!(lines[0].ends_with(r#""account":"mira","until":"2026-12-24T10:00:00Z"}"#), "{}", lines[0]);
    });
}

#[test]
fn a_webhook_that_takes_nothing_is_shown_with_what_waits_for_it() {
    on_both(async |db| {
        let shown = async || db.store.status(at(9)).await.unwrap().webhooks;
        db.store.follow("webhook a").await.unwrap();
        assert_eq!(shown().await, [], "nobody has said whom it tells");
        db.store.describe_webhook("webhook a", "ntfy.sh", &[EventKind::Changes, EventKind::SyncFailing]).await.unwrap();
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1"]), at(1)).await;
        let body = serde_json::json!({ "error": "no route" });
        for (kind, once) in [(EventKind::SyncFailing, "a"), (EventKind::SyncFailing, "b"), (EventKind::SignInEnds, "c")]
        {
            db.store.note_event(db.account, kind, &body, once, at(2)).await.unwrap();
        }
        db.store.not_taken("webhook a", None, "ntfy.sh answered with 500", at(3), at(8)).await.unwrap();
        let failing = crate::model::status::WebhookStatus {
            host: "ntfy.sh".into(),
            failing_since: Some(at(3)),
            next_try_at: Some(at(8)),
            error: Some("ntfy.sh answered with 500".into()),
            // Neither a first reading nor an event of a kind that it is not sent.
            waiting: 2,
        };
        assert_eq!(shown().await, [failing]);
        db.store.moved("webhook a", None, 4, at(8)).await.unwrap();
        let fine = &shown().await[0];
        assert_eq!((fine.failing_since, fine.next_try_at, fine.waiting), (None, None, 0));
        db.store.show_followers(&["webhook a".into()]).await.unwrap();
        assert_eq!(shown().await.len(), 1);
        db.store.show_followers(&["webhook b".into()]).await.unwrap();
        assert_eq!(shown().await, [], "it is no longer in the settings");
    });
}

/// An open transaction that has its number holds back later ones, so no reader passes it.
#[test]
fn no_reader_passes_a_transaction_that_is_still_open() {
    on_both(async |db| {
        let Store::Pg(_) = db.store else { return };
        let run = db.begin(EntityType::Albums).await;
        let mut open = db.store.connect().await.unwrap();
        open.begin().await.unwrap();
        let entry = [(db.account, EventKind::SyncFailing, "{}".to_owned())];
        super::super::outbox::write(&mut open, &entry, None, at(1).into()).await.unwrap();
        let commit = Box::new(run.commit_of(Rows::Listing(vec![saved_album(album("b1"))])));
        let (store, mut later) = (db.store.clone(), std::pin::pin!(db.store.commit(commit, at(2))));
        let waited = tokio::time::timeout(Duration::from_millis(300), &mut later).await;
        assert!(waited.is_err(), "it waits for the one before");
        assert_eq!(store.feed(0, None, 10).await.unwrap(), Feed::Events(vec![]));
        open.commit().await.unwrap();
        later.await.unwrap();
        let kinds: Vec<_> = events(db, 0).await.into_iter().map(|event| (event.seq, event.kind)).collect();
        assert_eq!(kinds, [(1, "sync_failing".to_owned()), (2, "changes".to_owned())]);
        // One that is rolled back leaves no gap.
        open.begin().await.unwrap();
        super::super::outbox::write(&mut open, &entry, None, at(3).into()).await.unwrap();
        open.rollback().await.unwrap();
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(4)).await;
        assert_eq!(told(db, 2).await, ["3 added t1 track t1"]);
    });
}
