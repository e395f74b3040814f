//! What distinguishes the entity types: one row of facts for each. Code that depends on the type looks here, and the
//! compiler requires a row when a type is added.

use super::{EntityType, Family};
use std::ops::{Index, IndexMut};

/// How a listing is ordered, and so what its beginning shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingOrder {
    /// By the moment of saving, latest first: new items are at the head. Observed, not promised.
    NewestFirst,
    /// By id, and paged by a cursor: new items may be anywhere, and move nothing.
    ById,
    /// As arranged by the person.
    Arranged,
}

/// Whether the rows of a listing contain when they were saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    Always,
    /// In one dialect of the API, but not in the other.
    Maybe,
    Never,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A single one.
    pub noun: &'static str,
    /// Those of a library.
    pub members: &'static str,
    pub order: ListingOrder,
    pub dated: Dated,
    /// Its items have items of their own, which are read after the listing.
    pub has_items: bool,
    /// The listing's address below that of the API.
    pub path: &'static [&'static str],
    /// The group of endpoints whose quota the listing counts against.
    pub family: Family,
    /// The permissions that the listing requires.
    pub scopes: &'static [&'static str],
    /// The actor that reads it, by its name in `/metrics`.
    pub actor: &'static str,
}

impl EntityType {
    pub const fn facts(self) -> Facts {
        match self {
            EntityType::Tracks => Facts {
                noun: "track",
                members: "saved tracks",
                order: ListingOrder::NewestFirst,
                dated: Dated::Always,
                has_items: false,
                path: &["me", "tracks"],
                family: Family::Tracks,
                scopes: &["user-library-read"],
                actor: "syncer_tracks",
            },
            EntityType::Artists => Facts {
                noun: "artist",
                members: "followed artists",
                order: ListingOrder::ById,
                dated: Dated::Never,
                has_items: false,
                path: &["me", "following"],
                family: Family::Artists,
                scopes: &["user-follow-read"],
                actor: "syncer_artists",
            },
            EntityType::Albums => Facts {
                noun: "album",
                members: "saved albums",
                order: ListingOrder::NewestFirst,
                dated: Dated::Always,
                has_items: false,
                path: &["me", "albums"],
                family: Family::Albums,
                scopes: &["user-library-read"],
                actor: "syncer_albums",
            },
            EntityType::Playlists => Facts {
                noun: "playlist",
                members: "playlists",
                order: ListingOrder::Arranged,
                dated: Dated::Never,
                has_items: true,
                path: &["me", "playlists"],
                family: Family::Playlists,
                scopes: &["playlist-read-private"],
                actor: "syncer_playlists",
            },
            EntityType::Shows => Facts {
                noun: "show",
                members: "saved shows",
                order: ListingOrder::NewestFirst,
                dated: Dated::Always,
                has_items: false,
                path: &["me", "shows"],
                family: Family::Shows,
                scopes: &["user-library-read"],
                actor: "syncer_shows",
            },
            EntityType::Episodes => Facts {
                noun: "episode",
                members: "saved episodes",
                order: ListingOrder::NewestFirst,
                dated: Dated::Always,
                has_items: false,
                path: &["me", "episodes"],
                family: Family::Episodes,
                scopes: &["user-library-read", "user-read-playback-position"],
                actor: "syncer_episodes",
            },
            EntityType::Audiobooks => Facts {
                noun: "audiobook",
                members: "saved audiobooks",
                order: ListingOrder::NewestFirst,
                dated: Dated::Maybe,
                has_items: false,
                path: &["me", "audiobooks"],
                family: Family::Audiobooks,
                scopes: &["user-library-read"],
                actor: "syncer_audiobooks",
            },
        }
    }

    pub const fn noun(self) -> &'static str {
        self.facts().noun
    }

    /// The family of the entity type's listing.
    pub const fn family(self) -> Family {
        self.facts().family
    }

    /// Whether new items are at the head of the listing.
    pub const fn is_newest_first(self) -> bool {
        matches!(self.facts().order, ListingOrder::NewestFirst)
    }

    pub const fn is_by_cursor(self) -> bool {
        matches!(self.facts().order, ListingOrder::ById)
    }

    pub const fn has_items(self) -> bool {
        self.facts().has_items
    }
}

/// A line at the gate. Lesser ones are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    Playback,
    Of(EntityType),
}

impl Line {
    pub fn all() -> impl Iterator<Item = Line> {
        [Line::Playback].into_iter().chain(EntityType::ALL.iter().copied().map(Line::Of))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Line::Playback => "playback",
            Line::Of(entity) => entity.as_str(),
        }
    }
}

impl Family {
    /// Where the family's requests wait for a permit.
    pub const fn line(self) -> Line {
        match self {
            Family::Application | Family::Player => Line::Playback,
            Family::Tracks => Line::Of(EntityType::Tracks),
            Family::Artists => Line::Of(EntityType::Artists),
            Family::Albums => Line::Of(EntityType::Albums),
            Family::Playlists | Family::PlaylistItems => Line::Of(EntityType::Playlists),
            Family::Shows => Line::Of(EntityType::Shows),
            Family::Episodes => Line::Of(EntityType::Episodes),
            Family::Audiobooks => Line::Of(EntityType::Audiobooks),
        }
    }
}

/// One value for each entity type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerEntity<T>([T; EntityType::ALL.len()]);

impl<T> PerEntity<T> {
    pub fn from_fn(make: impl FnMut(EntityType) -> T) -> PerEntity<T> {
        let mut make = make;
        PerEntity(std::array::from_fn(|at| make(EntityType::ALL[at])))
    }

    /// In the order of [`EntityType::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (EntityType, &T)> {
        EntityType::ALL.iter().copied().zip(&self.0)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

impl<T> Index<EntityType> for PerEntity<T> {
    type Output = T;

    fn index(&self, entity: EntityType) -> &T {
        &self.0[entity as usize]
    }
}

impl<T> IndexMut<EntityType> for PerEntity<T> {
    fn index_mut(&mut self, entity: EntityType) -> &mut T {
        &mut self.0[entity as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scopes::SCOPES;
    use std::collections::BTreeSet;

    #[test]
    fn each_entity_type_stands_at_its_own_place() {
        let places = PerEntity::from_fn(|entity| entity as usize);
        for (at, entity) in EntityType::ALL.iter().enumerate() {
            assert_eq!(places[*entity], at);
        }
    }

    #[test]
    fn no_two_share_what_tells_them_apart() {
        let distinct = |of: fn(Facts) -> String| {
            let all: BTreeSet<String> = EntityType::ALL.iter().map(|entity| of(entity.facts())).collect();
            assert_eq!(all.len(), EntityType::ALL.len(), "{all:?}");
        };
        distinct(|facts| facts.noun.to_owned());
        distinct(|facts| facts.path.join("/"));
        distinct(|facts| facts.family.to_string());
        distinct(|facts| facts.actor.to_owned());
        for entity in EntityType::ALL {
            assert_eq!(entity.family().line(), Line::Of(*entity));
            assert_eq!(entity.facts().actor, format!("syncer_{entity}"));
        }
    }

    #[test]
    fn what_a_listing_needs_is_asked_for_at_sign_in() {
        for scope in EntityType::ALL.iter().flat_map(|entity| entity.facts().scopes) {
            assert!(SCOPES.iter().any(|known| known.name == *scope), "{scope}");
        }
    }
}
