//! Decodes the answer of `/me/player/recently-played` into plays: the envelope strictly, each row by itself.
//!
//! A play is identified by its moment and its item: a row that has both is kept whatever else is wrong with it, even
//! without a usable track. Order, cursors and `next` are ignored.

use super::{
    decode::{DecodeError, object},
    identity,
    media::{Media, media},
    row::{Row, timestamp},
    wire::{self, Lax, TrackWire, objects},
};
use crate::model::{Oddity, Play, PlaySlot, PlaysPage};
use chrono::{DateTime, Utc};
use serde::Deserialize;

#[derive(Deserialize)]
struct HistoryWire {
    /// Required; its elements may be anything, and no more than [`wire::ROWS_MAX`].
    #[serde(deserialize_with = "wire::rows")]
    items: Vec<Lax<PlayWire>>,
}

objects! {
    struct PlayWire {
        played_at: String,
        track: Box<TrackWire>,
        item: Box<TrackWire>,
        context: ContextWire,
    }

    struct ContextWire {
        uri: String,
    }
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
        Err(odd) => PlaySlot { play: None, played_at, odd: Some(row.named(odd)) },
    }
}

/// The moment is returned even if the row contains no play.
fn play(wire: Lax<PlayWire>, row: &mut Row, played_at: &mut Option<DateTime<Utc>>) -> Result<Play, Oddity> {
    let wire = row.open(wire)?;
    *played_at = timestamp(wire.played_at);
    let mut inner = row.inner("track", wire.track.or(wire.item))?;
    let context = row.take("context", wire.context).unwrap_or_default();
    let context_uri = row.within("context", |row| row.uri("uri", context.uri));
    let Media { uri, track, .. } = row.within("track", |row| media(&mut inner, false, row))?;
    let uri = match (uri, &track) {
        (Some(uri), _) => identity::key(uri),
        // In place of a URI: for a local file its id is one.
        (None, Some(track)) if track.id.starts_with("spotify:") => track.id.clone(),
        (None, Some(track)) => format!("spotify:track:{}", track.id),
        (None, None) => return Err(row.odd.take().unwrap_or(Oddity::MissingId)),
    };
    let Some(played_at) = *played_at else {
        row.label(track.as_ref().map(|track| track.name.as_str()), Some(&uri));
        return Err(Oddity::Undecodable("played_at".into()));
    };
    if track.is_none() {
        // The catalogue has no place for an episode: its name is kept with the note.
        let why = row.odd.take().unwrap_or(Oddity::Misplaced);
        row.odd = Some(row.named(why));
    }
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
    fn a_play_whose_time_has_no_zone_is_read() {
        for (played_at, at) in [
            ("2026-09-07T10:11:12", "2026-09-07T10:11:12+00:00"),
            ("2026-09-07 10:11:12", "2026-09-07T10:11:12+00:00"),
            ("2026-09-07T10:11:12+0100", "2026-09-07T09:11:12+00:00"),
        ] {
            let slot = one(json!({"played_at": played_at, "track": {"id": "t1", "name": "One"}}));
            assert_eq!((slot.play.unwrap().played_at.to_rfc3339().as_str(), slot.odd), (at, None), "{played_at}");
        }
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
    fn a_play_is_kept_whatever_was_played() {
        let local = "spotify:local:Artist:Album:Song:200";
        let named = |why: Oddity, name: Option<&str>, uri: &str| {
            Some(Oddity::Named { why: Box::new(why), name: name.map(str::to_owned), uri: Some(uri.into()) })
        };
        let rows = [
            (json!({"id": null, "name": "Song", "uri": local}), local, Some(local), None),
            (json!({"name": "Song", "uri": local, "type": "track", "is_local": true}), local, Some(local), None),
            (
                json!({"name": "Song", "is_local": true, "artists": [{"name": "Artist"}], "album": {"name": "Album"},
                    "duration_ms": 200_000}),
                local,
                Some(local),
                None,
            ),
            (
                json!({"id": null, "name": "One", "uri": "spotify:track:t1"}),
                "spotify:track:t1",
                Some("t1"),
                Some(Oddity::MissingId),
            ),
            (
                json!({"id": "e1", "name": "E", "type": "track", "uri": "spotify:episode:e1"}),
                "spotify:episode:e1",
                None,
                named(Oddity::Misplaced, Some("E"), "spotify:episode:e1"),
            ),
            (
                json!({"uri": "spotify:hologram:h1"}),
                "spotify:hologram:h1",
                None,
                named(Oddity::UnknownKind, None, "spotify:hologram:h1"),
            ),
        ];
        for (track, uri, id, odd) in rows {
            let slot = one(played(track, json!({})));
            let play = slot.play.unwrap();
            assert_eq!((play.track_uri.as_str(), slot.odd), (uri, odd));
            assert_eq!(play.track.map(|track| track.id).as_deref(), id);
        }
        let slot = one(played(json!({"id": "t1", "name": "", "uri": "spotify:track:t1"}), json!({})));
        assert_eq!((slot.play.unwrap().track.is_some(), slot.odd), (true, Some(Oddity::MissingName)));
    }

    #[test]
    fn a_play_of_a_local_file_with_a_long_uri_is_stored() {
        for len in [30, 50, 300] {
            let uri = format!("spotify:local:{}:::1", "%E9%9F%B3".repeat(len));
            let slot = one(played(json!({"id": null, "name": "Song", "uri": uri}), json!({})));
            let play = slot.play.unwrap();
            let track = play.track.unwrap();
            assert_eq!((track.uri.as_deref(), &track.id, slot.odd), (Some(uri.as_str()), &play.track_uri, None));
            assert_eq!(play.track_uri == uri, uri.len() <= 1000);
        }
    }

    #[test]
    fn a_byte_that_is_no_text_does_not_stop_the_history() {
        let body = b"{\"items\": [{\"played_at\": \"2026-09-07T10:11:12Z\", \"track\": {\"id\": \"t1\", \"name\": \"a\xff\"}}]}";
        let slot = page(body).unwrap().slots.remove(0);
        assert_eq!(slot.play.unwrap().track.unwrap().name, "a\u{FFFD}");
        assert_eq!(slot.odd, Some(Oddity::Undecodable("track.name".into())));
    }

    #[test]
    fn a_row_that_is_no_play_keeps_its_slot_and_says_why() {
        let named = |why: Oddity| Oddity::Named { why: Box::new(why), name: Some("One".into()), uri: None };
        let in_full = |why: Oddity| Oddity::Named {
            why: Box::new(why),
            name: Some("One".into()),
            uri: Some("spotify:track:t1".into()),
        };
        let undated = || Oddity::Undecodable("played_at".into());
        let rows = [
            (Value::Null, None, Oddity::Null),
            (json!({"played_at": AT, "track": null}), Some(AT), Oddity::Null),
            (json!({"played_at": AT}), Some(AT), Oddity::Null),
            (json!({"played_at": AT, "track": "One"}), Some(AT), Oddity::Undecodable("track".into())),
            (json!({"played_at": AT, "track": {"name": "One"}}), Some(AT), named(Oddity::MissingId)),
            (json!({"track": {"id": "t1", "name": "One"}}), None, in_full(undated())),
            (json!({"played_at": "lately", "track": {"id": "t1", "name": "One"}}), None, in_full(undated())),
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
    fn a_history_of_many_more_rows_than_there_can_be_is_refused() {
        let body = |num: usize| json!({"items": vec![Value::Null; num]}).to_string();
        assert!(page(body(wire::ROWS_MAX).as_bytes()).is_ok());
        assert!(matches!(page(body(wire::ROWS_MAX + 1).as_bytes()), Err(DecodeError::TooManyRows)));
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
