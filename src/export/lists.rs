//! A list on its way out: read a page at a time, written in whatever format holds it.

use super::{Format, ListenTime, Listens, Table, Tracks};
use crate::{
    model::{AccountId, EntityType},
    store::{Account, Export, PlaylistLine, Store, StoreError, TrackLine, browse::ChangeEntry},
};
use chrono::{DateTime, Utc};
use std::io::{self, Write};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    Tracks,
    Albums,
    Artists,
    Shows,
    Episodes,
    Audiobooks,
    /// Each playlist with its items
    Playlists,
    /// What was listened to
    Listening,
    /// What came and went
    Changes,
    All,
}

impl What {
    /// All but itself, in the order in which they are written.
    pub const ALL: [What; 9] = [
        What::Tracks,
        What::Albums,
        What::Artists,
        What::Shows,
        What::Episodes,
        What::Audiobooks,
        What::Playlists,
        What::Listening,
        What::Changes,
    ];

    pub fn word(self) -> &'static str {
        match self {
            What::Tracks => "tracks",
            What::Albums => "albums",
            What::Artists => "artists",
            What::Shows => "shows",
            What::Episodes => "episodes",
            What::Audiobooks => "audiobooks",
            What::Playlists => "playlists",
            What::Listening => "listening",
            What::Changes => "changes",
            What::All => "all",
        }
    }

    /// Whether a format has a shape for it.
    pub fn is_held_by(self, format: Format) -> bool {
        match self {
            What::Tracks | What::Playlists => !format.is_of_listening(),
            What::Listening => format.is_general() || format.is_of_listening(),
            What::Albums | What::Artists | What::Shows | What::Episodes | What::Audiobooks | What::Changes => {
                format.is_general()
            }
            What::All => true,
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub format: Format,
    pub is_for_spreadsheets: bool,
    pub time: ListenTime,
}

/// Where lists are read.
pub struct Source {
    /// As of one moment.
    pub export: Export,
    /// Changes are read through connections of their own.
    pub readers: Store,
    pub account: Account,
    /// Only what was saved, followed, heard or changed since.
    pub since: Option<DateTime<Utc>>,
}

/// Why a list did not come out whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the export: {0}")]
    Out(#[from] io::Error),
}

impl Source {
    pub async fn playlists(&mut self) -> Result<Vec<PlaylistLine>, StoreError> {
        self.export.playlists(self.account.id).await
    }

    /// Writes a whole list, and says after each page how many rows that was. Of playlists the list alone, and of formats
    /// that cannot hold the list nothing. Returns how many rows the format could not hold.
    pub async fn write(
        &mut self,
        what: What,
        shape: Shape,
        out: impl Write,
        mut paged: impl AsyncFnMut(usize) -> io::Result<()>,
    ) -> Result<u64, ExportError> {
        let (account, since, paged) = (self.account.id, self.since, &mut paged);
        let Source { export, .. } = self;
        if !what.is_held_by(shape.format) {
            return Ok(0);
        }
        match what {
            What::Tracks => {
                let Some(mut tracks) = Tracks::begin(shape.format, out, "Liked Songs", shape.is_for_spreadsheets)?
                else {
                    return Ok(0);
                };
                let read = async |after: Option<&_>| export.tracks(account, since, after).await;
                pages(read, |line| tracks.write(line), paged).await?;
                tracks.finish()?;
            }
            What::Listening if shape.format.is_of_listening() => {
                let mut listens = Listens::begin(shape.format, shape.time, out)?;
                if shape.format == Format::Spotify {
                    as_it_came(export, account, since, &mut listens, paged).await?;
                } else {
                    let read = async |after: Option<&_>| export.plays(account, since, after).await;
                    pages(read, |line| listens.write(line), paged).await?;
                }
                let num_left_out = listens.num_left_out;
                listens.finish()?;
                return Ok(num_left_out);
            }
            _ => {
                let mut table = Table::new(shape.format, out, shape.is_for_spreadsheets);
                self.table(what, &mut table, paged).await?;
                table.finish()?;
            }
        }
        Ok(0)
    }

    async fn table<W: Write>(
        &mut self,
        what: What,
        table: &mut Table<W>,
        paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let (account, since) = (self.account.id, self.since);
        let Source { export, .. } = self;
        match what {
            What::Albums => {
                let read = async |after: Option<&_>| export.albums(account, since, after).await;
                pages(read, |line| table.album(line), paged).await
            }
            What::Artists => {
                let read = async |after: Option<&_>| export.artists(account, since, after).await;
                pages(read, |line| table.artist(line), paged).await
            }
            What::Shows => {
                let read = async |after: Option<&_>| export.shows(account, since, after).await;
                pages(read, |line| table.spoken(line), paged).await
            }
            What::Episodes => {
                let read = async |after: Option<&_>| export.episodes(account, since, after).await;
                pages(read, |line| table.spoken(line), paged).await
            }
            What::Audiobooks => {
                let read = async |after: Option<&_>| export.audiobooks(account, since, after).await;
                pages(read, |line| table.spoken(line), paged).await
            }
            What::Listening => {
                let read = async |after: Option<&_>| export.plays(account, since, after).await;
                pages(read, |line| table.play(line), paged).await
            }
            What::Playlists => {
                let all = export.playlists(account).await?;
                all.iter().try_for_each(|line| table.playlist(line))?;
                Ok(paged(all.len()).await?)
            }
            What::Changes => self.changes(table, paged).await,
            What::Tracks | What::All => Ok(()),
        }
    }

    async fn changes<W: Write>(
        &mut self,
        table: &mut Table<W>,
        paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let since = self.since.unwrap_or(DateTime::UNIX_EPOCH);
        let mut changes = self.readers.changes(&[self.account.id], EntityType::ALL, since);
        while let Some(change) = changes.next().await? {
            table.change(&ChangeEntry::new(change, &self.account.spotify_id))?;
            paged(1).await?;
        }
        Ok(())
    }

    /// Writes what stands in a playlist.
    pub async fn write_items(
        &mut self,
        playlist: &PlaylistLine,
        shape: Shape,
        out: impl Write,
        mut paged: impl AsyncFnMut(usize) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let Some(mut tracks) = Tracks::begin(shape.format, out, &playlist.name, shape.is_for_spreadsheets)? else {
            return Ok(());
        };
        let export = &mut self.export;
        let read =
            async |after: Option<&TrackLine>| export.items(&playlist.id, after.and_then(|line| line.position)).await;
        pages(read, |line| tracks.write(line), &mut paged).await?;
        tracks.finish()?;
        Ok(())
    }
}

/// A data export as it came in, podcasts and audiobooks included, and then the plays that only the API tells of.
async fn as_it_came<W: Write>(
    export: &mut Export,
    account: AccountId,
    since: Option<DateTime<Utc>>,
    listens: &mut Listens<W>,
    paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
) -> Result<(), ExportError> {
    let (mut streams, mut last) = export.streams(account, since, None).await?;
    while last.is_some() {
        streams.iter().try_for_each(|stream| listens.write_stream(stream))?;
        paged(streams.len()).await?;
        (streams, last) = export.streams(account, since, last).await?;
    }
    let mut page = export.plays(account, since, None).await?;
    while let Some(end) = page.last() {
        let told = export.are_streams(account, &page).await?;
        let alone = page.iter().filter(|line| !told.contains(&(line.played_at, line.uri.clone())));
        let mut num_alone = 0;
        for line in alone {
            listens.write(line)?;
            num_alone += 1;
        }
        paged(num_alone).await?;
        page = export.plays(account, since, Some(end)).await?;
    }
    Ok(())
}

/// Reads until a page is empty, each behind the last line of the one before.
async fn pages<L>(
    mut read: impl AsyncFnMut(Option<&L>) -> Result<Vec<L>, StoreError>,
    mut write: impl FnMut(&L) -> io::Result<()>,
    paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut page = read(None).await?;
    while !page.is_empty() {
        page.iter().try_for_each(&mut write)?;
        paged(page.len()).await?;
        page = read(page.last()).await?;
    }
    Ok(())
}
