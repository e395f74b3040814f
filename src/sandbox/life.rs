//! The life of the library's owner, for a demo that stays: something is played every few seconds, now and then
//! something is saved, removed or put into a playlist, and once a minute the limit is hit.

use std::time::Duration;

use serde_json::{Value, json};

use super::edits::Edit;
use super::faults::Rules;
use super::http::Moment;
use super::library::Library;
use super::limits::Origin;
use super::server::Shared;
use super::service::Service;

/// Interval between two events.
const STEP: Duration = Duration::from_secs(10);

/// The limit is hit every this many steps.
const LIMITED_EVERY: u64 = 6;

/// The wait that the limit asks for, in seconds.
const LIMITED_FOR: &str = "8";

/// Runs until it is aborted.
pub async fn live(shared: Shared) {
    let mut number = 0;
    loop {
        tokio::time::sleep(STEP).await;
        number += 1;
        step(&mut shared.lock(), number, Moment::now());
    }
}

/// What happens in one step.
fn step(service: &mut Service, number: u64, now: Moment) {
    for edit in edits(&mut service.library, number) {
        let edit: Edit = serde_json::from_value(edit).expect("the edits are well-formed");
        // A library that has become empty has nothing to remove.
        let _ = service.edit(&[edit], now);
    }
    if number.is_multiple_of(LIMITED_EVERY) {
        let rule = json!([{ "times": 1, "do": { "kind": "rate_limited", "retry_after": LIMITED_FOR } }]);
        let rules = serde_json::from_value(rule).expect("the rule is well-formed");
        service.limiter.end_pauses(Origin::Rule);
        service.rules = Rules::new(rules).expect("the rule makes sense");
    }
}

fn edits(library: &mut Library, number: u64) -> Vec<Value> {
    let is_turn = |every: u64, at: u64| number % every == at;
    let (tracks, playlists) = (library.tracks.len(), library.playlists.len());
    let is_own = |at: &usize| {
        let playlist = library.playlists[*at].as_ref();
        playlist.is_some_and(|playlist| playlist.owner.id == library.account.id)
    };
    let own: Vec<usize> = (0..playlists).filter(is_own).collect();
    let rng = &mut library.rng;
    let mut edits = vec![json!({ "op": "play" })];
    if is_turn(3, 0) {
        edits.push(json!({ "op": "add_tracks", "count": 1 }));
    }
    if is_turn(5, 1) && tracks > 1 {
        edits.push(json!({ "op": "remove_tracks", "offset": rng.usize(..tracks) }));
    }
    if let Some(index) = rng.choice(&own) {
        if is_turn(4, 1) {
            edits.push(json!({ "op": "playlist_insert", "index": index, "position": 0, "count": 2 }));
        }
        if is_turn(7, 3) {
            edits.push(json!({ "op": "playlist_remove", "index": index, "position": 0 }));
        }
    }
    if is_turn(12, 2) {
        edits.push(json!({ "op": "add_albums", "count": 1 }));
    }
    if is_turn(12, 8) {
        edits.push(json!({ "op": "follow", "count": 1 }));
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    #[test]
    fn an_hour_of_it_changes_everything_and_meets_the_limit_each_minute() {
        let (mut service, _) = Service::new(&Config::default(), Moment::now());
        let size = |service: &Service| {
            let library = &service.library;
            (library.tracks.len(), library.albums.len(), library.artists.len())
        };
        let snapshots = |service: &Service| -> Vec<String> {
            service.library.playlists.iter().flatten().map(|playlist| playlist.snapshot_id.clone()).collect()
        };
        let (before, listed) = (size(&service), snapshots(&service));
        let mut num_limits = 0;
        for number in 1..=360 {
            step(&mut service, number, Moment::now());
            num_limits += std::mem::take(&mut service.rules).counts().len();
        }
        let after = size(&service);
        assert!(after.0 > before.0 && after.1 > before.1 && after.2 > before.2, "{before:?} {after:?}");
        assert_ne!(snapshots(&service), listed);
        assert_eq!(num_limits, 60);
    }
}
