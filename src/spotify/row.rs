//! Reads the fields of one row, noting what is odd about them.
//!
//! A field that is not what it should be costs the field, not the row; only a row without an id is no item. Of several
//! oddities the first is noted, with its place (`track.album.name`) and never with its value, which may be anything.

use super::wire::{AlbumWire, ArtistWire, ImageWire, Lax, SummaryWire};
use crate::model::{Album, ArtistRef, Oddity};
use chrono::{DateTime, Utc};
use serde_json::Number;

/// Longest id that is believed. Real ones have 22 characters, user names some more.
const ID_LEN_MAX: usize = 255;

/// A row being read: what is known of it so far, and where in it we are.
#[derive(Default)]
pub struct Row {
    pub added_at: Option<DateTime<Utc>>,
    /// The first thing that was odd about it without making it useless.
    pub odd: Option<Oddity>,
    within: Vec<&'static str>,
}

impl Row {
    /// The row itself.
    pub fn open<T>(&self, row: Lax<T>) -> Result<T, Oddity> {
        self.inner("row", row)
    }

    /// The object that the row is there for.
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

    pub fn expect_name(&mut self, name: &str) {
        if name.is_empty() {
            self.note(Oddity::MissingName);
        }
    }

    pub fn take<T>(&mut self, name: &str, field: Lax<T>) -> Option<T> {
        if matches!(field, Lax::Odd) {
            self.note(Oddity::Undecodable(self.path(name)));
        }
        field.given()
    }

    /// Text without NUL characters, which PostgreSQL refuses.
    pub fn text(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        let mut text = self.take(name, field)?;
        if text.contains('\0') {
            text.retain(|c| c != '\0');
        }
        Some(text)
    }

    /// A number that fits the column; what does not is as good as missing.
    pub fn number(&mut self, name: &str, field: Lax<Number>) -> Option<i32> {
        i32::try_from(whole(&self.take(name, field)?)?).ok()
    }

    pub fn id(&self, name: &str, field: Lax<String>) -> Result<String, Oddity> {
        match field {
            Lax::Missing | Lax::Null => Err(Oddity::MissingId),
            Lax::Given(id) if id.is_empty() => Err(Oddity::MissingId),
            Lax::Given(id) if id.len() <= ID_LEN_MAX && !id.contains(char::is_control) => Ok(id),
            Lax::Given(_) | Lax::Odd => Err(Oddity::Undecodable(self.path(name))),
        }
    }

    /// An id that the row can do without: only an unreadable one is odd.
    pub fn optional_id(&mut self, name: &str, field: Lax<String>) -> Option<String> {
        let id = self.id(name, field);
        self.optional(id)
    }

    fn optional<T>(&mut self, part: Result<T, Oddity>) -> Option<T> {
        if let Err(odd @ Oddity::Undecodable(_)) = &part {
            self.note(odd.clone());
        }
        part.ok()
    }

    /// An album, full or simplified. Its name is not looked at: after a takedown it is empty.
    pub fn album(&mut self, wire: AlbumWire) -> Result<Album, Oddity> {
        let external_ids = self.take("external_ids", wire.external_ids).unwrap_or_default();
        Ok(Album {
            id: self.id("id", wire.id)?,
            name: self.text("name", wire.name).unwrap_or_default(),
            album_type: self.text("album_type", wire.album_type),
            release_date: self.text("release_date", wire.release_date),
            release_date_precision: self.text("release_date_precision", wire.release_date_precision),
            total_tracks: self.number("total_tracks", wire.total_tracks),
            upc: self.within("external_ids", |row| row.text("upc", external_ids.upc)),
            image_url: self.widest_image(wire.images),
            artists: self.artists(wire.artists),
        })
    }

    /// The album of a track, which local files lack.
    pub fn optional_album(&mut self, field: Lax<AlbumWire>) -> Option<Album> {
        let wire = self.take("album", field)?;
        let album = self.within("album", |row| row.album(wire));
        self.optional(album)
    }

    /// The artists that have an id; those of local files have none.
    pub fn artists(&mut self, field: Lax<Vec<Lax<ArtistWire>>>) -> Vec<ArtistRef> {
        let wires = self.take("artists", field).unwrap_or_default();
        self.within("artists", |row| {
            let artist = |field| {
                let wire: ArtistWire = row.take("[]", field)?;
                let id = row.optional_id("id", wire.id)?;
                Some(ArtistRef { id, name: row.text("name", wire.name).unwrap_or_default() })
            };
            wires.into_iter().filter_map(artist).collect()
        })
    }

    pub fn genres(&mut self, field: Lax<Vec<Lax<String>>>) -> Option<Vec<String>> {
        let genres = self.take("genres", field)?;
        Some(genres.into_iter().filter_map(|genre| self.text("genres", genre)).collect())
    }

    pub fn summary(&mut self, name: &'static str, field: Lax<SummaryWire>) -> Option<i32> {
        let summary = self.take(name, field)?;
        self.within(name, |row| row.number("total", summary.total))
    }

    /// The widest image, the first where no widths are given.
    pub fn widest_image(&mut self, field: Lax<Vec<Lax<ImageWire>>>) -> Option<String> {
        let images = self.take("images", field)?;
        self.within("images", |row| {
            let mut widest: Option<(Option<i32>, String)> = None;
            for image in images {
                let Some(image) = row.take("[]", image) else { continue };
                let Some(url) = row.text("url", image.url).filter(|url| !url.is_empty()) else { continue };
                let width = row.number("width", image.width);
                if widest.as_ref().is_none_or(|(known, _)| width > *known) {
                    widest = Some((width, url));
                }
            }
            widest.map(|(_, url)| url)
        })
    }
}

/// RFC 3339, cut to the microseconds that both databases keep. (A leap second becomes the second after it.)
pub fn timestamp(field: Lax<String>) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(&field.given()?).ok()?;
    DateTime::from_timestamp_micros(moment.timestamp_micros())
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
    fn text_loses_its_nul_characters_only() {
        let field = from_json::<Lax<String>>(json!("a\0b\u{1F3B5}\n"));
        assert_eq!(Row::default().text("name", field).as_deref(), Some("ab\u{1F3B5}\n"));
    }

    #[test]
    fn artists_without_an_id_are_left_out() {
        let mut row = Row::default();
        let artists = row.artists(from_json(json!([{"id": "a", "name": "A"}, {"id": null, "name": "Local"}, null])));
        assert_eq!((artists, row.odd), (vec![ArtistRef { id: "a".into(), name: "A".into() }], None));
    }

    #[test]
    fn absent_genres_differ_from_none() {
        let genres = |json: &str| Row::default().genres(serde_json::from_str(json).unwrap());
        assert_eq!(genres("[]"), Some(vec![]));
        assert_eq!(genres("[\"jazz\", null]"), Some(vec!["jazz".into()]));
        assert_eq!(genres("null"), None);
    }

    #[test]
    fn a_leap_second_is_a_moment_that_a_database_can_hold() {
        let at = timestamp(Lax::Given("2016-12-31T23:59:60Z".into())).unwrap();
        assert_eq!(at.to_rfc3339(), "2017-01-01T00:00:00+00:00");
    }

    fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_str(&value.to_string()).unwrap()
    }
}
