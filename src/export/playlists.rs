//! A list of tracks as a playlist for other programs: M3U8, XSPF (<https://xspf.org/spec>) and JSPF
//! (<https://xspf.org/jspf>).

use super::{joined, one_line};
use crate::store::TrackLine;
use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use serde_json::json;
use std::io::{self, Write};

pub struct M3u8<W: Write>(W);

impl<W: Write> M3u8<W> {
    pub fn begin(mut out: W, title: &str) -> io::Result<M3u8<W>> {
        write!(out, "#EXTM3U\n#PLAYLIST:{}\n", one_line(title))?;
        Ok(M3u8(out))
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        let Some(uri) = &line.uri else { return Ok(()) };
        // Rounded up: 0 would mean that the length is not known.
        let seconds = line.track.duration_ms.map_or(-1, |ms| (i64::from(ms) + 999) / 1000);
        let name = one_line(line.track.name.as_deref().unwrap_or_default());
        let artists = one_line(&creator(line));
        let shown = if artists.is_empty() { name } else { format!("{artists} - {name}") };
        writeln!(self.0, "#EXTINF:{seconds},{shown}\n{}", one_line(uri))
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.0.flush()?;
        Ok(self.0)
    }
}

pub struct Jspf<W: Write> {
    out: W,
    has_tracks: bool,
}

impl<W: Write> Jspf<W> {
    pub fn begin(mut out: W, title: &str) -> io::Result<Jspf<W>> {
        write!(out, "{{\"playlist\":{{\"title\":{},\"creator\":\"segno\",\"track\":[", json!(title))?;
        Ok(Jspf { out, has_tracks: false })
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        let Some(address) = line.uri.as_deref().map(address) else { return Ok(()) };
        let track = &line.track;
        let mut fields = json!({ "location": [address], "title": track.name, "creator": creator(line) });
        let optional = [
            ("identifier", track.isrc.as_ref().map(|isrc| json!([format!("isrc:{isrc}")]))),
            ("album", track.album.as_ref().map(|album| json!(album.name))),
            ("trackNum", track.track_number.filter(|number| *number > 0).map(|number| json!(number))),
            ("duration", track.duration_ms.map(|ms| json!(ms))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                fields[name] = value;
            }
        }
        let between = if std::mem::replace(&mut self.has_tracks, true) { "," } else { "" };
        write!(self.out, "{between}\n{fields}")
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]}}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}

pub struct Xspf<W: Write>(Writer<W>);

impl<W: Write> Xspf<W> {
    pub fn begin(out: W, title: &str) -> io::Result<Xspf<W>> {
        let mut writer = Writer::new(out);
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let list = BytesStart::new("playlist");
        let list = list.with_attributes([("version", "1"), ("xmlns", "http://xspf.org/ns/0/")]);
        writer.write_event(Event::Start(list))?;
        let mut xspf = Xspf(writer);
        xspf.element("title", title)?;
        xspf.0.write_event(Event::Start(BytesStart::new("trackList")))?;
        Ok(xspf)
    }

    pub fn write(&mut self, line: &TrackLine) -> io::Result<()> {
        let Some(uri) = &line.uri else { return Ok(()) };
        let track = &line.track;
        self.0.write_event(Event::Text(BytesText::new("\n")))?;
        self.0.write_event(Event::Start(BytesStart::new("track")))?;
        self.element("location", &address(uri))?;
        if let Some(isrc) = &track.isrc {
            self.element("identifier", &format!("isrc:{isrc}"))?;
        }
        let album = track.album.as_ref().map(|album| album.name.clone());
        let number = track.track_number.filter(|number| *number > 0).map(|number| number.to_string());
        let duration = track.duration_ms.map(|ms| ms.to_string());
        let fields = [
            ("title", track.name.clone()),
            ("creator", Some(creator(line)).filter(|creator| !creator.is_empty())),
            ("album", album),
            ("trackNum", number),
            ("duration", duration),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                self.element(name, &value)?;
            }
        }
        self.0.write_event(Event::End(BytesEnd::new("track")))
    }

    pub fn finish(mut self) -> io::Result<W> {
        for name in ["trackList", "playlist"] {
            self.0.write_event(Event::End(BytesEnd::new(name)))?;
        }
        let mut out = self.0.into_inner();
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(out)
    }

    fn element(&mut self, name: &str, text: &str) -> io::Result<()> {
        // XML cannot represent these.
        let text: String = text.chars().filter(|c| is_xml(*c)).collect();
        self.0.write_event(Event::Start(BytesStart::new(name)))?;
        self.0.write_event(Event::Text(BytesText::new(&text)))?;
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }
}

/// XML 1.0, 2.2.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn creator(line: &TrackLine) -> String {
    joined(line.track.artists.iter().map(|artist| artist.name.as_str()), ", ")
}

/// Where a browser finds it; a local file has none.
fn address(uri: &str) -> String {
    match uri.strip_prefix("spotify:").and_then(|rest| rest.split_once(':')) {
        Some((kind @ ("track" | "episode"), id)) => format!("https://open.spotify.com/{kind}/{id}"),
        _ => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{TrackFacts, browse::ArtistLink};

    fn line(name: &str) -> TrackLine {
        TrackLine {
            uri: Some("spotify:track:t1".into()),
            track: TrackFacts {
                name: Some(name.into()),
                artists: vec![ArtistLink { id: "a1".into(), name: "R & B".into() }.into()],
                track_number: Some(3),
                duration_ms: Some(201_340),
                isrc: Some("ZZAAA2500001".into()),
                ..TrackFacts::default()
            },
            ..TrackLine::default()
        }
    }

    #[test]
    fn a_name_cannot_begin_a_line_of_its_own_in_m3u8() {
        let mut out = M3u8::begin(Vec::new(), "Mix\n#EXTM3U").unwrap();
        out.write(&line("One\r\nspotify:track:evil")).unwrap();
        out.write(&TrackLine::default()).unwrap();
        assert_eq!(
            String::from_utf8(out.finish().unwrap()).unwrap(),
            "#EXTM3U\n#PLAYLIST:Mix #EXTM3U\n#EXTINF:202,R & B - One  spotify:track:evil\nspotify:track:t1\n"
        );
    }

    #[test]
    fn jspf_is_json_with_and_without_tracks() {
        let mut out = Jspf::begin(Vec::new(), "a \"b\"").unwrap();
        out.write(&line("One")).unwrap();
        out.write(&line("Two")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out.finish().unwrap()).unwrap();
        assert_eq!(json["playlist"]["title"], "a \"b\"");
        assert_eq!(json["playlist"]["track"][1]["title"], "Two");
        assert_eq!(json["playlist"]["track"][0]["location"][0], "https://open.spotify.com/track/t1");
        let empty = Jspf::begin(Vec::new(), "none").unwrap().finish().unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&empty).is_ok());
    }

    #[test]
    fn xspf_escapes_and_leaves_out_what_xml_cannot_hold() {
        let mut out = Xspf::begin(Vec::new(), "<Mix>").unwrap();
        out.write(&line("One\u{1}\u{FFFE} & <two>")).unwrap();
        let text = String::from_utf8(out.finish().unwrap()).unwrap();
        assert!(text.contains("<title>&lt;Mix&gt;</title>"), "{text}");
        assert!(text.contains("<title>One &amp; &lt;two&gt;</title><creator>R &amp; B</creator>"), "{text}");
        assert!(text.ends_with("</trackList></playlist>\n"), "{text}");
    }
}
