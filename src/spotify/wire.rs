//! The JSON types of the Web API: both dialects, everything optional.
//!
//! Spotify declares next to nothing `required`, renames fields between kinds of applications (`track` and `item`,
//! `tracks` and `items`) and removes others without notice. So a field here never fails the object around it: [`Lax`]
//! records whether it was missing, `null`, readable, or of another type. Only the envelope of a page is strict.

mod lists;

pub use lists::{List, Names, OrName};

use super::room;
use serde::{
    Deserialize, Deserializer,
    de::{
        self, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::{Number, value::RawValue};
use std::{cell::Cell, fmt, marker::PhantomData};

/// A field that may be missing or odd.
#[derive(Debug, Default)]
pub enum Lax<T> {
    #[default]
    Missing,
    Null,
    Given(T),
    /// Present, but not a `T`.
    Odd,
}

impl<T> Lax<T> {
    pub fn given(self) -> Option<T> {
        match self {
            Lax::Given(value) => Some(value),
            Lax::Missing | Lax::Null | Lax::Odd => None,
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lax<U> {
        match self {
            Lax::Missing => Lax::Missing,
            Lax::Null => Lax::Null,
            Lax::Given(value) => Lax::Given(change(value)),
            Lax::Odd => Lax::Odd,
        }
    }

    /// The field, or the same field under its other name, whichever contains more.
    pub fn or(self, other: Lax<T>) -> Lax<T> {
        match (self, other) {
            (Lax::Given(value), _) | (_, Lax::Given(value)) => Lax::Given(value),
            (Lax::Odd, _) | (_, Lax::Odd) => Lax::Odd,
            (Lax::Null, _) | (_, Lax::Null) => Lax::Null,
            (Lax::Missing, Lax::Missing) => Lax::Missing,
        }
    }
}

/// The JSON type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Object,
    /// An object, or a text in its place.
    Named,
    Array,
    /// An array, or one of its elements in its place: an object or a text.
    Names,
    Scalar,
}

/// The type of a field.
pub trait Shape {
    /// Serde would accept an array for an object, field by field, and `[]` for one without any.
    const WRITTEN: Written;
}

macro_rules! scalars {
    ($($shape:ty),+) => { $(impl Shape for $shape { const WRITTEN: Written = Written::Scalar; })+ };
}
scalars!(String, bool, Number, Count);

/// Objects in which every field is [`Lax`].
macro_rules! objects {
    ($(
        $(#[$about:meta])*
        struct $name:ident { $($(#[$rename:meta])* $field:ident: $held:ty,)+ }
    )+) => { $(
        $(#[$about])*
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        pub struct $name {
            $($(#[$rename])* pub $field: $crate::spotify::wire::Lax<$held>,)+
        }

        impl $crate::spotify::wire::Shape for $name {
            const WRITTEN: $crate::spotify::wire::Written = $crate::spotify::wire::Written::Object;
        }
    )+ };
}
pub(super) use objects;

impl<T: Shape> Shape for Box<T> {
    const WRITTEN: Written = T::WRITTEN;
}

thread_local! {
    /// Whether fields are read one by one; see [`read`].
    static ONE_BY_ONE: Cell<bool> = const { Cell::new(false) };
}

/// Reads an object with [`Lax`] fields. An error inside a field, such as an invalid character or a duplicate name,
/// makes the whole text unreadable for serde. In that case each field is cut out first and read by itself, which costs
/// another scan of the text for every level.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    room::bounded(|| serde_json::from_str(text)).or_else(|error| {
        if room::is_used_up() {
            return Err(error);
        }
        ONE_BY_ONE.set(true);
        let read = room::bounded(|| serde_json::from_str(text));
        ONE_BY_ONE.set(false);
        read
    })
}

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lax<T>, D::Error> {
        if !ONE_BY_ONE.get() {
            return deserializer.deserialize_any(LaxVisitor(PhantomData));
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        if text == "null" {
            return Ok(Lax::Null);
        }
        let read = match T::WRITTEN {
            Written::Object | Written::Named | Written::Names if text.starts_with('{') => {
                serde_json::from_str::<Fields<'_>>(text).and_then(Fields::read)
            }
            Written::Object => return Ok(Lax::Odd),
            Written::Named | Written::Names | Written::Array | Written::Scalar => serde_json::from_str(text),
        };
        Ok(read.map_or(Lax::Odd, Lax::Given))
    }
}

/// The fields of an object, each once: of duplicates, the last that is not `null`.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn read<T: Deserialize<'a>>(self) -> serde_json::Result<T> {
        T::deserialize(MapDeserializer::new(self.0.into_iter()))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = object.next_entry::<String, &RawValue>()? {
                    match fields.iter().position(|(known, _)| *known == name) {
                        Some(_) if value.get() == "null" => {}
                        Some(at) => fields[at].1 = value,
                        None if fields.len() == FIELDS_MAX => {}
                        None => fields.push((name, value)),
                    }
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Most fields of an object that are read one by one; the largest of the API has some 30.
const FIELDS_MAX: usize = 200;

/// Accepts any value: a `T`, `null`, or something of another type, which is skipped.
struct LaxVisitor<T>(PhantomData<T>);

/// A scalar: a `T` or not.
fn scalar<'de, T: Deserialize<'de>, E: de::Error>(value: impl IntoDeserializer<'de, E>) -> Result<Lax<T>, E> {
    Ok(T::deserialize(value.into_deserializer()).map_or(Lax::Odd, Lax::Given))
}

impl<'de, T: Deserialize<'de> + Shape> Visitor<'de> for LaxVisitor<T> {
    type Value = Lax<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Lax<T>, E> {
        Ok(Lax::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Lax<T>, E> {
        scalar(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Lax<T>, E> {
        scalar(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Lax<T>, E> {
        scalar(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Lax<T>, E> {
        scalar(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Lax<T>, E> {
        scalar(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Lax<T>, A::Error> {
        if matches!(T::WRITTEN, Written::Array | Written::Names) {
            return T::deserialize(SeqAccessDeserializer::new(array)).map(Lax::Given);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lax::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Lax<T>, A::Error> {
        if matches!(T::WRITTEN, Written::Object | Written::Named | Written::Names) {
            return T::deserialize(MapAccessDeserializer::new(object)).map(Lax::Given);
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Lax::Odd)
    }
}

/// A page of a listing paged by offset, with rows of type `R`.
#[derive(Deserialize)]
#[serde(bound = "R: Deserialize<'de> + Shape")]
pub struct PageWire<R> {
    /// Required; its elements may be anything, and no more than [`ROWS_MAX`].
    #[serde(deserialize_with = "rows")]
    pub items: Vec<Lax<R>>,
    #[serde(default)]
    pub total: Lax<Count>,
    #[serde(default)]
    pub limit: Lax<Count>,
    #[serde(default)]
    pub next: Lax<String>,
    #[serde(default)]
    pub cursors: Lax<CursorsWire>,
    /// The address that was asked for.
    #[serde(default)]
    pub href: Lax<String>,
}

/// Most rows that an answer may contain: the most that is requested, and as many again for an API that ignores the
/// limit. One with more is refused while it is read, so that it costs no memory.
pub const ROWS_MAX: usize = 100;

pub fn rows<'de, R: Deserialize<'de> + Shape, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Lax<R>>, D::Error> {
    struct Rows<R>(PhantomData<R>);

    impl<'de, R: Deserialize<'de> + Shape> Visitor<'de> for Rows<R> {
        type Value = Vec<Lax<R>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<Lax<R>>, A::Error> {
            // A row is large, and would be moved each time that the list grows.
            let mut rows = Vec::with_capacity(ROWS_MAX / 2);
            while let Some(row) = array.next_element()? {
                if rows.len() == ROWS_MAX {
                    return Err(de::Error::custom(TOO_MANY_ROWS));
                }
                room::push(&mut rows, row)?;
            }
            Ok(rows)
        }
    }

    deserializer.deserialize_seq(Rows(PhantomData))
}

/// The error text for a page with too many rows.
pub const TOO_MANY_ROWS: &str = "more rows than were asked for";

/// A number of rows, in any notation: `50`, `50.0` or `"50"`. `None` if it is not a number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub Option<u32>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Count, E> {
                Ok(Count(value.try_into().ok()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Count, E> {
                Ok(Count(value.try_into().ok()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Count, E> {
                let is_count = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
                Ok(Count(is_count.then_some(value as u32)))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Count, E> {
                let value = value.trim();
                value.parse().map(|count| Count(Some(count))).or_else(|_| match value.parse() {
                    Ok(float) => self.visit_f64(float),
                    Err(_) => Ok(Count(None)),
                })
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// `/me/following` wraps its page.
#[derive(Deserialize)]
pub struct FollowingWire {
    pub artists: PageWire<ArtistWire>,
}

/// Artists without an object have a name only.
pub type ArtistsWire = List<Lax<OrName<ArtistWire>>, 200>;
pub type ImagesWire = List<Lax<ImageWire>, 20>;
pub type GenresWire = List<Lax<String>, 100>;

impl From<String> for ArtistWire {
    fn from(name: String) -> ArtistWire {
        ArtistWire { name: Lax::Given(name), ..ArtistWire::default() }
    }
}

objects! {
    struct CursorsWire {
        after: String,
    }

    /// What rows are about is large, and would be moved with them.
    struct SavedTrackWire {
        added_at: String,
        track: Box<TrackWire>,
        item: Box<TrackWire>,
    }

    struct SavedAlbumWire {
        added_at: String,
        album: Box<AlbumWire>,
        item: Box<AlbumWire>,
    }

    struct PlaylistItemWire {
        added_at: String,
        added_by: UserWire,
        is_local: bool,
        item: Box<TrackWire>,
        track: Box<TrackWire>,
    }

    /// A track, an episode or a local file; `type` and `uri` decide. (An episode's own `track` field is a boolean.)
    struct TrackWire {
        id: String,
        uri: String,
        #[serde(rename = "type")]
        kind: String,
        is_local: bool,
        name: String,
        album: AlbumWire,
        artists: ArtistsWire,
        duration_ms: Number,
        explicit: bool,
        disc_number: Number,
        track_number: Number,
        external_ids: ExternalIdsWire,
    }

    /// An album, full or simplified. Saved ones carry their first 50 tracks.
    struct AlbumWire {
        id: String,
        uri: String,
        name: String,
        album_type: String,
        release_date: String,
        release_date_precision: String,
        total_tracks: Number,
        external_ids: ExternalIdsWire,
        images: ImagesWire,
        artists: ArtistsWire,
        tracks: AlbumTracksWire,
    }

    struct AlbumTracksWire {
        items: List<Lax<TrackWire>, 50>,
    }

    /// An artist, full or simplified.
    struct ArtistWire {
        id: String,
        uri: String,
        name: String,
        genres: GenresWire,
        images: ImagesWire,
    }

    struct PlaylistWire {
        id: String,
        uri: String,
        name: String,
        description: String,
        owner: UserWire,
        public: bool,
        collaborative: bool,
        snapshot_id: String,
        items: SummaryWire,
        tracks: SummaryWire,
        images: ImagesWire,
    }

    /// The summary of a playlist's items: how many there are.
    struct SummaryWire {
        total: Number,
    }

    /// A person: from `/me`, as the owner of a playlist, or as the one who added an item.
    struct UserWire {
        id: String,
        account_id: String,
        display_name: String,
    }

    struct ExternalIdsWire {
        isrc: String,
        upc: String,
    }

    struct ImageWire {
        url: String,
        width: Number,
    }

    /// The answer of the token endpoint.
    struct TokenWire {
        access_token: String,
        expires_in: Number,
        refresh_token: String,
        scope: String,
    }

    struct RefusalDetailWire {
        message: String,
        reason: String,
    }
}

/// A refusal. The Web API puts an object under `error`, the token endpoint a word with a description beside it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct RefusalWire {
    pub error: Option<Box<RawValue>>,
    pub error_description: Lax<String>,
}
