//! Recorded answers of the Web API, which are stored beside the repository and never part of it.

use crate::{
    model::{EntityType, Item, Oddity, Page, PageRequest, PlaylistItemKind},
    spotify::{decode, plays},
};
use std::{io::Write, path::Path};

#[test]
fn recorded_saved_tracks_read_whole() {
    let Some(page) = page("me-tracks", &listing(EntityType::Tracks)) else { return };
    let Some(Item::Track(saved)) = &page.slots[0].item else { panic!("{page:?}") };
    assert_eq!((page.total, page.slots.len(), &page.slots[0].odd), (Some(53), 1, &None));
    assert_eq!(saved.added_at.map(|at| at.to_rfc3339()).as_deref(), Some("2016-10-24T15:03:07+00:00"));
    assert_eq!((saved.track.id.as_str(), saved.track.duration_ms), ("2jpDioAB9tlYXMdXDK3BGl", Some(137_040)));
    assert_eq!((saved.track.isrc.as_deref(), saved.track.artists.len()), (Some("USMA20215185"), 1));
    let album = saved.track.album.as_ref().unwrap();
    assert_eq!(album.image_url.as_deref(), Some("https://i.scdn.co/image/e9c5fd63935b08ed27a7a5b0e65b2c6bf600fc4a"));
}

#[test]
fn recorded_saved_albums_read_whole() {
    let Some(page) = page("me-albums", &listing(EntityType::Albums)) else { return };
    let Some(Item::Album(saved)) = &page.slots[0].item else { panic!("{page:?}") };
    assert_eq!((page.total, page.slots.len(), &page.slots[0].odd), (Some(19), 1, &None));
    assert_eq!((saved.album.name.as_str(), saved.album.upc.as_deref()), ("In & ut", Some("00602537623730")));
    assert_eq!(saved.album.release_date.as_deref(), Some("2013-01-01"));
}

#[test]
fn recorded_followed_artists_read_whole() {
    let Some(page) = page("me-following", &PageRequest::Following { after: None, limit: 20 }) else { return };
    let Some(Item::Artist(artist)) = &page.slots[0].item else { panic!("{page:?}") };
    assert_eq!((page.total, page.slots.len(), &page.slots[0].odd), (Some(183), 1, &None));
    assert_eq!(page.next_cursor.as_deref(), Some("0aV6DOiouImYTqrR5YlIqx"));
    assert_eq!(artist.genres.as_deref(), Some(&["swedish hip hop".to_owned()][..]));
}

#[test]
fn recorded_playlists_read_whole() {
    let Some(page) = page("me-playlists", &listing(EntityType::Playlists)) else { return };
    assert!(page.slots.iter().all(|slot| slot.odd.is_none()), "{page:?}");
    let Some(Item::Playlist(playlist)) = &page.slots[1].item else { panic!("{page:?}") };
    assert_eq!((playlist.total_items, playlist.owner_id.as_deref()), (Some(58), Some("wizzlersmate")));
    assert_eq!((playlist.public, &playlist.owner_name, &playlist.image_url), (Some(true), &None, &None));
}

#[test]
fn recorded_playlist_items_read_whole() {
    let request = PageRequest::PlaylistItems { playlist_id: "p".into(), offset: 0, limit: 50 };
    let Some(tracks) = page("playlist-items", &request) else { return };
    let Some(episodes) = page("playlist-items-episode", &request) else { return };
    let kinds =
        |page: &Page| -> Vec<_> { page.slots.iter().map(|slot| (kind(&slot.item), slot.odd.clone())).collect() };
    // The second row of the recording has no media at all.
    let expected = [(PlaylistItemKind::Track, None), (PlaylistItemKind::Missing, Some(Oddity::Null))];
    assert_eq!(kinds(&tracks), expected);
    assert_eq!(kinds(&episodes), [(PlaylistItemKind::Episode, None)]);
    let Some(Item::PlaylistItem(item)) = &episodes.slots[0].item else { panic!("{episodes:?}") };
    assert_eq!(item.added_by.as_deref(), Some("spotify_españa"));
    assert_eq!(item.name.as_deref(), Some("The Giant Beastcast: Episode 0"));
}

#[test]
fn recorded_plays_read_whole() {
    let Some(body) = recorded("recently-played") else { return };
    let page = plays::page(&body).unwrap();
    assert!(page.slots.iter().all(|slot| slot.odd.is_none()), "{page:?}");
    let plays: Vec<_> = page.plays().map(|play| (play.played_at.to_rfc3339(), play.track_uri.as_str())).collect();
    let expected = [
        ("2023-09-22T15:43:33.750+00:00".to_owned(), "spotify:track:7vqcDtNvoJn5pXhktc8qe8"),
        ("2023-09-22T15:23:14.294+00:00".to_owned(), "spotify:track:4rERaNiKlILD603GJvdEvm"),
    ];
    assert_eq!(plays, expected);
    let track = page.slots[1].play.as_ref().unwrap().track.as_ref().unwrap();
    assert_eq!((track.isrc.as_deref(), track.artists.len()), (Some("FRX762007288"), 2));
    assert_eq!(track.album.as_ref().map(|album| album.artists.len()), Some(2));
}

#[test]
fn a_recorded_profile_reads() {
    let Some(body) = recorded("me") else { return };
    let profile = decode::profile(&body).unwrap();
    assert_eq!((profile.spotify_id.as_str(), profile.display_name.as_deref()), ("wizzler", Some("JM Wizzler")));
}

fn page(name: &str, request: &PageRequest) -> Option<Page> {
    Some(decode::page(request, &recorded(name)?).unwrap())
}

fn recorded(name: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/answers");
    if !folder.is_dir() {
        // Not `eprintln!`, whose output the test harness captures.
        writeln!(std::io::stderr(), "SKIPPED: no recorded answers at {}", folder.display()).unwrap();
        return None;
    }
    Some(std::fs::read(folder.join(format!("{name}.json"))).unwrap())
}

fn listing(entity: EntityType) -> PageRequest {
    PageRequest::Listing { entity, offset: 0, limit: 50 }
}

fn kind(item: &Option<Item>) -> PlaylistItemKind {
    let Some(Item::PlaylistItem(item)) = item else { panic!("no playlist item: {item:?}") };
    item.kind
}
