//! What was listened to, for ListenBrainz and in the shape of Spotify's extended streaming history.

use super::Format;
use crate::model::stream::{Stream, StreamKind};
use crate::store::ListenLine;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Requirements of ListenBrainz (<https://listenbrainz.readthedocs.io/en/latest/users/api/core.html>): longest listen
/// in bytes, earliest in unix seconds (October 2002), and how much of a track was listened to: half of it, or four
/// minutes.
const LISTEN_LEN_MAX: usize = 10_240;
const LISTENED_AT_MIN: i64 = 1_033_430_400;
const LISTENED_MS: i64 = 4 * 60 * 1000;

/// How much counts if the length of the track is not known; Spotify's own measure.
const COUNTS_MS: i64 = 30_000;

/// Which moment of a listen is written. Spotify reports its end, and so do ListenBrainz' own Spotify importers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ListenTime {
    #[default]
    End,
    /// If its duration is known.
    Start,
}

/// Listens, in one of the two formats.
pub struct Listens<W: Write> {
    out: W,
    format: Format,
    time: ListenTime,
    has_listens: bool,
    /// Those that the format cannot hold.
    pub num_left_out: u64,
}

impl<W: Write> Listens<W> {
    pub fn begin(format: Format, time: ListenTime, mut out: W) -> io::Result<Listens<W>> {
        if format == Format::Spotify {
            out.write_all(b"[")?;
        }
        Ok(Listens { out, format, time, has_listens: false, num_left_out: 0 })
    }

    pub fn write(&mut self, line: &ListenLine) -> io::Result<()> {
        if self.format == Format::Spotify {
            let between = if std::mem::replace(&mut self.has_listens, true) { "," } else { "" };
            return write!(self.out, "{between}\n{}", stream(line));
        }
        match listen(line, self.time).map(|listen| listen.to_string()).filter(|text| text.len() <= LISTEN_LEN_MAX) {
            Some(text) => writeln!(self.out, "{text}"),
            None => {
                self.num_left_out += 1;
                Ok(())
            }
        }
    }

    /// A stream of a data export as it was, for readers of that shape.
    pub fn write_stream(&mut self, stream: &Stream) -> io::Result<()> {
        let between = if std::mem::replace(&mut self.has_listens, true) { "," } else { "" };
        write!(self.out, "{between}\n{}", imported(stream))
    }

    pub fn finish(mut self) -> io::Result<W> {
        if self.format == Format::Spotify {
            self.out.write_all(b"\n]\n")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// <https://listenbrainz.readthedocs.io/en/latest/users/json.html>
fn listen(line: &ListenLine, time: ListenTime) -> Option<Value> {
    let track = &line.track;
    if line.kind == "episode" || line.kind == "chapter" || line.incognito == Some(true) || !is_listened(line) {
        return None;
    }
    let name = track.name.as_deref().filter(|name| !name.is_empty())?;
    let artist = track.artists.first().map(|artist| artist.name.as_str()).filter(|name| !name.is_empty())?;
    let listened_at = Some(moment(line, time).timestamp()).filter(|at| *at >= LISTENED_AT_MIN)?;
    let mut info = Map::new();
    let address = |kind: &str, id: &str| format!("https://open.spotify.com/{kind}/{id}");
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            info.insert(name.to_owned(), value);
        }
    };
    put("duration_ms", track.duration_ms.map(Value::from));
    put("ms_played", line.ms_played.map(Value::from));
    put("isrc", track.isrc.as_deref().map(Value::from));
    put("tracknumber", track.track_number.map(Value::from));
    put("discnumber", track.disc_number.map(Value::from));
    put("artist_names", Some(track.artists.iter().map(|artist| artist.name.as_str()).collect()));
    let id = track.id.as_deref().filter(|id| !id.starts_with("spotify:"));
    put("spotify_id", id.map(|id| address("track", id).into()));
    put("origin_url", id.map(|id| address("track", id).into()));
    let artists = track.artists.iter().filter(|artist| !artist.id.starts_with("local:"));
    put("spotify_artist_ids", Some(artists.map(|artist| address("artist", &artist.id)).collect()));
    let album = track.album.as_ref().filter(|album| !album.id.starts_with("local:"));
    put("spotify_album_id", album.map(|album| address("album", &album.id).into()));
    put("release_artist_name", album.and_then(|album| Some(album.artists.first()?.name.as_str().into())));
    put("music_service", Some("spotify.com".into()));
    put("submission_client", Some("segno".into()));
    let mut metadata = json!({ "artist_name": artist, "track_name": name, "additional_info": info });
    if let Some(album) = &track.album {
        metadata["release_name"] = json!(album.name);
    }
    Some(json!({ "listened_at": listened_at, "track_metadata": metadata }))
}

fn moment(line: &ListenLine, time: ListenTime) -> DateTime<Utc> {
    let told = line.played_at.unwrap_or(line.ended_at);
    match (time, line.started_at) {
        (ListenTime::End, _) => told,
        (ListenTime::Start, Some(start)) => start,
        (ListenTime::Start, None) => told - TimeDelta::milliseconds(line.ms_played.unwrap_or_default()),
    }
}

/// Whether enough of it was played to be a listen. The API reports only what was played.
fn is_listened(line: &ListenLine) -> bool {
    let enough = line.track.duration_ms.map_or(COUNTS_MS, |ms| LISTENED_MS.min(i64::from(ms) / 2));
    line.ms_played.is_none_or(|ms| ms >= enough)
}

/// The original row, without private fields.
fn imported(stream: &Stream) -> Value {
    let (start, has_uri) = stream.as_written();
    let of =
        |kind: StreamKind, text: &Option<String>| text.as_deref().filter(|_| stream.kind == kind).map(str::to_owned);
    let uri = stream.uri.clone().filter(|_| has_uri);
    // Rows without a kind are those of a track that has lost its name, or something else under a track's key.
    let of_track = |text: &Option<String>| of(StreamKind::Track, text).or_else(|| of(StreamKind::Unknown, text));
    // Older exports have milliseconds here, newer ones seconds.
    let start = start.map(|at| if at.timestamp_subsec_millis() == 0 { at.timestamp() } else { at.timestamp_millis() });
    json!({
        "ts": stream.logged_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "platform": stream.platform,
        "ms_played": stream.ms_played,
        "conn_country": stream.country,
        "ip_addr": null,
        "master_metadata_track_name": of_track(&stream.name),
        "master_metadata_album_artist_name": of_track(&stream.creator),
        "master_metadata_album_album_name": of_track(&stream.collection),
        "spotify_track_uri": of_track(&uri),
        "episode_name": of(StreamKind::Episode, &stream.name),
        "episode_show_name": of(StreamKind::Episode, &stream.collection),
        "spotify_episode_uri": of(StreamKind::Episode, &uri),
        "audiobook_title": of(StreamKind::Chapter, &stream.collection),
        "audiobook_uri": of(StreamKind::Chapter, &stream.collection_uri),
        "audiobook_chapter_uri": of(StreamKind::Chapter, &uri),
        "audiobook_chapter_title": of(StreamKind::Chapter, &stream.name),
        "reason_start": stream.reason_start,
        "reason_end": stream.reason_end,
        "shuffle": stream.shuffle,
        "skipped": stream.skipped,
        "offline": stream.offline,
        "offline_timestamp": start,
        "incognito_mode": stream.incognito,
    })
}

/// A row of the extended streaming history, with all of its 23 keys; unknown values are null.
fn stream(line: &ListenLine) -> Value {
    let track = &line.track;
    let is_episode = line.kind == "episode";
    let of_track = |value: Option<Value>| value.filter(|_| !is_episode);
    let album = track.album.as_ref();
    let artist = album.and_then(|album| album.artists.first()).or(track.artists.first());
    json!({
        "ts": line.ended_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "platform": null,
        "ms_played": line.ms_played,
        "conn_country": null,
        "ip_addr": null,
        "master_metadata_track_name": of_track(track.name.as_deref().map(Value::from)),
        "master_metadata_album_artist_name": of_track(artist.map(|artist| artist.name.as_str().into())),
        "master_metadata_album_album_name": of_track(album.map(|album| album.name.as_str().into())),
        "spotify_track_uri": of_track(line.uri.as_deref().map(Value::from)),
        "episode_name": track.name.as_deref().filter(|_| is_episode),
        "episode_show_name": null,
        "spotify_episode_uri": line.uri.as_deref().filter(|_| is_episode),
        "audiobook_title": null,
        "audiobook_uri": null,
        "audiobook_chapter_uri": null,
        "audiobook_chapter_title": null,
        "reason_start": null,
        "reason_end": null,
        "shuffle": null,
        "skipped": null,
        "offline": null,
        "offline_timestamp": null,
        "incognito_mode": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{TrackFacts, browse::ArtistLink};

    fn play(name: Option<&str>) -> ListenLine {
        ListenLine {
            ended_at: DateTime::from_timestamp_millis(1_740_938_671_900).unwrap(),
            ms_played: Some(201_340),
            kind: "track".into(),
            uri: Some("spotify:track:t1".into()),
            source: "api".into(),
            track: TrackFacts {
                id: Some("t1".into()),
                name: name.map(str::to_owned),
                artists: vec![ArtistLink { id: "a1".into(), name: "The Tin Lanterns".into() }.into()],
                ..TrackFacts::default()
            },
            ..ListenLine::default()
        }
    }

    fn written(format: Format, time: ListenTime, plays: &[ListenLine]) -> (String, u64) {
        let mut listens = Listens::begin(format, time, Vec::new()).unwrap();
        plays.iter().for_each(|play| listens.write(play).unwrap());
        let num_left_out = listens.num_left_out;
        (String::from_utf8(listens.finish().unwrap()).unwrap(), num_left_out)
    }

    #[test]
    fn a_listen_needs_a_name_and_is_dated_by_its_end_unless_told_otherwise() {
        let (text, num_left_out) = written(Format::Listenbrainz, ListenTime::End, &[play(Some("One")), play(None)]);
        assert_eq!((text.lines().count(), num_left_out), (1, 1));
        let listen: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(listen["listened_at"], 1_740_938_671);
        assert_eq!(listen["track_metadata"]["additional_info"]["spotify_id"], "https://open.spotify.com/track/t1");
        let (text, _) = written(Format::Listenbrainz, ListenTime::Start, &[play(Some("One"))]);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["listened_at"], 1_740_938_470);
    }

    #[test]
    fn what_listenbrainz_does_not_want_is_left_out_and_counted() {
        let played = |ms_played, duration_ms| {
            let track = TrackFacts { duration_ms, ..play(Some("One")).track };
            ListenLine { ms_played, track, ..play(None) }
        };
        let whole = play(Some("One"));
        for (line, num_left_out) in [
            (whole.clone(), 0),
            (play(Some(&"x".repeat(11_000))), 1),
            (ListenLine { kind: "episode".into(), ..whole.clone() }, 1),
            (ListenLine { kind: "chapter".into(), ..whole.clone() }, 1),
            (ListenLine { incognito: Some(true), ..whole.clone() }, 1),
            (ListenLine { ended_at: DateTime::UNIX_EPOCH, ..whole }, 1),
            // Half of it, or four minutes; if its length is not known, 30 seconds.
            (played(Some(99_999), Some(200_000)), 1),
            (played(Some(100_000), Some(200_000)), 0),
            (played(Some(240_000), Some(3_600_000)), 0),
            (played(Some(29_999), None), 1),
            (played(None, Some(200_000)), 0),
        ] {
            assert_eq!(
                written(Format::Listenbrainz, ListenTime::End, std::slice::from_ref(&line)).1,
                num_left_out,
                "{line:?}"
            );
        }
    }

    #[test]
    fn what_both_tell_of_is_dated_as_the_api_dates_it() {
        let both = ListenLine {
            started_at: DateTime::from_timestamp(1_740_938_400, 0),
            played_at: DateTime::from_timestamp(1_740_938_670, 0),
            ..play(Some("One"))
        };
        for (time, listened_at) in [(ListenTime::End, 1_740_938_670), (ListenTime::Start, 1_740_938_400)] {
            let (text, _) = written(Format::Listenbrainz, time, std::slice::from_ref(&both));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["listened_at"], listened_at);
        }
    }

    #[test]
    fn a_stream_has_all_keys_of_the_newest_generation() {
        let (text, _) = written(Format::Spotify, ListenTime::End, &[play(Some("One")), play(None)]);
        let rows: Vec<Map<String, Value>> = serde_json::from_str(&text).unwrap();
        assert_eq!((rows.len(), rows[0].len()), (2, 23));
        assert_eq!(rows[0]["ts"], "2025-03-02T18:04:31Z");
        assert_eq!(rows[0]["master_metadata_album_artist_name"], "The Tin Lanterns");
        assert_eq!(written(Format::Spotify, ListenTime::End, &[]).0, "[\n]\n");
    }
}
