//! The CSV files of Exportify (<https://github.com/watsonbox/exportify>) and of exportify.net
//! (<https://github.com/pavelkomarov/exportify>): columns, quoting and the joining of names are theirs. What segno does not
//! know (previews, popularity, audio features) stays empty.

use super::{joined, plain, unwrapped};
use crate::store::{Shared, TrackLine, browse::ArtistLink};
use chrono::SecondsFormat;
use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use std::io::{self, Write};

const EXPORTIFY: [&str; 19] = [
    "Track URI",
    "Track Name",
    "Artist URI(s)",
    "Artist Name(s)",
    "Album URI",
    "Album Name",
    "Album Artist URI(s)",
    "Album Artist Name(s)",
    "Album Release Date",
    "Album Image URL",
    "Disc Number",
    "Track Number",
    "Track Duration (ms)",
    "Track Preview URL",
    "Explicit",
    "Popularity",
    "ISRC",
    "Added By",
    "Added At",
];

const EXPORTIFY_NET: [&str; 24] = [
    "Track URI",
    "Track Name",
    "Album Name",
    "Artist Name(s)",
    "Release Date",
    "Duration (ms)",
    "Popularity",
    "Explicit",
    "Added By",
    "Added At",
    "Genres",
    "Record Label",
    "Danceability",
    "Energy",
    "Key",
    "Loudness",
    "Mode",
    "Speechiness",
    "Acousticness",
    "Instrumentalness",
    "Liveness",
    "Valence",
    "Tempo",
    "Time Signature",
];

pub struct Exportify<W: Write>(Writer<W>);

impl<W: Write> Exportify<W> {
    pub fn begin(out: W) -> io::Result<Exportify<W>> {
        let mut writer = writer(out, QuoteStyle::Always);
        writer.write_record(EXPORTIFY).map_err(plain)?;
        Ok(Exportify(writer))
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        let Some(uri) = &line.uri else { return Ok(()) };
        let track = &line.track;
        let album = track.album.as_ref();
        let album_artists = album.map(|album| album.artists.as_slice()).unwrap_or_default();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        self.0
            .write_record([
                uri.clone(),
                text(track.name.as_ref()),
                artist_uris(&track.artists),
                names(track.artists.iter().map(|artist| artist.name.as_str())),
                album.map(|album| format!("spotify:album:{}", album.id)).unwrap_or_default(),
                text(album.map(|album| &album.name)),
                artist_uris(album_artists),
                names(album_artists.iter().map(|artist| artist.name.as_str())),
                text(album.and_then(|album| album.release_date.as_ref())),
                text(album.and_then(|album| album.image_url.as_ref())),
                number(track.disc_number),
                number(track.track_number),
                number(track.duration_ms),
                String::new(),
                track.explicit.map(|explicit| explicit.to_string()).unwrap_or_default(),
                String::new(),
                text(track.isrc.as_ref()),
                line.added_by.as_ref().map(|by| format!("spotify:user:{by}")).unwrap_or_default(),
                added_at(line),
            ])
            .map_err(plain)
    }

    pub fn finish(self) -> io::Result<W> {
        unwrapped(self.0)
    }
}

pub struct ExportifyNet<W: Write>(Writer<W>);

impl<W: Write> ExportifyNet<W> {
    pub fn begin(out: W) -> io::Result<ExportifyNet<W>> {
        let mut writer = writer(out, QuoteStyle::Necessary);
        writer.write_record(EXPORTIFY_NET).map_err(plain)?;
        Ok(ExportifyNet(writer))
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        let Some(uri) = &line.uri else { return Ok(()) };
        let (track, album) = (&line.track, line.track.album.as_ref());
        let known = [
            uri.clone(),
            track.name.clone().unwrap_or_default(),
            album.map(|album| album.name.clone()).unwrap_or_default(),
            joined(track.artists.iter().map(|artist| artist.name.as_str()), ";"),
            album.and_then(|album| album.release_date.clone()).unwrap_or_default(),
            number(track.duration_ms),
            String::new(),
            track.explicit.map(|explicit| explicit.to_string()).unwrap_or_default(),
            line.added_by.clone().unwrap_or_default(),
            added_at(line),
        ];
        let unknown = vec![String::new(); EXPORTIFY_NET.len() - known.len()];
        self.0.write_record(known.into_iter().chain(unknown)).map_err(plain)
    }

    pub fn finish(self) -> io::Result<W> {
        unwrapped(self.0)
    }
}

fn writer<W: Write>(out: W, quotes: QuoteStyle) -> Writer<W> {
    WriterBuilder::new().quote_style(quotes).terminator(Terminator::Any(b'\n')).from_writer(out)
}

/// Distinguishes a comma inside a name from one between two.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| name.replace(',', "\\,")).collect::<Vec<_>>().join(", ")
}

/// Artists of local files have no address.
fn artist_uris(artists: &[Shared<ArtistLink>]) -> String {
    let uri = |id: &str| if id.starts_with("local:") { String::new() } else { format!("spotify:artist:{id}") };
    artists.iter().map(|artist| uri(&artist.id)).collect::<Vec<_>>().join(", ")
}

fn number(number: Option<i32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn added_at(line: &TrackLine) -> String {
    line.added_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AlbumFacts, TrackFacts};

    fn line() -> TrackLine {
        let artist = |id: &str, name: &str| ArtistLink { id: id.into(), name: name.into() }.into();
        TrackLine {
            added_at: chrono::DateTime::from_timestamp(1_740_938_671, 500_000_000),
            added_by: Some("ek".into()),
            position: Some(0),
            uri: Some("spotify:track:t1".into()),
            track: TrackFacts {
                id: Some("t1".into()),
                name: Some("Say \"Hi\"".into()),
                artists: vec![artist("a1", "Earth, Wind"), artist("a2", "Fire")],
                album: Some(
                    AlbumFacts {
                        id: "l1".into(),
                        name: "Low Tide".into(),
                        artists: vec![artist("a1", "Earth, Wind")],
                        release_date: Some("2025-03".into()),
                        ..AlbumFacts::default()
                    }
                    .into(),
                ),
                disc_number: Some(1),
                track_number: Some(3),
                duration_ms: Some(201_340),
                explicit: Some(false),
                isrc: Some("ZZAAA2500001".into()),
            },
        }
    }

    #[test]
    fn exportify_quotes_all_and_joins_names_as_it_does() {
        let mut out = Exportify::begin(Vec::new()).unwrap();
        out.write(&line()).unwrap();
        out.write(&TrackLine::default()).unwrap();
        let text = String::from_utf8(out.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("\"Track URI\",\"Track Name\",\"Artist URI(s)\","), "{text}");
        assert_eq!(
            lines[1..],
            [
                "\"spotify:track:t1\",\"Say \"\"Hi\"\"\",\"spotify:artist:a1, spotify:artist:a2\",\"Earth\\, Wind, Fire\",\
              \"spotify:album:l1\",\"Low Tide\",\"spotify:artist:a1\",\"Earth\\, Wind\",\"2025-03\",\"\",\"1\",\"3\",\
              \"201340\",\"\",\"false\",\"\",\"ZZAAA2500001\",\"spotify:user:ek\",\"2025-03-02T18:04:31Z\""
            ]
        );
    }

    #[test]
    fn exportify_net_quotes_what_needs_it_and_has_all_its_columns() {
        let mut out = ExportifyNet::begin(Vec::new()).unwrap();
        out.write(&line()).unwrap();
        let text = String::from_utf8(out.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "spotify:track:t1,\"Say \"\"Hi\"\"\",Low Tide,\"Earth, Wind;Fire\",2025-03,201340,,false,ek,\
             2025-03-02T18:04:31Z,,,,,,,,,,,,,,"
        );
        assert_eq!(lines[0].matches(',').count(), 23);
    }
}
