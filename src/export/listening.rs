//! What was listened to, for ListenBrainz and in the shape of Spotify's extended streaming history.

use super::Format;
use crate::model::stream::{Stream, StreamKind};
use crate::store::PlayLine;
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Longest listen that ListenBrainz takes, in bytes.
const LISTEN_LEN_MAX: usize = 10_240;

/// Which moment of a listen is told. Spotify tells its end, and so do ListenBrainz' own readers of Spotify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ListenTime {
    #[default]
    End,
    /// Where it is known how long it lasted.
    Start,
}

/// Listens, in one of the two formats.
pub struct Listens<W: Write> {
    out: W,
    format: Format,
    time: ListenTime,
    has_listens: bool,
    /// Those that the format cannot hold: without a name or an artist.
    pub num_left_out: u64,
}

impl<W: Write> Listens<W> {
    pub fn begin(format: Format, time: ListenTime, mut out: W) -> io::Result<Listens<W>> {
        if format == Format::Spotify {
            out.write_all(b"[")?;
        }
        Ok(Listens { out, format, time, has_listens: false, num_left_out: 0 })
    }

    pub fn write(&mut self, line: &PlayLine) -> io::Result<()> {
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

    /// A stream of a data export as it came, for what reads that shape.
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
fn listen(line: &PlayLine, time: ListenTime) -> Option<Value> {
    let track = &line.track;
    let name = track.name.as_deref().filter(|name| !name.is_empty())?;
    let artist = track.artists.first().map(|artist| artist.name.as_str()).filter(|name| !name.is_empty())?;
    let played = line.ms_played.filter(|_| time == ListenTime::Start).unwrap_or_default();
    let listened_at = (line.played_at - TimeDelta::milliseconds(played.into())).timestamp();
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

/// The row that it was, but for what is nobody's business.
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

/// A row of the extended streaming history, with all of its 23 keys; what is not known is null.
fn stream(line: &PlayLine) -> Value {
    let track = &line.track;
    let is_episode = line.uri.starts_with("spotify:episode:");
    let of_track = |value: Option<Value>| value.filter(|_| !is_episode);
    let album = track.album.as_ref();
    let artist = album.and_then(|album| album.artists.first()).or(track.artists.first());
    json!({
        "ts": line.played_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "platform": null,
        "ms_played": line.ms_played,
        "conn_country": null,
        "ip_addr": null,
        "master_metadata_track_name": of_track(track.name.as_deref().map(Value::from)),
        "master_metadata_album_artist_name": of_track(artist.map(|artist| artist.name.as_str().into())),
        "master_metadata_album_album_name": of_track(album.map(|album| album.name.as_str().into())),
        "spotify_track_uri": of_track(Some(line.uri.as_str().into())),
        "episode_name": track.name.as_deref().filter(|_| is_episode),
        "episode_show_name": null,
        "spotify_episode_uri": Some(&line.uri).filter(|_| is_episode),
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
    use chrono::DateTime;

    fn play(name: Option<&str>) -> PlayLine {
        PlayLine {
            played_at: DateTime::from_timestamp_millis(1_740_938_671_900).unwrap(),
            ms_played: Some(201_340),
            uri: "spotify:track:t1".into(),
            source: "api".into(),
            track: TrackFacts {
                id: Some("t1".into()),
                name: name.map(str::to_owned),
                artists: vec![ArtistLink { id: "a1".into(), name: "The Tin Lanterns".into() }],
                ..TrackFacts::default()
            },
            ..PlayLine::default()
        }
    }

    fn written(format: Format, time: ListenTime, plays: &[PlayLine]) -> (String, u64) {
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
    fn a_listen_that_is_too_long_is_left_out() {
        assert_eq!(written(Format::Listenbrainz, ListenTime::End, &[play(Some(&"x".repeat(11_000)))]).1, 1);
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
