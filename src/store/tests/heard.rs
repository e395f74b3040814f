//! The sums of what was heard equal the rows.

use super::*;
use crate::model::stream::{Stream, StreamKind, StreamOrigin};
use crate::store::ImportOutcome;
use crate::store::browse::{Heard, Span};
use crate::store::heard::{self, Window};

const DAY_S: i64 = 86_400;

/// Twelve years of one stream a day, of 40 titles.
fn streams(rng: &mut fastrand::Rng) -> Vec<Stream> {
    let stream = |day: i64| {
        let title = rng.u32(..40);
        let ended_at = at(day * DAY_S + rng.i64(0..DAY_S));
        let (id, artist) = (format!("{title:022}"), format!("Artist {}", title / 4));
        stream_of(&id, &format!("Song {title}"), &artist, ended_at, rng.i64(1..200_000))
    };
    (-12 * 365..0).map(stream).collect()
}

fn stream_of(id: &str, name: &str, artist: &str, ended_at: DateTime<Utc>, ms_played: i64) -> Stream {
    let stream = Stream {
        logged_at: ended_at,
        digest: 0,
        started_at: ended_at,
        ended_at,
        ms_played,
        kind: StreamKind::Track,
        uri: Some(format!("spotify:track:{id}")),
        name: Some(name.to_owned()),
        creator: Some(artist.to_owned()),
        collection: None,
        collection_uri: None,
        reason_start: None,
        reason_end: None,
        shuffle: None,
        skipped: None,
        offline: None,
        incognito: None,
        platform: None,
        country: None,
        origin: StreamOrigin::Extended,
    };
    Stream { digest: stream.digest_with(0), ..stream }
}

#[test]
fn every_span_is_the_sum_of_its_rows() {
    on_both(async |db| {
        let mut rng = fastrand::Rng::with_seed(5);
        let streams = streams(&mut rng);
        let mut import = db.store.begin_import(db.account, false, at(0)).await.unwrap();
        import.add(&streams).await.unwrap();
        import.finish(&ImportOutcome { num_new: streams.len() as u64, ..ImportOutcome::default() }).await.unwrap();

        for _ in 0..40 {
            let since = at(rng.i64(-13 * 365..100) * DAY_S + rng.i64(0..DAY_S));
            let span = Span { since, until: since + TimeDelta::seconds(rng.i64(1..13 * 365 * DAY_S)) };
            let is_within = |stream: &&Stream| (span.since..span.until).contains(&stream.ended_at);
            let expected: i64 = streams.iter().filter(is_within).map(|stream| stream.ms_played).sum();
            for what in [Heard::Artists, Heard::Tracks] {
                let heard = db.store.heard_most(db.account, what, span, 100).await.unwrap();
                let (ms, plays) = heard.iter().fold((0, 0), |(ms, plays), entry| (ms + entry.ms, plays + entry.plays));
                assert_eq!(ms, expected.unsigned_abs(), "{what:?} of {span:?}");
                let num_counted = streams.iter().filter(is_within).filter(|stream| stream.ms_played >= 30_000).count();
                assert_eq!(plays, num_counted as u64, "{what:?} of {span:?}");
            }
        }
    });
}

#[test]
fn no_window_has_many_rows_and_their_sums_are_those_of_all() {
    const LEN: usize = 37;
    on_both(async |db| {
        let streams = streams(&mut fastrand::Rng::with_seed(6));
        let mut import = db.store.begin_import(db.account, false, at(0)).await.unwrap();
        import.add(&streams).await.unwrap();
        import.finish(&ImportOutcome { num_new: streams.len() as u64, ..ImportOutcome::default() }).await.unwrap();
        let sums = async || {
            let sums = "period || ' ' || item_id || ' ' || plays || ' ' || ms || ' ' || first_at || ' ' || last_at";
            let half_hours = "half_hour || ' ' || plays || ' ' || ms";
            let sums = db.texts(sums, "heard_sums ORDER BY period, item_id").await;
            [sums, db.texts(half_hours, "heard_half_hours ORDER BY half_hour").await]
        };
        let at_once = sums().await;

        db.execute("INSERT INTO heard_stale SELECT DISTINCT account_id, period FROM heard_sums WHERE period > 9999")
            .await;
        let mut conn = db.store.connect().await.unwrap();
        while conn.transaction(async |conn| heard::refresh_by(conn, db.account, None, LEN).await).await.unwrap() {}
        let (begin, end) = (streams[0].ended_at - TimeDelta::days(1), at(DAY_S));
        let mut window = Window { from: begin, to: begin };
        let mut num_rows = 0;
        while window.to < end {
            window = heard::next_window(&mut conn, db.account, window.to, end, LEN).await.unwrap();
            let is_within = |stream: &&Stream| (window.from..window.to).contains(&stream.ended_at);
            let len = streams.iter().filter(is_within).count();
            assert!(len <= LEN + 1, "{len} streams in {window:?}");
            num_rows += len;
        }
        drop(conn);
        assert_eq!(num_rows, streams.len());
        assert_eq!(sums().await, at_once);
    });
}

#[test]
fn what_was_heard_under_another_id_counts_before_and_after_isrcs_are_indexed() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["unheard", "saved", "single", "both", "unsaved"]), at(1)).await;
        db.execute("UPDATE tracks SET isrc = 'ISRCsaved' WHERE id = 'single'").await;
        db.execute("UPDATE saved_tracks SET removed_at = added_at WHERE track_id IN ('single', 'unsaved')").await;
        let heard = |(at_s, id): (i64, &str)| stream_of(id, id, &format!("Artist of {id}"), at(at_s), 60_000);
        let streams: Vec<Stream> = (10..).zip(["single", "both", "unsaved"].repeat(2)).map(heard).collect();
        let mut import = db.store.begin_import(db.account, false, at(2)).await.unwrap();
        import.add(&streams).await.unwrap();
        import.finish(&ImportOutcome { num_new: streams.len() as u64, ..ImportOutcome::default() }).await.unwrap();
        let expect_the_same = async || {
            let unheard = db.store.saved_unheard(db.account, 9).await.unwrap();
            assert_eq!(unheard.iter().map(|track| track.track_id.as_str()).collect::<Vec<_>>(), ["unheard"]);
            let unsaved = db.store.heard_unsaved(db.account, 9).await.unwrap();
            assert_eq!(unsaved.iter().map(|entry| entry.plays).collect::<Vec<_>>(), [2], "{unsaved:?}");
        };
        assert!(!db.store.index_isrcs().await.unwrap(), "not while the library is being read");
        expect_the_same().await;

        let complete = Checkpoint { is_complete: true, ..run.checkpoint.clone() };
        let end = Commit { checkpoint: complete, ..run.commit_of(Rows::Listing(vec![])) };
        db.store.commit(end, at(30)).await.unwrap();
        assert!(db.store.index_isrcs().await.unwrap());
        assert!(!db.store.index_isrcs().await.unwrap(), "once is enough");
        expect_the_same().await;
    });
}
