//! Recognises a document by its beginning: names can be changed, and one name stands for several things.

use std::io::{self, Read};

/// Enough for the first row of anything that we read.
pub const BEGINNING_LEN: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Rows of the extended streaming history.
    Extended,
    /// Rows of the account data: music, podcasts or audiobooks.
    Account,
    /// `YourLibrary.json`.
    Library,
    /// `Playlist1.json`.
    Playlists,
    /// A list without rows.
    Empty,
    /// Something else, which the text names.
    Other(&'static str),
}

impl Content {
    pub fn is_history(self) -> bool {
        matches!(self, Content::Extended | Content::Account)
    }
}

/// Part of the technical log. It is by far the largest of the three exports, so it gets a message of its own.
pub const TECHNICAL_LOG: &str = "the technical log, which has no listening history";

/// The other files of the account data.
const ACCOUNT_FILES: &[&str] = &[
    "userdata",
    "identity",
    "identifiers",
    "inferences",
    "marquee",
    "payments",
    "duonewfamily",
    "wrapped",
    "yoursoundcapsule",
    "useraddress",
    "messagedata",
    "userprompts",
    "searchqueries",
    "follow",
];

/// Reads the beginning of a document.
pub fn read_beginning(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::with_capacity(BEGINNING_LEN);
    reader.take(BEGINNING_LEN as u64).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// `name` is the last part of its path.
pub fn recognise(name: &str, beginning: &[u8]) -> Content {
    for (magic, what) in [
        (&b"PK\x03\x04"[..], "a zip inside another one; unpack the outer one first"),
        (b"%PDF", "a PDF"),
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
        (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
        (b"Rar!", "a RAR archive; unpack it first"),
        (b"SQLite format 3", "a SQLite database"),
        (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
        (b"\x00\x05\x16\x07", "what macOS notes beside a file"),
    ] {
        if beginning.starts_with(magic) {
            return Content::Other(what);
        }
    }
    let text = String::from_utf8_lossy(beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning));
    let text = text.trim_start();
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    let stem = name.to_ascii_lowercase();
    match text.as_bytes().first() {
        Some(b'[') if has("ts") && has("ms_played") => Content::Extended,
        Some(b'[') if has("endTime") && has("msPlayed") => Content::Account,
        Some(b'[') if has("timestamp_utc") || text.contains("\"context_") || text.contains("\"message_") => {
            Content::Other(TECHNICAL_LOG)
        }
        Some(b'{') if stem.starts_with("yourlibrary") || (has("bannedTracks") && has("tracks")) => Content::Library,
        Some(b'{') if stem.starts_with("playlist") || (has("playlists") && has("lastModifiedDate")) => {
            Content::Playlists
        }
        Some(b'[') if text[1..].trim_start().starts_with(']') => Content::Empty,
        Some(b'[' | b'{') if ACCOUNT_FILES.iter().any(|known| stem.starts_with(known)) => {
            Content::Other("account data without listening history")
        }
        Some(b'[' | b'{') => Content::Other("JSON, but no history, library or playlists of Spotify"),
        Some(b'<') => Content::Other("a web page"),
        None => Content::Other("empty"),
        Some(_) if stem.ends_with(".csv") => Content::Other("a table (CSV), not Spotify's own export"),
        Some(_) => Content::Other("no JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_known_by_what_they_say() {
        for (name, text, content) in [
            ("endsong_3.json", r#"[{"ts":"2019-01-01T00:00:00Z","ms_played":1}]"#, Content::Extended),
            ("renamed.json", "\u{feff}\n [ {\n \"ts\": \"x\", \"ms_played\": 1", Content::Extended),
            ("StreamingHistory0.json", r#"[{"endTime":"2026-01-02 03:04","msPlayed":1}]"#, Content::Account),
            ("YourLibrary.json", r#"{"tracks":[]}"#, Content::Library),
            ("Playlist1.json", r#"{"playlists":[]}"#, Content::Playlists),
            ("Streaming_History_Audio_2014.json", " [ ] ", Content::Empty),
            (
                "AddedToCollection.json",
                r#"[{"timestamp_utc":"x","message_item_uri":"y"}]"#,
                Content::Other(TECHNICAL_LOG),
            ),
            ("Userdata.json", r#"{"username":"u"}"#, Content::Other("account data without listening history")),
            ("x.json", r#"{"a":1}"#, Content::Other("JSON, but no history, library or playlists of Spotify")),
            ("scrobbles.csv", "a,b\n1,2", Content::Other("a table (CSV), not Spotify's own export")),
            ("x.json", "", Content::Other("empty")),
            ("x.html", "<!doctype html>", Content::Other("a web page")),
        ] {
            assert_eq!(recognise(name, text.as_bytes()), content, "{name}");
        }
        assert_eq!(recognise("x.json", b"\xff\xfe[\0"), Content::Other("text in UTF-16; save it as UTF-8"));
    }
}
