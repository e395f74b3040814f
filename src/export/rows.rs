//! What the general formats hold: the columns of each list, and the cells of a row in their order.

use crate::store::{
    AlbumFacts, AlbumLine, ArtistLine, ListenLine, PlaylistLine, Shared, SpokenLine, TrackFacts, TrackLine,
    browse::{ArtistLink, ChangeEntry},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::io;

/// What the cells of a column are. Each may be missing but those of `Texts`, which may be empty.
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

/// A row of a list. As JSON it has the same fields, and some as objects of their own.
pub trait Row: Serialize {
    fn columns() -> Vec<Column>;
    fn cells(&self, to: &mut impl Cells) -> io::Result<()>;
}

const TRACK: [Column; 11] = [
    ("name", Kind::Text),
    ("artists", Kind::Texts),
    ("album", Kind::Text),
    ("album_artists", Kind::Texts),
    ("release_date", Kind::Text),
    ("disc_number", Kind::Number),
    ("track_number", Kind::Number),
    ("duration_ms", Kind::Number),
    ("explicit", Kind::Flag),
    ("isrc", Kind::Text),
    ("album_id", Kind::Text),
];

fn track_cells(track: &TrackFacts, to: &mut impl Cells) -> io::Result<()> {
    let album = track.album.as_ref();
    to.text(track.name.as_deref())?;
    to.texts(names(&track.artists))?;
    to.text(album.map(|album| album.name.as_str()))?;
    to.texts(names(album.map(|album| album.artists.as_slice()).unwrap_or_default()))?;
    to.text(album.and_then(|album| album.release_date.as_deref()))?;
    to.number(track.disc_number.map(i64::from))?;
    to.number(track.track_number.map(i64::from))?;
    to.number(track.duration_ms.map(i64::from))?;
    to.flag(track.explicit)?;
    to.text(track.isrc.as_deref())?;
    to.text(album.map(|album| album.id.as_str()))
}

fn names(artists: &[Shared<ArtistLink>]) -> impl Iterator<Item = &str> {
    artists.iter().map(|artist| artist.name.as_str())
}

impl Row for TrackLine {
    fn columns() -> Vec<Column> {
        let own =
            [("added_at", Kind::Moment), ("added_by", Kind::Text), ("position", Kind::Number), ("uri", Kind::Text)];
        [&own[..], &TRACK].concat()
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        to.moment(self.added_at)?;
        to.text(self.added_by.as_deref())?;
        to.number(self.position)?;
        to.text(self.uri.as_deref())?;
        track_cells(&self.track, to)
    }
}

impl Row for ListenLine {
    fn columns() -> Vec<Column> {
        let own = [
            ("started_at", Kind::Moment),
            ("ended_at", Kind::Moment),
            ("played_at", Kind::Moment),
            ("ms_played", Kind::Number),
            ("kind", Kind::Text),
            ("uri", Kind::Text),
            ("context_uri", Kind::Text),
            ("source", Kind::Text),
            ("skipped", Kind::Flag),
            ("offline", Kind::Flag),
            ("incognito", Kind::Flag),
        ];
        [&own[..], &TRACK].concat()
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        to.moment(self.started_at)?;
        to.moment(Some(self.ended_at))?;
        to.moment(self.played_at)?;
        to.number(self.ms_played)?;
        to.text(Some(self.kind.as_str()))?;
        to.text(self.uri.as_deref())?;
        to.text(self.context_uri.as_deref())?;
        to.text(Some(self.source.as_str()))?;
        to.flag(self.skipped)?;
        to.flag(self.offline)?;
        to.flag(self.incognito)?;
        track_cells(&self.track, to)
    }
}

impl Row for AlbumLine {
    fn columns() -> Vec<Column> {
        vec![
            ("added_at", Kind::Moment),
            ("id", Kind::Text),
            ("name", Kind::Text),
            ("artists", Kind::Texts),
            ("album_type", Kind::Text),
            ("release_date", Kind::Text),
            ("total_tracks", Kind::Number),
            ("upc", Kind::Text),
            ("image_url", Kind::Text),
        ]
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        let AlbumFacts { id, name, artists, album_type, release_date, total_tracks, upc, image_url } = &*self.album;
        to.moment(self.added_at)?;
        to.text(Some(id))?;
        to.text(Some(name))?;
        to.texts(names(artists))?;
        to.text(album_type.as_deref())?;
        to.text(release_date.as_deref())?;
        to.number(total_tracks.map(i64::from))?;
        to.text(upc.as_deref())?;
        to.text(image_url.as_deref())
    }
}

impl Row for ArtistLine {
    fn columns() -> Vec<Column> {
        let texts = ["id", "name", "genres", "image_url"].map(|name| (name, Kind::Text));
        [&[("first_seen_at", Kind::Moment)], &texts[..]].concat()
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        let ArtistLine { first_seen_at, id, name, genres, image_url } = self;
        to.moment(Some(*first_seen_at))?;
        to.text(Some(id))?;
        to.text(Some(name))?;
        to.text(genres.as_deref())?;
        to.text(image_url.as_deref())
    }
}

impl Row for SpokenLine {
    fn columns() -> Vec<Column> {
        vec![
            ("added_at", Kind::Moment),
            ("id", Kind::Text),
            ("name", Kind::Text),
            ("creator", Kind::Text),
            ("description", Kind::Text),
            ("explicit", Kind::Flag),
            ("duration_ms", Kind::Number),
            ("total_parts", Kind::Number),
            ("release_date", Kind::Text),
            ("image_url", Kind::Text),
        ]
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        to.moment(self.added_at)?;
        to.text(Some(&self.id))?;
        to.text(Some(&self.name))?;
        to.text(self.creator.as_deref())?;
        to.text(self.description.as_deref())?;
        to.flag(self.explicit)?;
        to.number(self.duration_ms.map(i64::from))?;
        to.number(self.total_parts.map(i64::from))?;
        to.text(self.release_date.as_deref())?;
        to.text(self.image_url.as_deref())
    }
}

impl Row for PlaylistLine {
    fn columns() -> Vec<Column> {
        vec![
            ("position", Kind::Number),
            ("id", Kind::Text),
            ("name", Kind::Text),
            ("description", Kind::Text),
            ("owner_id", Kind::Text),
            ("owner_name", Kind::Text),
            ("public", Kind::Flag),
            ("collaborative", Kind::Flag),
            ("total_items", Kind::Number),
        ]
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        to.number(Some(self.position))?;
        to.text(Some(&self.id))?;
        to.text(Some(&self.name))?;
        to.text(self.description.as_deref())?;
        to.text(self.owner_id.as_deref())?;
        to.text(self.owner_name.as_deref())?;
        to.flag(self.public)?;
        to.flag(self.collaborative)?;
        to.number(self.total_items.map(i64::from))
    }
}

impl Row for ChangeEntry {
    fn columns() -> Vec<Column> {
        vec![
            ("at", Kind::Moment),
            ("account", Kind::Text),
            ("entity_type", Kind::Text),
            ("change", Kind::Text),
            ("id", Kind::Text),
            ("uri", Kind::Text),
            ("name", Kind::Text),
            ("artist", Kind::Text),
            ("added_at", Kind::Moment),
            ("playlist_id", Kind::Text),
            ("playlist_name", Kind::Text),
            ("snapshot_id", Kind::Text),
            ("position", Kind::Number),
        ]
    }

    fn cells(&self, to: &mut impl Cells) -> io::Result<()> {
        to.moment(Some(self.at))?;
        for text in [&self.account, &self.entity_type, &self.change] {
            to.text(Some(text))?;
        }
        for text in [&self.id, &self.uri, &self.name, &self.artist] {
            to.text(text.as_deref())?;
        }
        to.moment(self.added_at)?;
        for text in [&self.playlist_id, &self.playlist_name, &self.snapshot_id] {
            to.text(text.as_deref())?;
        }
        to.number(self.position)
    }
}
