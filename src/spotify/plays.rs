//! The answer of `/me/player/recently-played` becomes plays: the envelope strictly, each row by itself.
//!
//! A play is known by when and what: a row that says both is kept whatever else is wrong with it, also without a usable
//! track. Order, cursors and `next` are not looked at.

use super::{
    decode::{DecodeError, is_local, object, track},
    row::{Row, timestamp},
    wire::{Lax, Shape, TrackWire, Written},
};
use crate::model::{Oddity, Play, PlaySlot, PlaysPage};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::mem::take;

#[derive(Deserialize)]
struct HistoryWire {
    /// It has to be there; its elements may be anything.
    items: Vec<Lax<PlayWire>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PlayWire {
    played_at: Lax<String>,
    track: Lax<TrackWire>,
    item: Lax<TrackWire>,
    context: Lax<ContextWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContextWire {
    uri: Lax<String>,
}

impl Shape for PlayWire {
    const WRITTEN: Written = Written::Object;
}

impl Shape for ContextWire {
    const WRITTEN: Written = Written::Object;
}

pub(super) fn page(body: &[u8]) -> Result<PlaysPage, DecodeError> {
    let history: HistoryWire = object(body)?;
    Ok(PlaysPage { slots: history.items.into_iter().map(slot).collect() })
}

fn slot(wire: Lax<PlayWire>) -> PlaySlot {
    let (mut row, mut played_at) = (Row::default(), None);
    let play = play(wire, &mut row, &mut played_at);
    match play {
        Ok(play) => PlaySlot { play: Some(play), played_at, odd: row.odd },
        Err(odd) => PlaySlot { play: None, played_at, odd: Some(odd) },
    }
}

/// The moment is handed out also where the row holds no play.
fn play(wire: Lax<PlayWire>, row: &mut Row, played_at: &mut Option<DateTime<Utc>>) -> Result<Play, Oddity> {
    let wire = row.open(wire)?;
    *played_at = timestamp(wire.played_at);
    let mut inner = row.inner("track", wire.track.or(wire.item))?;
    let context = row.take("context", wire.context).unwrap_or_default();
    let context_uri = row.within("context", |row| row.optional_id("uri", context.uri));
    let (uri, track) = row.within("track", |row| {
        let uri = row.optional_id("uri", take(&mut inner.uri));
        let word = row.text("type", take(&mut inner.kind));
        let word = word.as_deref().or_else(|| uri.as_deref()?.split(':').nth(1));
        let track = match word {
            _ if is_local(&inner) || uri.as_deref().is_some_and(|uri| uri.starts_with("spotify:local:")) => {
                Err(Oddity::LocalFile)
            }
            Some("track") | None => track(&mut inner, row),
            Some(_) => Err(Oddity::Undecodable(row.path("type"))),
        };
        (uri, track)
    });
    let uri = match (uri, &track) {
        (Some(uri), _) => uri,
        (None, Ok(track)) => format!("spotify:track:{}", track.id),
        (None, Err(odd)) => return Err(odd.clone()),
    };
    let played_at = played_at.ok_or_else(|| Oddity::Undecodable("played_at".into()))?;
    let track = track.map_err(|odd| row.note(odd)).ok();
    Ok(Play { played_at, track_uri: uri, track, context_uri })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const AT: &str = "2026-09-07T10:11:12.345Z";

    #[test]
    fn a_play_is_read_whole() {
        let slot = one(json!({"played_at": AT, "context": {"type": "album", "uri": "spotify:album:b1"}, "track": {
            "id": "t1", "uri": "spotify:track:t1", "name": "One", "duration_ms": 200_000, "type": "track",
            "external_ids": {"isrc": "X1"}, "artists": [{"id": "a1", "name": "A"}],
            "album": {"id": "b1", "name": "B", "artists": [{"id": "a1", "name": "A"}]}}}));
        let play = slot.play.unwrap();
        assert_eq!((play.played_at.to_rfc3339().as_str(), slot.odd), ("2026-09-07T10:11:12.345+00:00", None));
        assert_eq!(
            (play.track_uri.as_str(), play.context_uri.as_deref()),
            ("spotify:track:t1", Some("spotify:album:b1"))
        );
        let track = play.track.unwrap();
        assert_eq!((track.isrc.as_deref(), track.album.map(|album| album.id).as_deref()), (Some("X1"), Some("b1")));
    }

    #[test]
    fn a_play_without_a_context_is_not_odd() {
        for row in [json!({"context": null}), json!({}), json!({"context": {"uri": null}})] {
            let slot = one(played(json!({"id": "t1", "name": "One"}), row));
            let play = slot.play.unwrap();
            assert_eq!((play.context_uri, play.track_uri.as_str(), slot.odd), (None, "spotify:track:t1", None));
        }
    }

    #[test]
    fn what_can_be_identified_is_kept_without_a_track() {
        let local = "spotify:local:Artist:Album:Song:200";
        let rows = [
            (json!({"id": null, "name": "Song", "uri": local}), local, Oddity::LocalFile),
            (json!({"name": "Song", "uri": local, "type": "track", "is_local": true}), local, Oddity::LocalFile),
            (json!({"id": null, "uri": "spotify:track:t1"}), "spotify:track:t1", Oddity::MissingId),
            (
                json!({"id": "e1", "name": "E", "uri": "spotify:episode:e1"}),
                "spotify:episode:e1",
                Oddity::Undecodable("track.type".into()),
            ),
        ];
        for (track, uri, odd) in rows {
            let slot = one(played(track, json!({})));
            let play = slot.play.unwrap();
            assert_eq!((play.track_uri.as_str(), play.track, slot.odd), (uri, None, Some(odd)));
        }
        let slot = one(played(json!({"id": "t1", "name": "", "uri": "spotify:track:t1"}), json!({})));
        assert_eq!((slot.play.unwrap().track.is_some(), slot.odd), (true, Some(Oddity::MissingName)));
    }

    #[test]
    fn a_row_that_is_no_play_keeps_its_slot_and_says_why() {
        let rows = [
            (Value::Null, None, Oddity::Null),
            (json!({"played_at": AT, "track": null}), Some(AT), Oddity::Null),
            (json!({"played_at": AT}), Some(AT), Oddity::Null),
            (json!({"played_at": AT, "track": "One"}), Some(AT), Oddity::Undecodable("track".into())),
            (json!({"played_at": AT, "track": {"name": "One"}}), Some(AT), Oddity::MissingId),
            (json!({"track": {"id": "t1", "name": "One"}}), None, Oddity::Undecodable("played_at".into())),
            (
                json!({"played_at": "lately", "track": {"id": "t1", "name": "One"}}),
                None,
                Oddity::Undecodable("played_at".into()),
            ),
            (json!("One"), None, Oddity::Undecodable("row".into())),
            (json!([AT, {"id": "t1"}]), None, Oddity::Undecodable("row".into())),
        ];
        for (row, at, odd) in rows {
            let slot = one(row.clone());
            let at = at.map(|at| at.parse::<DateTime<Utc>>().unwrap());
            assert_eq!((slot.play, slot.played_at, slot.odd), (None, at, Some(odd)), "{row}");
        }
    }

    #[test]
    fn an_odd_row_costs_only_itself() {
        let whole = played(json!({"id": "t1", "name": "One"}), json!({}));
        let body = json!({"items": [whole, null, {"track": 5}, whole], "next": null, "cursors": null});
        let page = page(body.to_string().as_bytes()).unwrap();
        let kept: Vec<bool> = page.slots.iter().map(|slot| slot.play.is_some()).collect();
        assert_eq!(kept, [true, false, false, true]);
    }

    #[test]
    fn an_empty_history_is_a_page() {
        for body in [r#"{"items":[],"next":null,"cursors":null,"limit":50}"#, r#"{"items":[]}"#] {
            assert_eq!(page(body.as_bytes()).unwrap(), PlaysPage::default());
        }
    }

    #[test]
    fn a_body_that_is_no_history_is_refused_whole() {
        for body in
            ["", "null", "[]", "{}", "<html>oops</html>", r#"{"items":null}"#, r#"{"items":{}}"#, r#"{"items":[{"#]
        {
            assert!(page(body.as_bytes()).is_err(), "{body}");
        }
    }

    fn played(track: Value, rest: Value) -> Value {
        let mut row = json!({"played_at": AT, "track": track});
        row.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        row
    }

    fn one(row: Value) -> PlaySlot {
        let page = page(json!({"items": [row]}).to_string().as_bytes()).unwrap();
        page.slots.into_iter().next().unwrap()
    }
}
