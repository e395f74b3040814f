//! Polls of the listening history: what one writes, and what it leaves alone.

use super::*;

#[test]
fn a_poll_writes_its_plays_their_tracks_and_where_it_stands() {
    on_both(async |db| {
        db.commit(poll(db, vec![heard("t1", -100), heard("t2", -300)], 0)).await;
        let plays = db.texts("track_uri || '|' || track_id || '|' || source", "plays ORDER BY played_at").await;
        assert_eq!(plays, ["spotify:track:t2|t2|api", "spotify:track:t1|t1|api"]);
        assert_eq!(db.cells("context_uri", "plays ORDER BY played_at").await, [None, Some("spotify:album:b1".into())]);
        assert_eq!(db.texts("name || isrc", "tracks ORDER BY id").await, ["track t1ISRCt1", "track t2ISRCt2"]);
        assert_eq!((db.count("albums").await, db.count("track_artists").await), (1, 4));
        let record = db.store.load_playback(db.account).await.unwrap();
        assert_eq!((record.last_polled_at, record.last_new_at), (Some(at(0)), Some(at(0))));
        assert_eq!((record.next_poll_at, record.authorized_at), (Some(at(1200)), Some(at(0))));
        assert_eq!((record.parked_until, record.error), (None, None));
    });
}

#[test]
fn a_poll_that_is_repeated_doubles_nothing() {
    on_both(async |db| {
        let late = heard("t3", -200);
        db.commit(poll(db, vec![heard("t1", -100), heard("t2", -300)], 0)).await;
        for _ in 0..2 {
            // With a row that came late, and one that the API gives twice.
            let page = vec![heard("t1", -100), heard("t1", -100), late.clone(), heard("t2", -300)];
            db.commit(poll(db, page, 60)).await;
        }
        let plays = db.texts("track_id", "plays ORDER BY played_at").await;
        assert_eq!(plays, ["t2", "t3", "t1"]);
    });
}

#[test]
fn plays_of_one_moment_or_of_one_track_are_told_apart() {
    on_both(async |db| {
        db.commit(poll(db, vec![heard("t1", -100), heard("t2", -100), heard("t1", -101)], 0)).await;
        assert_eq!(db.count("plays").await, 3);
        db.commit(poll(db, vec![heard_ms("t1", -99_999)], 0)).await;
        assert_eq!(db.count("plays").await, 4, "a millisecond is a difference");
    });
}

#[test]
fn plays_are_counted_again_when_there_are_new_ones() {
    on_both(async |db| {
        let counts = PlayCounts::default();
        let counted =
            async || db.store.status_again(&counts, &|_| false, at(9)).await.unwrap().accounts.remove(0).playback.plays;
        assert_eq!(counted().await, 0);
        db.commit(poll(db, vec![heard("t1", -100), heard("t2", -300)], 0)).await;
        assert_eq!(counted().await, 2);
        // By hand, behind our back, and not the latest: it shows with the next new play, of any moment.
        db.execute("DELETE FROM plays WHERE track_id = 't2'").await;
        assert_eq!((counted().await, db.playback(at(9)).await.plays), (2, 1));
        db.commit(poll(db, vec![heard("t3", -400), heard("t4", -500)], 1)).await;
        assert_eq!(counted().await, 3);
    });
}

#[test]
fn a_play_that_an_export_has_brought_stays_as_it_was() {
    on_both(async |db| {
        let columns = "account_id, played_at, track_uri, ms_played, source";
        let values = format!("{}, '{}', 'spotify:track:t1', 5000, 'export'", db.account.0, at(-100).format(TIME));
        db.execute(&format!("INSERT INTO plays ({columns}) VALUES ({values})")).await;
        db.commit(poll(db, vec![heard("t1", -100)], 0)).await;
        let plays = db.texts("source || '|' || ms_played || '|' || track_id || '|' || context_uri", "plays").await;
        assert_eq!(plays, ["export|5000|t1|spotify:album:b1"], "and learns what it did not know");
    });
}

#[test]
fn what_a_play_says_less_of_erases_nothing() {
    on_both(async |db| {
        let full = Track { isrc: Some("X".into()), ..track("t1") };
        db.begin(EntityType::Tracks).await.commit(Rows::Listing(vec![saved(full, at(-9))]), at(-9)).await;
        let poor = Track {
            name: String::new(),
            album: None,
            duration_ms: None,
            explicit: None,
            isrc: None,
            artists: vec![],
            ..track("t1")
        };
        db.commit(poll(db, vec![slot_of(Some(poor), "spotify:track:t1", at(-5))], 0)).await;
        let kept = db.texts("name || '|' || album_id || '|' || isrc || '|' || duration_ms", "tracks").await;
        assert_eq!(kept, ["track t1|b1|X|180000"]);
        assert_eq!(db.count("track_artists").await, 2);
    });
}

#[test]
fn known_plays_are_those_of_the_page_and_the_last_before_it() {
    on_both(async |db| {
        db.commit(poll(db, vec![heard("t1", -100), heard("t2", -300), heard("t3", -500)], 0)).await;
        let around = async |slots| db.store.known_plays(db.account, &PlaysPage { slots }, at(0)).await.unwrap();
        let known = around(vec![heard("t9", 0), heard("t2", -300)]).await;
        let expected = [(at(-100), "spotify:track:t1".to_owned()), (at(-300), "spotify:track:t2".to_owned())];
        assert_eq!((known.keys, known.newest_before), (expected.into_iter().collect(), Some(at(-500))));
        let newest = KnownPlays { newest_before: Some(at(-100)), ..KnownPlays::default() };
        assert_eq!(around(vec![]).await, newest, "of an empty page");
        let nothing_older = around(vec![heard("t9", -900)]).await;
        assert_eq!((nothing_older.keys.len(), nothing_older.newest_before), (3, None));
        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        let page = PlaysPage { slots: vec![heard("t9", 0)] };
        assert_eq!(
            db.store.known_plays(other, &page, at(0)).await.unwrap(),
            KnownPlays::default(),
            "of this account only"
        );
    });
}

#[test]
fn odd_rows_are_recorded_by_their_moment_and_without_one_by_their_place() {
    on_both(async |db| {
        let odd = |played_at, odd| PlaySlot { play: None, played_at, odd: Some(odd) };
        let undated = odd(None, Oddity::Undecodable("played_at".into()));
        let dated = odd(Some(at(-50)), Oddity::Null);
        db.commit(poll(db, vec![heard("t1", -10), undated, dated.clone()], 0)).await;
        let recorded = "sync_odd_items WHERE entity_type = 'plays' ORDER BY position";
        let by_moment = format!("{}null", at(-50).timestamp_millis());
        assert_eq!(db.texts("position || reason", recorded).await, ["1undecodable: played_at", &by_moment]);
        // A poll later one has left the page and the other is still there: both were odd, once.
        db.commit(poll(db, vec![heard("t1", -10), dated], 60)).await;
        assert_eq!(db.texts("position || reason", recorded).await.as_slice(), std::slice::from_ref(&by_moment));
        db.commit(poll(db, vec![heard("t1", -10)], 120)).await;
        assert_eq!(db.texts("position || reason", recorded).await, [by_moment]);
    });
}

#[test]
fn a_gap_is_recorded_with_the_plays_that_show_it_and_healed_by_a_page_that_reaches_back() {
    on_both(async |db| {
        let gap = PlayGap { played_after: at(-1000), played_before: at(-300) };
        let commit = PlaysCommit { gap: Some(gap), ..poll(db, vec![heard("t1", -100), heard("t2", -300)], 0) };
        db.commit(commit.clone()).await;
        db.commit(commit).await;
        assert_eq!(db.store.open_play_gaps(db.account).await.unwrap(), [gap]);
        let playback = db.playback(at(1)).await;
        assert_eq!((playback.open_gaps, playback.last_gap.unwrap().played_after), (1, at(-1000)));

        db.commit(poll(db, vec![heard("t1", -100), heard("t4", -999)], 60)).await;
        assert_eq!(db.playback(at(61)).await.open_gaps, 1, "it does not reach back far enough");
        // A play of next year is no later page, and nothing is stale beside it.
        db.commit(poll(db, vec![heard("t6", 365 * 86_400)], 119)).await;
        db.commit(poll(db, vec![heard("t1", -100), heard("t5", -1000)], 120)).await;
        assert_eq!(db.playback(at(121)).await.open_gaps, 0);
        assert_eq!(db.count("play_gaps WHERE healed_at IS NOT NULL").await, 1);
    });
}

#[test]
fn a_poll_that_brought_nothing_says_so_until_one_brings_something() {
    on_both(async |db| {
        db.commit(poll(db, vec![heard("t1", -100)], 0)).await;
        let note = PlaybackNote {
            account_id: db.account,
            next_poll_at: Some(at(300)),
            parked_until: Some(at(300)),
            error: Some("no permission".into()),
        };
        db.store.note_playback(&note, Uuid::nil(), at(60)).await.unwrap();
        let record = db.store.load_playback(db.account).await.unwrap();
        assert_eq!((record.last_polled_at, record.last_new_at), (Some(at(0)), Some(at(0))), "these stay");
        assert_eq!((record.next_poll_at, record.parked_until), (Some(at(300)), Some(at(300))));
        let playback = db.playback(at(61)).await;
        assert_eq!((playback.error.as_deref(), playback.next_poll_at), (Some("no permission"), Some(at(300))));

        db.commit(PlaysCommit { num_new: 0, ..poll(db, vec![heard("t1", -100)], 900) }).await;
        let record = db.store.load_playback(db.account).await.unwrap();
        assert_eq!((record.last_polled_at, record.last_new_at), (Some(at(900)), Some(at(0))));
        assert_eq!((record.error, record.parked_until), (None, None));
    });
}

#[test]
fn status_waits_for_the_pause_of_the_player_and_for_no_other() {
    on_both(async |db| {
        db.commit(poll(db, vec![heard("t1", -100)], 0)).await;
        let pause = |scope, until| Pause { scope, class: LimitClass::Quota, until };
        db.store.save_pause(pause(Family::Tracks, at(9000)), at(0)).await.unwrap();
        let playback = db.playback(at(1)).await;
        assert_eq!((playback.plays, playback.last_played_at), (1, Some(at(-100))));
        assert_eq!((playback.last_polled_at, playback.next_poll_at), (Some(at(0)), Some(at(1200))));
        db.store.save_pause(pause(Family::Player, at(5000)), at(0)).await.unwrap();
        assert_eq!(db.playback(at(1)).await.next_poll_at, Some(at(5000)));
    });
}

#[test]
fn a_process_that_was_overtaken_writes_no_plays() {
    on_both(async |db| {
        let (ours, theirs) = (Uuid::new_v4(), Uuid::new_v4());
        let label = "segno run (process 7 on elsewhere)";
        db.execute(&format!("UPDATE accounts SET owner = '{theirs}', owner_label = '{label}'")).await;
        let refused = db.store.commit_plays(&poll(db, vec![heard("t1", -100)], 0), ours).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Fenced { by } if by == label), "{refused}");
        let note = PlaybackNote { account_id: db.account, next_poll_at: None, parked_until: None, error: None };
        assert!(db.store.note_playback(&note, ours, at(0)).await.is_err());
        for table in ["plays", "tracks", "playback_states"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
        db.store.commit_plays(&poll(db, vec![heard("t1", -100)], 0), theirs).await.unwrap();
        assert_eq!(db.count("plays").await, 1);
    });
}

#[test]
fn a_poll_that_fails_half_way_writes_nothing() {
    on_both(async |db| {
        // Gaps come last.
        db.execute("DROP TABLE play_gaps").await;
        let committed = db.store.commit_plays(&poll(db, vec![heard("t1", -100)], 0), Uuid::nil()).await;
        assert!(committed.is_err());
        for table in ["plays", "tracks", "playback_states"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
    });
}

const TIME: &str = "%Y-%m-%d %H:%M:%S%.6f+00:00";

impl Db {
    async fn commit(&self, commit: PlaysCommit) {
        self.store.commit_plays(&commit, Uuid::nil()).await.unwrap();
    }

    async fn playback(&self, now: DateTime<Utc>) -> crate::model::status::PlaybackStatus {
        self.store.status(now).await.unwrap().accounts.remove(0).playback
    }
}

/// A poll at `polled` seconds whose plays are all new.
pub(super) fn poll(db: &Db, slots: Vec<PlaySlot>, polled: i64) -> PlaysCommit {
    PlaysCommit {
        account_id: db.account,
        num_new: u32::try_from(slots.len()).unwrap(),
        page: PlaysPage { slots },
        gap: None,
        pairs: Vec::new(),
        polled_at: at(polled),
        next_poll_at: at(polled + 1200),
    }
}

pub(super) fn heard(id: &str, seconds: i64) -> PlaySlot {
    heard_ms(id, seconds * 1000)
}

fn heard_ms(id: &str, millis: i64) -> PlaySlot {
    slot_of(Some(track(id)), &format!("spotify:track:{id}"), at(0) + TimeDelta::milliseconds(millis))
}

/// Tracks with an odd number were played from their album.
pub(super) fn slot_of(track: Option<Track>, uri: &str, played_at: DateTime<Utc>) -> PlaySlot {
    let context_uri = uri.ends_with(['1', '3', '5', '7', '9']).then(|| "spotify:album:b1".to_owned());
    let play = Play { played_at, track_uri: uri.to_owned(), track, context_uri };
    PlaySlot { play: Some(play), played_at: Some(played_at), odd: None }
}
