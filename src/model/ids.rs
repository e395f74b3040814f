//! The closed vocabularies: entity types, phases, endpoint families. Their words are stored in the database, shown by
//! `status` and typed on the command line, so each has one spelling, here.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Key of a row in `accounts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AccountId(pub i64);

/// What one syncer works on: an entity type of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncKey {
    pub account: AccountId,
    pub entity: EntityType,
}

impl fmt::Display for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of account {}", self.entity, self.account.0)
    }
}

/// A word that is not in the vocabulary it was read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} \"{word}\", expected one of {expected}")]
pub struct UnknownWord {
    pub what: &'static str,
    pub word: String,
    pub expected: String,
}

/// An enum whose values each have a word, used by the database, the API or people.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            pub fn of_word(word: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|value| value.as_str() == word)
            }
        }
    };
}
pub(crate) use words;

/// One whose words are also parsed, with an error message.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order of priority at the gate if that matters.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The whole vocabulary, for messages.
            pub fn words() -> String {
                [$($word),+].join(", ")
            }
        }

        // By hand: the derive does not see the words through this macro.
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+])).into()
            }
        }

        impl ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.to_owned(), expected: $name::words() }),
                }
            }
        }
    };
}

vocabulary! {
    /// The kinds of library entries, each synced by an actor of its own; [`EntityType::facts`] tells them apart.
    EntityType, "entity type" {
        Tracks = "tracks",
        Artists = "artists",
        Albums = "albums",
        Playlists = "playlists",
        Shows = "shows",
        Episodes = "episodes",
        Audiobooks = "audiobooks",
    }
}

vocabulary! {
    /// Which of its two stages an entity type is in: read for the first time, or kept current.
    Phase, "phase" {
        InitialSync = "initial_sync",
        IncrementalSync = "incremental_sync",
    }
}

vocabulary! {
    /// A group of endpoints that share one quota (`rate_limits.family`). `Application` is the whole application: the
    /// rolling 30 s limit does not distinguish endpoints.
    Family, "endpoint family" {
        Application = "*",
        Player = "player",
        Tracks = "tracks",
        Artists = "artists",
        Albums = "albums",
        Playlists = "playlists",
        PlaylistItems = "playlist_items",
        Shows = "shows",
        Episodes = "episodes",
        Audiobooks = "audiobooks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for entity in EntityType::ALL {
            assert_eq!(entity.as_str().parse::<EntityType>().as_ref(), Ok(entity));
        }
        for family in Family::ALL {
            assert_eq!(family.as_str().parse::<Family>().as_ref(), Ok(family));
        }
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        let error = "songs".parse::<EntityType>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("unknown entity type \"songs\", expected one of {}", EntityType::words())
        );
        assert!(EntityType::words().starts_with("tracks, artists, "));
    }
}
