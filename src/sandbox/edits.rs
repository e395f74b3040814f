//! What a person does to a library while it is being read: saving, removing, moving, renaming. Edits come from the
//! control API and from fault rules, and each reports what it touched.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::applied::{Applied, Wanted, applied, check_place, drain, find_all, saved_now, within_bounds};
use super::catalogue::{AlbumNo, TrackNo};
use super::generate::{owned_playlist, whole_item};
use super::library::{Library, Media, Playlist, SavedAlbum, SavedTrack};
use super::plays::{Listening, listen};
use super::spoken::{self, Spoken};

/// One change to the library. Places count from 0 in list order; a count that exceeds the end is reduced.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Removes saved tracks.
    RemoveTracks {
        offset: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Saves new tracks, or old ones again by id: at the head, or after it as if they had been saved at the same moment
    /// as the one that stands there.
    AddTracks { count: Option<usize>, ids: Option<Vec<String>>, offset: Option<usize> },
    /// Removes a saved track and saves it again: it moves to the head.
    ResaveTrack { offset: usize },
    /// Gives the track of a row another name.
    RenameTrack { offset: usize, name: String },
    /// Removes saved albums.
    RemoveAlbums {
        offset: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Saves new albums at the head, or old ones again by id.
    AddAlbums { count: Option<usize>, ids: Option<Vec<String>> },
    /// Follows new artists, or old ones again by id; they sort in by id.
    Follow { count: Option<usize>, ids: Option<Vec<String>> },
    /// Unfollows artists.
    Unfollow {
        index: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Saves new shows, episodes or audiobooks at the head, or old ones again by id.
    Save { what: Spoken, count: Option<usize>, ids: Option<Vec<String>> },
    /// Removes saved ones.
    Unsave {
        what: Spoken,
        offset: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Puts a new playlist at the head.
    AddPlaylist { items: usize },
    /// Takes a playlist out of the list.
    RemovePlaylist { index: usize },
    /// Moves a playlist within the list; its contents and snapshot stay.
    MovePlaylist { from: usize, to: usize },
    /// Renames a playlist.
    RenamePlaylist { index: usize, name: String },
    /// Puts tracks into a playlist.
    PlaylistInsert {
        index: usize,
        position: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Takes items out of a playlist.
    PlaylistRemove {
        index: usize,
        position: usize,
        #[serde(default = "one")]
        count: usize,
    },
    /// Moves an item within a playlist.
    PlaylistMove { index: usize, from: usize, to: usize },
    /// Listens to saved tracks: one more play each, now; with `ago_s` they appear late.
    Play {
        #[serde(default = "one")]
        count: usize,
        ago_s: Option<u64>,
        #[serde(default = "one_ms")]
        spacing_ms: u64,
    },
}

const fn one() -> usize {
    1
}

const fn one_ms() -> u64 {
    1
}

/// Applies edits in order. On an error the edits before the faulty one are kept.
pub fn apply_all(library: &mut Library, edits: &[Edit], now: DateTime<Utc>) -> Result<Vec<Applied>, String> {
    let mut applied = Vec::with_capacity(edits.len());
    for (index, edit) in edits.iter().enumerate() {
        match apply(library, edit, now) {
            Ok(done) => applied.push(done),
            Err(message) => return Err(format!("edit {index}: {message}; the edits before it were applied")),
        }
    }
    Ok(applied)
}

fn apply(library: &mut Library, edit: &Edit, now: DateTime<Utc>) -> Result<Applied, String> {
    match edit {
        Edit::RemoveTracks { offset, count } => {
            let rows: Vec<_> = drain("track", &mut library.tracks, *offset, *count)?;
            Ok(applied(
                "remove_tracks",
                rows.into_iter().map(|row| row.track.map(|no| library.catalogue[no].id.clone())),
            ))
        }
        Edit::AddTracks { count, ids, offset } => {
            if let Some(offset) = offset {
                check_place("track", library.tracks.len(), *offset)?;
            }
            let tracks = match Wanted::of(*count, ids.as_deref())? {
                Wanted::New(count) => new_tracks(library, count),
                Wanted::Known(ids) => known_tracks(library, ids)?,
            };
            Ok(match offset {
                None => save_tracks(library, "add_tracks", &tracks, now),
                Some(offset) => slip_in_tracks(library, &tracks, *offset),
            })
        }
        Edit::ResaveTrack { offset } => {
            let track = track_at(library, *offset)?;
            library.tracks.remove(*offset);
            Ok(save_tracks(library, "resave_track", &[track], now))
        }
        Edit::RenameTrack { offset, name } => {
            let track = track_at(library, *offset)?;
            library.catalogue[track].name.clone_from(name);
            Ok(applied("rename_track", [Some(library.catalogue[track].id.clone())]))
        }
        Edit::RemoveAlbums { offset, count } => {
            let rows = drain("album", &mut library.albums, *offset, *count)?;
            Ok(applied("remove_albums", rows.into_iter().map(|row| Some(library.catalogue[row.album].id.clone()))))
        }
        Edit::AddAlbums { count, ids } => {
            let albums = match Wanted::of(*count, ids.as_deref())? {
                Wanted::New(count) => (0..count).map(|_| library.maker().album()).collect(),
                Wanted::Known(ids) => known_albums(library, ids)?,
            };
            Ok(save_albums(library, &albums, now))
        }
        Edit::Follow { count, ids } => follow(library, &Wanted::of(*count, ids.as_deref())?),
        Edit::Unfollow { index, count } => {
            let artists = drain("followed artist", &mut library.artists, *index, *count)?;
            Ok(applied("unfollow", artists.into_iter().map(|no| Some(library.catalogue[no].id.clone()))))
        }
        Edit::Save { what, count, ids } => {
            spoken::edits::save(library, *what, &Wanted::of(*count, ids.as_deref())?, now)
        }
        Edit::Unsave { what, offset, count } => spoken::edits::unsave(library, *what, *offset, *count),
        Edit::AddPlaylist { items } => {
            let playlist = owned_playlist(library, within_bounds(*items)?);
            let id = playlist.id.clone();
            library.playlists.insert(0, Some(playlist));
            Ok(applied("add_playlist", [Some(id)]))
        }
        Edit::RemovePlaylist { index } => {
            let playlist = drain("playlist", &mut library.playlists, *index, 1)?.pop().flatten();
            Ok(applied("remove_playlist", [playlist.map(|playlist| playlist.id)]))
        }
        Edit::MovePlaylist { from, to } => {
            shift("playlist", &mut library.playlists, *from, *to)?;
            let id = library.playlists[*to].as_ref().map(|playlist| playlist.id.clone());
            Ok(applied("move_playlist", [id]))
        }
        Edit::RenamePlaylist { index, name } => {
            let playlist = playlist_at(library, *index)?;
            playlist.name.clone_from(name);
            Ok(changed("rename_playlist", Vec::new(), playlist))
        }
        Edit::PlaylistInsert { index, position, count } => playlist_insert(library, *index, *position, *count, now),
        Edit::PlaylistRemove { index, position, count } => {
            let items = drain("playlist item", &mut playlist_at(library, *index)?.items, *position, *count)?;
            let ids = items.iter().map(|item| media_id(library, &item.media)).collect();
            Ok(changed("playlist_remove", ids, playlist_at(library, *index)?))
        }
        Edit::PlaylistMove { index, from, to } => {
            let items = &mut playlist_at(library, *index)?.items;
            shift("playlist item", items, *from, *to)?;
            let media = items[*to].media.clone();
            let ids = vec![media_id(library, &media)];
            Ok(changed("playlist_move", ids, playlist_at(library, *index)?))
        }
        Edit::Play { count, ago_s, spacing_ms } => {
            listen(library, Listening { count: *count, ago_s: *ago_s, spacing_ms: *spacing_ms }, now)
        }
    }
}

/// Concludes a change inside a playlist.
fn changed(op: &'static str, ids: Vec<Option<String>>, playlist: &mut Playlist) -> Applied {
    playlist.touch();
    Applied { op, ids, playlist_id: Some(playlist.id.clone()), snapshot_id: Some(playlist.snapshot_id.clone()) }
}

fn shift<T>(what: &str, list: &mut Vec<T>, from: usize, to: usize) -> Result<(), String> {
    check_place(what, list.len(), from)?;
    check_place(what, list.len(), to)?;
    let item = list.remove(from);
    list.insert(to, item);
    Ok(())
}

fn track_at(library: &Library, offset: usize) -> Result<TrackNo, String> {
    check_place("track", library.tracks.len(), offset)?;
    library.tracks[offset].track.ok_or_else(|| format!("the row at {offset} has no track"))
}

fn playlist_at(library: &mut Library, index: usize) -> Result<&mut Playlist, String> {
    check_place("playlist", library.playlists.len(), index)?;
    library.playlists[index].as_mut().ok_or_else(|| format!("the playlist at {index} is null"))
}

fn media_id(library: &Library, media: &Media) -> Option<String> {
    match media {
        Media::Track(no) => Some(library.catalogue[*no].id.clone()),
        Media::Episode(no) => Some(library.catalogue[*no].id.clone()),
        Media::Local(_) | Media::Missing => None,
    }
}

fn new_tracks(library: &mut Library, count: usize) -> Vec<TrackNo> {
    let mut tracks = Vec::with_capacity(count);
    while tracks.len() < count {
        let album = library.maker().album();
        tracks.extend_from_slice(&library.catalogue[album].tracks);
    }
    tracks.truncate(count);
    tracks
}

fn known_tracks(library: &Library, ids: &[String]) -> Result<Vec<TrackNo>, String> {
    find_all(ids, "track", |id| {
        let no = library.catalogue.tracks().find(|no| library.catalogue[*no].id == id)?;
        Some((no, library.tracks.iter().any(|row| row.track == Some(no))))
    })
}

fn known_albums(library: &Library, ids: &[String]) -> Result<Vec<AlbumNo>, String> {
    find_all(ids, "album", |id| {
        let no = library.catalogue.albums().find(|no| library.catalogue[*no].id == id)?;
        Some((no, library.albums.iter().any(|row| row.album == no)))
    })
}

fn save_tracks(library: &mut Library, op: &'static str, tracks: &[TrackNo], now: DateTime<Utc>) -> Applied {
    let added_at = saved_now(now, library.tracks.first().map(|row| row.added_at));
    let rows = tracks.iter().map(|track| SavedTrack { added_at, track: Some(*track) });
    library.tracks.splice(0..0, rows);
    applied(op, tracks.iter().map(|no| Some(library.catalogue[*no].id.clone())))
}

fn slip_in_tracks(library: &mut Library, tracks: &[TrackNo], offset: usize) -> Applied {
    let added_at = library.tracks[offset].added_at;
    let rows = tracks.iter().map(|track| SavedTrack { added_at, track: Some(*track) });
    library.tracks.splice(offset..offset, rows);
    applied("add_tracks", tracks.iter().map(|no| Some(library.catalogue[*no].id.clone())))
}

fn save_albums(library: &mut Library, albums: &[AlbumNo], now: DateTime<Utc>) -> Applied {
    let added_at = saved_now(now, library.albums.first().map(|row| row.added_at));
    library.albums.splice(0..0, albums.iter().map(|album| SavedAlbum { added_at, album: *album }));
    applied("add_albums", albums.iter().map(|no| Some(library.catalogue[*no].id.clone())))
}

fn follow(library: &mut Library, wanted: &Wanted<'_>) -> Result<Applied, String> {
    let artists = match wanted {
        Wanted::New(count) => (0..*count).map(|_| library.maker().artist()).collect(),
        Wanted::Known(ids) => find_all(ids, "artist", |id| {
            let no = library.catalogue.artists().find(|no| library.catalogue[*no].id == id)?;
            Some((no, library.artists.contains(&no)))
        })?,
    };
    let mut ids: Vec<String> = artists.iter().map(|no| library.catalogue[*no].id.clone()).collect();
    for artist in artists {
        library.follow(artist);
    }
    ids.sort_unstable();
    Ok(applied("follow", ids.into_iter().map(Some)))
}

fn playlist_insert(
    library: &mut Library,
    index: usize,
    position: usize,
    count: usize,
    now: DateTime<Utc>,
) -> Result<Applied, String> {
    let len = playlist_at(library, index)?.items.len();
    if position > len {
        return Err(format!("position {position} lies beyond the end (the playlist has {len})"));
    }
    let added_at = saved_now(now, None);
    let items: Vec<_> = (0..within_bounds(count)?).map(|_| whole_item(library, added_at)).collect();
    let ids = items.iter().map(|item| media_id(library, &item.media)).collect();
    let playlist = playlist_at(library, index)?;
    playlist.items.splice(position..position, items);
    Ok(changed("playlist_insert", ids, playlist))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::config::LibrarySpec;
    use crate::sandbox::generate;

    #[test]
    fn what_was_removed_can_be_saved_again_by_id() {
        let mut library = small();
        let gone = one_edit(&mut library, r#"{"op":"remove_tracks","offset":3,"count":2}"#);
        assert_eq!(library.tracks.len(), 18);
        let id = gone.ids[1].clone().expect("rows are whole");
        let back = one_edit(&mut library, &format!(r#"{{"op":"add_tracks","ids":["{id}"]}}"#));
        assert_eq!(back.ids, [Some(id)]);
        assert_eq!(library.tracks.len(), 19);
        assert!(library.tracks[0].added_at > library.tracks[1].added_at);
    }

    #[test]
    fn a_track_may_come_in_behind_the_head() {
        let mut library = small();
        let there = library.tracks[7].track;
        let came = one_edit(&mut library, r#"{"op":"add_tracks","count":1,"offset":7}"#);
        let id = library.tracks[7].track.map(|no| library.catalogue[no].id.clone());
        assert_eq!(came.ids, [id]);
        assert_eq!((library.tracks.len(), library.tracks[8].track), (21, there));
        assert_eq!(library.tracks[7].added_at, library.tracks[8].added_at);
    }

    #[test]
    fn a_resaved_track_moves_to_the_head() {
        let mut library = small();
        let track = library.tracks[5].track;
        one_edit(&mut library, r#"{"op":"resave_track","offset":5}"#);
        assert_eq!(library.tracks[0].track, track);
        assert_eq!(library.tracks.len(), 20);
    }

    #[test]
    fn edits_inside_a_playlist_change_its_snapshot_and_moving_it_does_not() {
        let mut library = small();
        let mut snapshots = vec![library.playlists[0].as_ref().expect("whole").snapshot_id.clone()];
        for edit in [
            r#"{"op":"playlist_insert","index":0,"position":10,"count":2}"#,
            r#"{"op":"playlist_move","index":0,"from":11,"to":0}"#,
            r#"{"op":"playlist_remove","index":0,"position":8,"count":99}"#,
            r#"{"op":"rename_playlist","index":0,"name":"x"}"#,
        ] {
            snapshots.push(one_edit(&mut library, edit).snapshot_id.expect("it is inside a playlist"));
        }
        assert_eq!(library.playlists[0].as_ref().expect("whole").items.len(), 8);
        let last = snapshots.last().cloned();
        one_edit(&mut library, r#"{"op":"move_playlist","from":0,"to":2}"#);
        assert_eq!(library.playlists[2].as_ref().map(|playlist| playlist.snapshot_id.clone()), last);
        snapshots.sort();
        snapshots.dedup();
        assert_eq!(snapshots.len(), 5);
    }

    #[test]
    fn follows_sort_in_and_plays_have_their_own_instant() {
        let mut library = small();
        one_edit(&mut library, r#"{"op":"follow","count":7}"#);
        one_edit(&mut library, r#"{"op":"unfollow","index":2}"#);
        assert_eq!(library.artists.len(), 16);
        assert!(library.artists.is_sorted_by_key(|no| &library.catalogue[*no].id));
        one_edit(&mut library, r#"{"op":"play","count":9}"#);
        assert_eq!(library.recent_plays().len(), 50);
        assert!(library.plays.is_sorted_by(|a, b| a.played_at > b.played_at));
    }

    #[test]
    fn impossible_edits_say_what_is_wrong() {
        let mut library = small();
        for (edit, expected) in [
            (r#"{"op":"remove_tracks","offset":20}"#, "no track at 20 (the list has 20)"),
            (r#"{"op":"move_playlist","from":0,"to":3}"#, "no playlist at 3"),
            (r#"{"op":"add_tracks","ids":["nope"]}"#, "no track has the id `nope`"),
            (r#"{"op":"add_tracks","count":1,"offset":20}"#, "no track at 20"),
            (r#"{"op":"follow","count":1,"ids":[]}"#, "give one of the two"),
            (r#"{"op":"playlist_insert","index":0,"position":11}"#, "beyond the end"),
        ] {
            let edit: Edit = serde_json::from_str(edit).expect("well formed");
            let message = apply(&mut library, &edit, Utc::now()).expect_err("impossible");
            assert!(message.contains(expected), "{message}");
        }
        assert!(serde_json::from_str::<Edit>(r#"{"op":"remove_tracks","offset":0,"cuont":2}"#).is_err());
    }

    fn small() -> Library {
        generate::library(&LibrarySpec::exact(20, 5, 10, 3, 10), 3)
    }

    fn one_edit(library: &mut Library, edit: &str) -> Applied {
        let edit: Edit = serde_json::from_str(edit).expect("well formed");
        apply(library, &edit, Utc::now()).expect("possible")
    }
}
