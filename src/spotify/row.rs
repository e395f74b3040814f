//! Reads the fields of one row, noting what is odd about them.
//!
//! A wrong field costs the field, not the row; only a row without an identity is no item. Of several oddities the first
//! is noted, with its place (`track.album.name`) and never with its value, which may be anything.
//!
//! Meaningless values are `None`, so that they erase nothing that is known: an empty text if one is optional, a
//! duration, a position or a count of zero, a date of the year 0000. A text of blanks counts as empty. `store::rows` has
//! the table of how each column handles them.

mod moments;

pub use moments::timestamp;

use super::identity;
use super::wire::{AlbumWire, ArtistWire, ArtistsWire, GenresWire, ImagesWire, Lax, List, OrName, SummaryWire};
use crate::model::repair::UNREADABLE;
use crate::model::{Album, ArtistRef, Oddity};
use chrono::{DateTime, Utc};
use serde_json::Number;
use std::mem::take;

/// Longest id that is accepted. Real ones have 22 characters, user names some more.
const ID_LEN_MAX: usize = 255;

/// Longest URI that is kept. That of a local file contains artist, album and title, each character as up to 12.
const URI_LEN_MAX: usize = 16 << 10;

/// Longest other text that is kept whole. A description of a show has some thousand characters.
const TEXT_LEN_MAX: usize = 16 << 10;

/// A row being decoded: what is known of it so far, and the current position in it.
#[derive(Default)]
pub struct Row {
    pub added_at: Option<DateTime<Utc>>,
    /// The first thing that was odd about it without making it useless.
    pub odd: Option<Oddity>,
    /// Its name, for a row that turns out to be no item.
    name: Option<String>,
    uri: Option<String>,
    within: Vec<&'static str>,
}

impl Row {
    /// The row itself.
    pub fn open<T>(&self, row: Lax<T>) -> Result<T, Oddity> {
        self.inner("row", row)
    }

    /// The object that the row is about.
    pub fn inner<T>(&self, name: &str, field: Lax<T>) -> Result<T, Oddity> {
        match field {
            Lax::Given(object) => Ok(object),
            Lax::Missing | Lax::Null => Err(Oddity::Null),
            Lax::Odd => Err(Oddity::Undecodable(self.path(name))),
        }
    }

    pub fn within<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Row) -> T) -> T {
        self.within.push(name);
        let value = read(self);
        self.within.pop();
        value
    }

    pub fn path(&self, name: &str) -> String {
        self.within.iter().copied().chain([name]).collect::<Vec<_>>().join(".")
    }

    pub fn note(&mut self, odd: Oddity) {
        self.odd.get_or_insert(odd);
    }

    fn note_unreadable(&mut self, name: &str) {
        self.note(Oddity::Undecodable(self.path(name)));
    }

    pub fn expect_name(&mut self, name: &str) {
        if name.is_empty() {
            self.note(Oddity::MissingName);
        }
    }

    /// Remembers the name of the row.
    pub fn label(&mut self, name: Option<&str>, uri: Option<&str>) {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        self.name = self.name.take().or_else(|| text(name));
        self.uri = self.uri.take().or_else(|| text(uri));
    }

    /// Why the row is no item, with its name.
    pub fn named(&mut self, why: Oddity) -> Oddity {
        match (self.name.take(), self.uri.take()) {
            (None, None) => why,
            (name, uri) => Oddity::Named { why: Box::new(why), name, uri },
        }
    }

    pub fn take<T>(&mut self, name: &str, field: Lax<T>) -> Option<T> {
        if matches!(field, Lax::Odd) {
            self.note_unreadable(name);
        }
        field.given()
    }

    /// Text without NUL characters, which PostgreSQL refuses. One of blanks only is empty.
    pub fn text(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        let mut text = self.take(name, field)?;
        if text.contains('\0') {
            text.retain(|c| c != '\0');
            self.note_unreadable(name);
        }
        if text.len() > TEXT_LEN_MAX {
            let end = (0..=TEXT_LEN_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            text.shrink_to_fit();
            self.note_unreadable(name);
        }
        if !text.is_ascii() && text.contains(UNREADABLE) {
            self.note_unreadable(name);
        }
        if text.chars().all(char::is_whitespace) {
            text.clear();
        }
        Some(text)
    }

    /// Non-empty text.
    pub fn words(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        self.text(name, field).filter(|text| !text.is_empty())
    }

    /// A number that fits the column; other numbers count as missing.
    pub fn number(&mut self, name: &str, field: Lax<Number>) -> Option<i32> {
        i32::try_from(whole(&self.take(name, field)?)?).ok()
    }

    /// A number that is meaningful from 1 on: a duration, a position, a count that cannot be zero.
    pub fn positive(&mut self, name: &str, field: Lax<Number>) -> Option<i32> {
        self.number(name, field).filter(|number| *number > 0)
    }

    /// When the row was added. A date that cannot be read is noted.
    pub fn date(&mut self, name: &str, field: Lax<String>) {
        let is_silent = matches!(field, Lax::Missing | Lax::Null);
        self.added_at = timestamp(field);
        if self.added_at.is_none() && !is_silent {
            self.note_unreadable(name);
        }
    }

    pub fn id(&self, name: &str, field: Lax<String>) -> Result<String, Oddity> {
        match field {
            Lax::Missing | Lax::Null => Err(Oddity::MissingId),
            Lax::Given(id) if is_blank(&id) => Err(Oddity::MissingId),
            Lax::Given(id) if is_id(&id) => Ok(id),
            Lax::Given(_) | Lax::Odd => Err(Oddity::Undecodable(self.path(name))),
        }
    }

    /// The id, or else the one in the URI, which is noted. If there is neither, the row's name is noted.
    pub fn identity(
        &mut self,
        kind: &str,
        id: Lax<String>,
        uri: Option<&str>,
        name: Option<&str>,
    ) -> Result<String, Oddity> {
        self.id("id", id).or_else(|odd| match uri.and_then(|uri| identity::id_in(uri, kind)) {
            Some(id) if is_id(id) => {
                self.note(odd);
                Ok(id.to_owned())
            }
            Some(_) | None => {
                self.label(name, uri);
                Err(odd)
            }
        })
    }

    /// An id that the row can do without: only an unreadable one is odd.
    pub fn optional_id(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        let id = self.id(name, field);
        self.optional(id)
    }

    pub fn optional<T>(&mut self, part: Result<T, Oddity>) -> Option<T> {
        if let Err(odd @ Oddity::Undecodable(_)) = &part {
            self.note(odd.clone());
        }
        part.ok()
    }

    /// A URI, which may be far longer than an id.
    pub fn uri(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        let uri = self.take(name, field)?;
        if uri.len() > URI_LEN_MAX {
            self.note_unreadable(name);
            return None;
        }
        let mut uri = self.words(name, Lax::Given(uri))?;
        if !is_plain(&uri) && uri.contains(char::is_control) {
            self.note_unreadable(name);
            uri.retain(|c| !c.is_control());
        }
        (!uri.is_empty()).then_some(uri)
    }

    /// An album, full or simplified. Its name is not checked: after a takedown it is empty.
    pub fn album(&mut self, wire: AlbumWire) -> Result<Album, Oddity> {
        let uri = self.uri("uri", wire.uri);
        let name = self.text("name", wire.name).unwrap_or_default();
        let external_ids = self.take("external_ids", wire.external_ids).unwrap_or_default();
        let date = self.release_date(wire.release_date);
        let precision = self.words("release_date_precision", wire.release_date_precision);
        Ok(Album {
            id: self.identity("album", wire.id, uri.as_deref(), Some(&name))?,
            name,
            album_type: self.words("album_type", wire.album_type),
            release_date_precision: precision.filter(|_| date.is_some()),
            release_date: date,
            total_tracks: self.positive("total_tracks", wire.total_tracks),
            upc: self.within("external_ids", |row| row.words("upc", external_ids.upc)),
            image_url: self.widest_image(wire.images),
            artists: self.artists(wire.artists),
        })
    }

    /// A date of the year 0000 means that the album has none.
    pub fn release_date(&mut self, field: Lax<String>) -> Option<String> {
        self.words("release_date", field).filter(|date| !date.starts_with("0000"))
    }

    /// The album of a track. One with a name and no id is identified by its name and its first artist.
    pub fn optional_album(&mut self, field: Lax<AlbumWire>, artists: &[ArtistRef]) -> Option<Album> {
        let mut wire = self.take("album", field)?;
        self.within("album", |row| {
            let has_id = matches!(&wire.id, Lax::Given(id) if !id.is_empty()) || matches!(wire.uri, Lax::Given(_));
            if has_id {
                let album = row.unlabelled(|row| row.album(wire));
                return row.optional(album);
            }
            let id = take(&mut wire.id);
            row.optional_id("id", id);
            let name = row.words("name", take(&mut wire.name))?;
            let owner = artists.first().map_or("", |artist| artist.name.as_str());
            wire.id = Lax::Given(identity::of_names(&[owner, &name]));
            wire.name = Lax::Given(name);
            row.unlabelled(|row| local_album(row, wire))
        })
    }

    /// Decodes a part of a row whose name is not the row's.
    pub fn unlabelled<T>(&mut self, read: impl FnOnce(&mut Row) -> T) -> T {
        let label = (self.name.take(), self.uri.take());
        let value = read(self);
        (self.name, self.uri) = label;
        value
    }

    /// The elements of a list. One that is too long to be read in full is noted.
    pub fn list<T, const MAX: usize>(&mut self, name: &str, field: Lax<List<T, MAX>>) -> Option<Vec<T>> {
        let List { elements, is_cut } = self.take(name, field)?;
        if is_cut {
            self.note_unreadable(name);
        }
        Some(elements)
    }

    /// The artists in order. One with a name and no id is identified by the name; one that cannot be read keeps its
    /// position, so that the others keep theirs.
    pub fn artists(&mut self, field: Lax<ArtistsWire>) -> Vec<ArtistRef> {
        let wires = self.list("artists", field).unwrap_or_default();
        self.within("artists", |row| {
            let artist = |field: Lax<OrName<ArtistWire>>| {
                let Some(OrName(wire)) = row.take("[]", field) else { return ArtistRef::unread() };
                let name = row.text("name", wire.name).unwrap_or_default();
                // A real artist without an id is no oddity of the row: local files have nothing else.
                let uri = wire.uri.given().unwrap_or_default();
                let in_uri = identity::id_in(&uri, "artist").filter(|id| is_id(id)).map(str::to_owned);
                match row.optional_id("id", wire.id).or(in_uri) {
                    Some(id) => ArtistRef { id, name },
                    None if name.is_empty() => ArtistRef::unread(),
                    None => ArtistRef { id: identity::of_names(&[&name]), name },
                }
            };
            wires.into_iter().map(artist).collect()
        })
    }

    pub fn genres(&mut self, field: Lax<GenresWire>) -> Option<Vec<String>> {
        let genres = self.take("genres", field)?.elements;
        Some(genres.into_iter().filter_map(|genre| self.words("genres", genre)).collect())
    }

    pub fn summary(&mut self, name: &'static str, field: Lax<SummaryWire>) -> Option<i32> {
        let summary = self.take(name, field)?;
        self.within(name, |row| row.number("total", summary.total))
    }

    /// The widest image, the first where no widths are given.
    pub fn widest_image(&mut self, field: Lax<ImagesWire>) -> Option<String> {
        let images = self.take("images", field)?.elements;
        self.within("images", |row| {
            let mut widest: Option<(Option<i32>, String)> = None;
            for image in images {
                let Some(image) = row.take("[]", image) else { continue };
                let Some(url) = row.words("url", image.url) else { continue };
                let width = row.number("width", image.width);
                if widest.as_ref().is_none_or(|(known, _)| width > *known) {
                    widest = Some((width, url));
                }
            }
            widest.map(|(_, url)| url)
        })
    }
}

/// An album that has only names, as local files do.
fn local_album(row: &mut Row, mut wire: AlbumWire) -> Option<Album> {
    let id = take(&mut wire.id).given()?;
    // Its own id is no Spotify id, and may be longer.
    let album = row.album(AlbumWire { id: Lax::Given("-".into()), ..wire }).ok()?;
    Some(Album { id, ..album })
}

fn is_id(id: &str) -> bool {
    id.len() <= ID_LEN_MAX && (is_plain(id) || !id.contains(char::is_control) && !id.contains(UNREADABLE))
}

/// Whether nothing of it can be seen.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}'))
}

/// Whether nothing needs a closer look, as in nearly all ids and URIs: a page has some hundred of them.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number without a fraction, however it is written.
pub fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_widest_image_wins_and_the_first_where_none_has_a_width() {
        let widest = |images: serde_json::Value| {
            let album: AlbumWire = from_json(json!({"id": "a", "images": images}));
            Row::default().album(album).unwrap().image_url
        };
        let [small, large, unknown] =
            [json!({"url": "s", "width": 64}), json!({"url": "l", "width": 640}), json!({"url": "u", "width": null})];
        assert_eq!(widest(json!([unknown, small, large])).as_deref(), Some("l"));
        assert_eq!(widest(json!([unknown, {"url": "v"}])).as_deref(), Some("u"));
        assert_eq!(widest(json!([null, {"url": ""}, {"url": null}])), None);
        assert_eq!(widest(json!(null)), None);
    }

    #[test]
    fn numbers_that_do_not_fit_are_missing_and_not_odd() {
        let number = |value: &str| {
            let mut row = Row::default();
            let number = row.number("n", serde_json::from_str(value).unwrap());
            (number, row.odd)
        };
        assert_eq!(number("2147483647"), (Some(i32::MAX), None));
        assert_eq!(number("215000.0"), (Some(215_000), None));
        for out_of_range in ["2147483648", "-2147483649", "1e300", "0.5", "18446744073709551615", "null"] {
            assert_eq!(number(out_of_range), (None, None), "{out_of_range}");
        }
        assert_eq!(number("\"5\""), (None, Some(Oddity::Undecodable("n".into()))));
    }

    #[test]
    fn text_loses_its_nul_characters_only_and_that_is_noted() {
        for (text, read, is_odd) in [
            ("a\0b\u{1F3B5}\n", "ab\u{1F3B5}\n", true),
            ("\u{FFFD} half", "\u{FFFD} half", true),
            ("\u{1F3B5}", "\u{1F3B5}", false),
        ] {
            let mut row = Row::default();
            assert_eq!(row.text("name", from_json(json!(text))).as_deref(), Some(read));
            assert_eq!(row.odd, is_odd.then(|| Oddity::Undecodable("name".into())), "{text:?}");
        }
    }

    #[test]
    fn an_artist_is_known_by_id_by_uri_or_by_name_and_each_keeps_its_place() {
        let mut row = Row::default();
        let artists = json!([{"id": "a", "name": "A"}, {"id": null, "name": "X"}, null, {"id": ""},
            {"name": "B", "uri": "spotify:artist:b"}, "Y", ""]);
        let artists = row.artists(from_json(artists));
        let known = |id: &str, name: &str| ArtistRef { id: id.into(), name: name.into() };
        let unread = ArtistRef::unread();
        let [x, y] = ["X", "Y"].map(|name| known(&format!("local:{name}"), name));
        assert_eq!(artists, [known("a", "A"), x, unread.clone(), unread.clone(), known("b", "B"), y, unread]);
        assert_eq!(row.odd, None);
    }

    #[test]
    fn what_says_nothing_is_none() {
        let silent = json!({"id": "a", "name": "", "album_type": "", "release_date": "0000",
            "release_date_precision": "day", "total_tracks": 0, "images": [], "artists": [], "external_ids": {"upc": ""}});
        let mut row = Row::default();
        let album = row.album(from_json(silent)).unwrap();
        assert_eq!((album.album_type, album.release_date, album.release_date_precision), (None, None, None));
        assert_eq!((album.total_tracks, album.upc, album.image_url, row.odd), (None, None, None, None));
    }

    #[test]
    fn an_album_with_a_name_only_is_known_by_it() {
        let mut row = Row::default();
        let artists = [ArtistRef { id: "local:X".into(), name: "X".into() }];
        let album = |row: &mut Row, album| row.optional_album(from_json(album), &artists);
        let tape = album(&mut row, json!({"id": null, "name": "Tape", "images": []})).unwrap();
        assert_eq!((tape.id.as_str(), tape.name.as_str(), &row.odd), ("local:X:Tape", "Tape", &None));
        assert_eq!(album(&mut row, json!({"id": null, "name": null})), None);
        let by_uri = album(&mut row, json!({"id": null, "name": "B", "uri": "spotify:album:b1"})).unwrap();
        assert_eq!((by_uri.id.as_str(), &row.odd), ("b1", &Some(Oddity::MissingId)));
    }

    #[test]
    fn a_date_that_cannot_be_read_is_noted_and_a_missing_one_is_not() {
        for (field, is_odd) in [("\"yesterday\"", true), ("5", true), ("\"\"", true), ("null", false)] {
            let mut row = Row::default();
            row.date("added_at", serde_json::from_str(field).unwrap());
            assert_eq!((row.added_at, row.odd.is_some()), (None, is_odd), "{field}");
        }
    }

    #[test]
    fn a_text_of_blanks_is_empty() {
        for blank in ["", " ", "\n\t", "\u{a0}\u{3000}"] {
            let mut row = Row::default();
            assert_eq!(row.text("name", from_json(json!(blank))).as_deref(), Some(""));
            assert_eq!((row.words("name", from_json(json!(blank))), row.odd), (None, None));
        }
        assert_eq!(Row::default().text("name", from_json(json!(" a "))).as_deref(), Some(" a "));
    }

    #[test]
    fn more_artists_than_a_list_can_have_are_noted() {
        for (num, kept, is_odd) in [(200, 200, false), (201, 200, true)] {
            let artists = vec![json!({"id": "a", "name": "A"}); num];
            let mut row = Row::default();
            assert_eq!(row.artists(from_json(json!(artists))).len(), kept);
            assert_eq!(row.odd, is_odd.then(|| Oddity::Undecodable("artists".into())), "{num}");
        }
    }

    #[test]
    fn absent_genres_differ_from_none() {
        let genres = |json: &str| Row::default().genres(serde_json::from_str(json).unwrap());
        assert_eq!(genres("[]"), Some(vec![]));
        assert_eq!(genres("[\"jazz\", null]"), Some(vec!["jazz".into()]));
        assert_eq!(genres("null"), None);
    }

    fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_str(&value.to_string()).unwrap()
    }
}
