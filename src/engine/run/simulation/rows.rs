//! How the model API shows an entry of the library, and an item of a playlist.

use super::world::Entry;
use crate::model::{
    Artist, EntityType, Item, Oddity, Playlist, PlaylistItem, PlaylistItemKind, SavedTrack, Slot, Track,
};
use chrono::DateTime;

pub fn slot(entity: EntityType, entry: &Entry) -> Slot {
    let added_at = DateTime::from_timestamp(entry.added_at, 0);
    let Some(id) = entry.id.clone() else { return Slot { item: None, added_at, odd: Some(Oddity::Null) } };
    let item = match entity {
        EntityType::Artists => {
            Item::Artist(Box::new(Artist { id, name: "an artist".into(), genres: None, image_url: None }))
        }
        EntityType::Playlists => Item::Playlist(Box::new(Playlist {
            id,
            name: "a playlist".into(),
            description: None,
            owner_id: None,
            owner_name: None,
            public: None,
            collaborative: None,
            snapshot_id: Some(format!("{}/{}", entry.snapshot, entry.items.len())),
            total_items: Some(entry.items.len() as i32),
            image_url: None,
        })),
        // The fields of the others do not matter to the engine.
        EntityType::Tracks | EntityType::Albums | EntityType::Shows | EntityType::Episodes | EntityType::Audiobooks => {
            let track = Track {
                id,
                uri: None,
                name: "a track".into(),
                album: None,
                duration_ms: None,
                explicit: None,
                disc_number: None,
                track_number: None,
                isrc: None,
                artists: Vec::new(),
            };
            Item::Track(Box::new(SavedTrack { added_at, track }))
        }
    };
    Slot { item: Some(item), added_at, odd: None }
}

pub fn playlist_item(number: u64) -> Slot {
    let kind = PlaylistItemKind::Local;
    let name = Some(number.to_string());
    let item = PlaylistItem { kind, uri: None, name, added_at: None, added_by: None, track: None };
    Slot { item: Some(Item::PlaylistItem(Box::new(item))), added_at: None, odd: None }
}
