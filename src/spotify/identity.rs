//! What a row is about. Its URI decides: an episode that claims to be a track is an episode.
//!
//! | URI | kind |
//! |---|---|
//! | `spotify:track:…` | track, whatever `type` and `is_local` say |
//! | `spotify:local:…` | local file: the URI is its identity, since it has no id |
//! | `spotify:episode:…` | chapter if `type` is `chapter`, otherwise episode |
//! | `spotify:chapter:…` | chapter |
//! | `spotify:…` of another kind | what `type` says, if that is one of our kinds, otherwise unknown |
//! | none, or not a Spotify URI | local file if `is_local` says so, otherwise what `type` says, otherwise track |
//!
//! A missing id is read from the end of the URI.

use crate::model::{LOCAL, PlaylistItemKind};
use sha2::{Digest, Sha256};

/// Longest identity that is kept unchanged. PostgreSQL's indexes hold 2,704 bytes in all, and an identity shares its
/// index with an account and a moment; percent-encoded, a title of 100 Chinese characters has 900.
const KEY_LEN_MAX: usize = 1000;

const LOCAL_FILE: &str = "spotify:local:";

pub fn kind(uri: Option<&str>, word: Option<&str>, is_local: bool) -> PlaylistItemKind {
    use PlaylistItemKind::{Chapter, Episode, Local, Track, Unknown};
    let said = match word {
        Some("episode") => Episode,
        Some("chapter") => Chapter,
        Some("track") => Track,
        Some(_) => Unknown,
        None => Track,
    };
    match uri.and_then(|uri| uri.strip_prefix("spotify:")) {
        Some(rest) => match rest.split(':').next() {
            Some("track") => Track,
            Some("local") => Local,
            Some("episode") if said == Chapter => Chapter,
            Some("episode") => Episode,
            Some("chapter") => Chapter,
            Some(_) | None if matches!(said, Episode | Chapter) => said,
            Some(_) | None => Unknown,
        },
        None if is_local => Local,
        None => said,
    }
}

/// The id at the end of a URI of that kind: `spotify:track:ID`, `spotify:user:somebody:playlist:ID`.
pub fn id_in<'a>(uri: &'a str, kind: &str) -> Option<&'a str> {
    let (rest, id) = uri.strip_prefix("spotify:")?.rsplit_once(':')?;
    let is_of_kind = rest == kind || rest.rsplit_once(':').is_some_and(|(_, last)| last == kind);
    (is_of_kind && !id.is_empty()).then_some(id)
}

/// A text as an identity: itself, or, if it is too long for an index, its beginning and its fingerprint.
pub fn key(text: String) -> String {
    if text.len() <= KEY_LEN_MAX {
        return text;
    }
    let fingerprint: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let longest = KEY_LEN_MAX - fingerprint.len() - 1;
    let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}~{fingerprint}", &text[..end])
}

/// The identity of something that has only names: an artist, or an album with its artist.
pub fn of_names(names: &[&str]) -> String {
    key(format!("{LOCAL}{}", names.join(":")))
}

/// The parts of a `spotify:local:` URI: `spotify:local:{artist}:{album}:{title}:{seconds}`, form-encoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LocalUri {
    pub artist: String,
    pub album: String,
    pub title: String,
    pub seconds: Option<u32>,
}

impl LocalUri {
    pub fn read(uri: &str) -> LocalUri {
        let Some(rest) = uri.strip_prefix(LOCAL_FILE) else { return LocalUri::default() };
        let mut parts = rest.split(':');
        let mut next = || parts.next().unwrap_or_default();
        let [artist, album, title] = [next(), next(), next()].map(decoded);
        LocalUri { artist, album, title, seconds: next().parse().ok() }
    }

    /// The URI of a local file that comes without one.
    pub fn write(&self) -> String {
        let [artist, album, title] = [&self.artist, &self.album, &self.title].map(|part| encoded(part));
        format!("{LOCAL_FILE}{artist}:{album}:{title}:{}", self.seconds.unwrap_or_default())
    }
}

/// A `+` is a space, `%41` an A. Anything else stands for itself.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    // PostgreSQL does not accept NUL.
    String::from_utf8_lossy(&bytes).replace('\0', "")
}

fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_decides_and_the_type_only_where_it_does_not() {
        use PlaylistItemKind::{Chapter, Episode, Local, Track, Unknown};
        for (uri, word, is_local, expected) in [
            (Some("spotify:track:t"), Some("episode"), true, Track),
            (Some("spotify:episode:e"), Some("track"), false, Episode),
            (Some("spotify:episode:e"), None, false, Episode),
            (Some("spotify:episode:e"), Some("chapter"), false, Chapter),
            (Some("spotify:chapter:c"), Some("track"), false, Chapter),
            (Some("spotify:local:a:b:c:1"), Some("track"), false, Local),
            (Some("spotify:hologram:h"), Some("track"), false, Unknown),
            (Some("spotify:hologram:h"), Some("episode"), false, Episode),
            (Some("https://elsewhere/x"), Some("track"), false, Track),
            (None, Some("track"), true, Local),
            (None, Some("episode"), false, Episode),
            (None, Some("chapter"), false, Chapter),
            (None, Some("hologram"), false, Unknown),
            (None, None, true, Local),
            (None, None, false, Track),
        ] {
            assert_eq!(kind(uri, word, is_local), expected, "{uri:?} {word:?} {is_local}");
        }
    }

    #[test]
    fn an_id_is_read_from_a_uri_of_its_kind_only() {
        assert_eq!(id_in("spotify:track:t1", "track"), Some("t1"));
        assert_eq!(id_in("spotify:user:mira:playlist:p1", "playlist"), Some("p1"));
        for other in ["spotify:track:", "spotify:episode:t1", "spotify:track", "track:t1", "spotify:soundtrack:t1", ""]
        {
            assert_eq!(id_in(other, "track"), None, "{other}");
        }
    }

    #[test]
    fn a_local_uri_says_what_the_tags_say() {
        let uri = "spotify:local:A+%26+B::%C3%A9%3Ax:9";
        let read = LocalUri::read(uri);
        let expected =
            LocalUri { artist: "A & B".into(), album: String::new(), title: "\u{e9}:x".into(), seconds: Some(9) };
        assert_eq!((&read, read.write().as_str()), (&expected, uri));
        assert_eq!(LocalUri::read("spotify:local:%:%4:100%").title, "100%");
        assert_eq!(LocalUri::read("spotify:track:t1"), LocalUri::default());
    }

    #[test]
    fn long_identities_fit_an_index_and_differ() {
        let long = |end: &str| key(format!("spotify:local:{}{end}", "%E9%9F%B3".repeat(200)));
        assert!(long("a").len() <= KEY_LEN_MAX && long("a") != long("b") && long("a") == long("a"));
        let short = format!("spotify:local:{}", "%E9%9F%B3".repeat(100));
        assert_eq!(key(short.clone()), short);
        assert!(key("\u{97F3}".repeat(1000)).len() <= KEY_LEN_MAX);
    }
}
