//! What was heard, summed up ahead, is what the rows say.

use super::*;
use crate::model::stream::{Stream, StreamKind, StreamOrigin};
use crate::store::ImportOutcome;
use crate::store::browse::{Heard, Span};

const DAY_S: i64 = 86_400;

/// Twelve years of one stream a day, of 40 titles.
fn streams(rng: &mut fastrand::Rng) -> Vec<Stream> {
    let stream = |day: i64| {
        let title = rng.u32(..40);
        let ended_at = at(day * DAY_S + rng.i64(0..DAY_S));
        let stream = Stream {
            logged_at: ended_at,
            digest: 0,
            started_at: ended_at,
            ended_at,
            ms_played: rng.i64(1..200_000),
            kind: StreamKind::Track,
            uri: Some(format!("spotify:track:{title:022}")),
            name: Some(format!("Song {title}")),
            creator: Some(format!("Artist {}", title / 4)),
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
    };
    (-12 * 365..0).map(stream).collect()
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
