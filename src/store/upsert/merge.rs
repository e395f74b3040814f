//! What a column does when the row already exists, in SQL; and the same for two mentions of one item in a batch.

use crate::model::LOCAL;
use crate::store::careful::{Reduction, Subject};
use crate::store::types::{At, Words};

/// What a column does when the row already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Merge {
    /// Part of the key.
    Key,
    /// Follows the source, except that a name that is empty or contains U+FFFD does not replace an intact one.
    Name,
    /// A JSON list that follows the source, except that an empty one does not replace a known one.
    List,
    /// An id that follows the source, except that one made of a name (`local:...`) does not replace a Spotify id.
    Link,
    /// Follows the source if it has a value; its silence erases nothing.
    Known,
    /// The same, except that a text that contains U+FFFD does not replace an intact one.
    Text,
    /// As `Known` where the row has the same `uri` as before; otherwise it is another item, and the source is followed.
    OfItem,
    /// As `Name` where the row has the same `uri` as before; otherwise the source is followed.
    NameOfItem,
    /// The greater of both.
    Greatest,
    /// Follows the source, its silence included.
    Follow,
    /// Keeps the value from when the row was new.
    Once,
    /// Follows the source when something else changed; never a reason to write.
    Stamp,
}

impl Merge {
    /// Whether a row is written because of it.
    pub(super) fn is_compared(self) -> bool {
        match self {
            Merge::Name
            | Merge::List
            | Merge::Link
            | Merge::Known
            | Merge::Text
            | Merge::OfItem
            | Merge::NameOfItem
            | Merge::Greatest
            | Merge::Follow => true,
            Merge::Key | Merge::Once | Merge::Stamp => false,
        }
    }
}

/// The new value of the column.
pub(super) fn merged(column: &str, merge: Merge) -> String {
    let is_damaged =
        || format!("(t.{column} <> '' AND excluded.{column} LIKE '%\u{FFFD}%' AND t.{column} NOT LIKE '%\u{FFFD}%')");
    match merge {
        // An unchanged value is the usual case, so it is checked first.
        Merge::Name => format!(
            "CASE WHEN excluded.{column} = t.{column} OR excluded.{column} = '' OR {} \
             THEN t.{column} ELSE excluded.{column} END",
            is_damaged()
        ),
        Merge::Text => format!(
            "CASE WHEN excluded.{column} = t.{column} OR excluded.{column} IS NULL OR {} \
             THEN t.{column} ELSE excluded.{column} END",
            is_damaged()
        ),
        Merge::List => format!(
            "CASE WHEN COALESCE(excluded.{column}, '[]') = '[]' THEN COALESCE(t.{column}, excluded.{column}) \
             ELSE excluded.{column} END"
        ),
        Merge::Link => format!(
            "CASE WHEN excluded.{column} IS NULL OR (SUBSTR(excluded.{column}, 1, {len}) = '{LOCAL}' \
             AND SUBSTR(t.{column}, 1, {len}) <> '{LOCAL}') THEN t.{column} ELSE excluded.{column} END",
            len = LOCAL.len()
        ),
        Merge::Greatest => {
            format!("CASE WHEN t.{column} >= excluded.{column} THEN t.{column} ELSE excluded.{column} END")
        }
        Merge::Known => format!("COALESCE(excluded.{column}, t.{column})"),
        // A place without a URI is not known to hold the same as before.
        Merge::OfItem => format!(
            "CASE WHEN excluded.uri = t.uri THEN COALESCE(excluded.{column}, t.{column}) ELSE excluded.{column} END"
        ),
        Merge::NameOfItem => format!(
            "CASE WHEN excluded.{column} = t.{column} OR (excluded.uri = t.uri \
             AND (COALESCE(excluded.{column}, '') = '' OR {})) THEN t.{column} ELSE excluded.{column} END",
            is_damaged()
        ),
        Merge::Follow | Merge::Stamp => format!("excluded.{column}"),
        Merge::Key | Merge::Once => format!("t.{column}"),
    }
}

/// A column's value, for rows that are reduced, merged, or name their subject.
pub(in crate::store) trait Value: Clone {
    /// Whether it may be left out because of the text in it.
    const IS_TEXT: bool = false;

    /// Without its text. A value without text stays.
    fn silent(&self) -> Self {
        self.clone()
    }

    /// The value that says more; if both say as much, the first.
    fn fuller(self, _other: Self) -> Self {
        self
    }

    /// Its contribution to the subject, as a part of the key.
    fn tell(&self, _column: &str, _subject: &mut Subject) {}
}

impl Value for At {}
impl Value for bool {}
impl Value for i32 {}
/// Words of our own.
impl Value for &str {}

impl Value for String {
    const IS_TEXT: bool = true;
}

impl Value for i64 {
    fn fuller(self, other: Self) -> Self {
        self.max(other)
    }

    fn tell(&self, column: &str, subject: &mut Subject) {
        if column == "position" {
            subject.position = Some(*self);
        }
    }
}

impl Value for Words<'_> {
    const IS_TEXT: bool = true;

    fn silent(&self) -> Self {
        Words("")
    }

    fn fuller(self, other: Self) -> Self {
        if self.0.is_empty() { other } else { self }
    }

    fn tell(&self, _: &str, subject: &mut Subject) {
        if subject.id.is_empty() {
            subject.id = String::from(*self);
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn silent(&self) -> Self {
        self.clone().filter(|_| !T::IS_TEXT)
    }

    fn fuller(self, other: Self) -> Self {
        match (self, other) {
            (Some(known), Some(other)) => Some(known.fuller(other)),
            (known, other) => known.or(other),
        }
    }
}

/// The value of a column after another mention of the same item.
pub(in crate::store) fn fuller<V: Value>(known: V, other: V, merge: Merge) -> V {
    match merge {
        Merge::Key | Merge::Once | Merge::Stamp | Merge::Follow | Merge::OfItem | Merge::NameOfItem => known,
        Merge::Name | Merge::List | Merge::Link | Merge::Known | Merge::Text | Merge::Greatest => known.fuller(other),
    }
}

/// A value of a reduced row. Keys and links stay, or it would be another row.
pub(in crate::store) fn reduced<V: Value>(value: &V, column: &str, merge: Merge, by: Reduction) -> V {
    let is_identity = matches!(column, "uri" | "track_id" | "snapshot_id");
    match merge {
        Merge::Key | Merge::Once | Merge::Stamp | Merge::Link => value.clone(),
        _ if is_identity && by == Reduction::Texts => value.clone(),
        Merge::Name
        | Merge::List
        | Merge::Known
        | Merge::Text
        | Merge::OfItem
        | Merge::NameOfItem
        | Merge::Greatest
        | Merge::Follow => value.silent(),
    }
}
