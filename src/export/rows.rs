//! The contents of the general formats: the columns of each list, and the cells of a row in their order.

use crate::store::{
    AlbumLine, ArtistLine, ListenLine, PlaylistLine, Shared, SpokenLine, TrackFacts, TrackLine,
    browse::{ArtistLink, ChangeEntry},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::io;

/// The type of a column's cells. Each may be missing except for `Texts`, which may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Several in one cell.
    Texts,
    Number,
    Flag,
    Moment,
}

pub type Column = (&'static str, Kind);

/// Takes the cells of a row, in the order of its columns.
pub trait Cells {
    fn text(&mut self, text: Option<&str>) -> io::Result<()>;
    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> io::Result<()>;
    fn number(&mut self, number: Option<i64>) -> io::Result<()>;
    fn flag(&mut self, flag: Option<bool>) -> io::Result<()>;
    fn moment(&mut self, at: Option<DateTime<Utc>>) -> io::Result<()>;
}

/// A row of a list. As JSON it has the same fields, some of them nested objects.
pub trait Row: Serialize {
    fn columns() -> Vec<Column>;
    fn cells(&self, to: &mut impl Cells) -> io::Result<()>;
}

/// Columns and cells, each defined once: its name, its type, and its value.
macro_rules! row {
    ($row:ty, |$line:ident| $($name:ident: $kind:ident = $cell:expr,)+ $(..$track:expr)?) => {
        impl Row for $row {
            fn columns() -> Vec<Column> {
                let own = vec![$((stringify!($name), row!(@kind $kind))),+];
                [own, $(row!(@columns $track))?].concat()
            }

            fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
                let $line = self;
                $(to.$kind($cell)?;)+
                $($track.cells(to)?;)?
                Ok(())
            }
        }
    };
    (@columns $track:expr) => { TrackFacts::columns() };
    (@kind text) => { Kind::Text };
    (@kind texts) => { Kind::Texts };
    (@kind number) => { Kind::Number };
    (@kind flag) => { Kind::Flag };
    (@kind moment) => { Kind::Moment };
}

fn names(artists: &[Shared<ArtistLink>]) -> impl Iterator<Item = &str> {
    artists.iter().map(|artist| artist.name.as_str())
}

row! {
    TrackFacts, |track|
    name: text = track.name.as_deref(),
    artists: texts = names(&track.artists),
    album: text = track.album.as_ref().map(|album| album.name.as_str()),
    album_artists: texts = names(track.album.as_ref().map(|album| album.artists.as_slice()).unwrap_or_default()),
    release_date: text = track.album.as_ref().and_then(|album| album.release_date.as_deref()),
    disc_number: number = track.disc_number.map(i64::from),
    track_number: number = track.track_number.map(i64::from),
    duration_ms: number = track.duration_ms.map(i64::from),
    explicit: flag = track.explicit,
    isrc: text = track.isrc.as_deref(),
    album_id: text = track.album.as_ref().map(|album| album.id.as_str()),
}

row! {
    TrackLine, |line|
    added_at: moment = line.added_at,
    added_by: text = line.added_by.as_deref(),
    position: number = line.position,
    uri: text = line.uri.as_deref(),
    ..line.track
}

row! {
    ListenLine, |line|
    started_at: moment = line.started_at,
    ended_at: moment = Some(line.ended_at),
    played_at: moment = line.played_at,
    ms_played: number = line.ms_played,
    kind: text = Some(&line.kind),
    uri: text = line.uri.as_deref(),
    context_uri: text = line.context_uri.as_deref(),
    source: text = Some(&line.source),
    skipped: flag = line.skipped,
    offline: flag = line.offline,
    incognito: flag = line.incognito,
    ..line.track
}

row! {
    AlbumLine, |line|
    added_at: moment = line.added_at,
    id: text = Some(&line.album.id),
    name: text = Some(&line.album.name),
    artists: texts = names(&line.album.artists),
    album_type: text = line.album.album_type.as_deref(),
    release_date: text = line.album.release_date.as_deref(),
    total_tracks: number = line.album.total_tracks.map(i64::from),
    upc: text = line.album.upc.as_deref(),
    image_url: text = line.album.image_url.as_deref(),
}

row! {
    ArtistLine, |line|
    first_seen_at: moment = Some(line.first_seen_at),
    id: text = Some(&line.id),
    name: text = Some(&line.name),
    genres: text = line.genres.as_deref(),
    image_url: text = line.image_url.as_deref(),
}

row! {
    SpokenLine, |line|
    added_at: moment = line.added_at,
    id: text = Some(&line.id),
    name: text = Some(&line.name),
    creator: text = line.creator.as_deref(),
    description: text = line.description.as_deref(),
    explicit: flag = line.explicit,
    duration_ms: number = line.duration_ms.map(i64::from),
    total_parts: number = line.total_parts.map(i64::from),
    release_date: text = line.release_date.as_deref(),
    image_url: text = line.image_url.as_deref(),
}

row! {
    PlaylistLine, |line|
    position: number = Some(line.position),
    id: text = Some(&line.id),
    name: text = Some(&line.name),
    description: text = line.description.as_deref(),
    owner_id: text = line.owner_id.as_deref(),
    owner_name: text = line.owner_name.as_deref(),
    public: flag = line.public,
    collaborative: flag = line.collaborative,
    total_items: number = line.total_items.map(i64::from),
}

row! {
    ChangeEntry, |entry|
    at: moment = Some(entry.at),
    account: text = Some(&entry.account),
    entity_type: text = Some(&entry.entity_type),
    change: text = Some(&entry.change),
    id: text = entry.id.as_deref(),
    uri: text = entry.uri.as_deref(),
    name: text = entry.name.as_deref(),
    artist: text = entry.artist.as_deref(),
    added_at: moment = entry.added_at,
    playlist_id: text = entry.playlist_id.as_deref(),
    playlist_name: text = entry.playlist_name.as_deref(),
    snapshot_id: text = entry.snapshot_id.as_deref(),
    position: number = entry.position,
}
