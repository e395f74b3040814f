//! Exports a list: read a page at a time, written in any format that can hold it.

use super::{Format, ListenTime, Listens, Table, Tracks, rows::Row};
use crate::{
    model::{AccountId, EntityType},
    store::{Account, Export, ListenLine, PlaylistLine, Store, StoreError, TrackLine, browse::ChangeEntry},
};
use chrono::{DateTime, Utc};
use futures_util::future::join;
use std::{
    collections::VecDeque,
    io::{self, Write},
};

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
    /// What was added and removed
    Changes,
    All,
}

impl What {
    /// Every list, in the order in which they are written.
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

    /// Whether a format can hold it.
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

/// Where lists are read from.
pub struct Source {
    /// As of one moment.
    pub export: Export,
    /// Changes are read through connections of their own.
    pub readers: Store,
    pub account: Account,
    /// Only what was saved, followed, heard or changed since.
    pub since: Option<DateTime<Utc>>,
}

/// Why a list could not be written in full.
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

    /// Writes a whole list, and reports after each page how many rows that was. For playlists only the list itself, and
    /// in formats that cannot hold the list, nothing. Returns how many rows the format could not hold.
    pub async fn write(
        &mut self,
        what: What,
        shape: Shape,
        out: impl Write + Send,
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
            What::Albums => {
                let read = async |after: Option<&_>| export.albums(account, since, after).await;
                table(shape, out, read, paged).await?;
            }
            What::Artists => {
                let read = async |after: Option<&_>| export.artists(account, since, after).await;
                table(shape, out, read, paged).await?;
            }
            What::Shows | What::Episodes | What::Audiobooks => {
                let entity = match what {
                    What::Shows => EntityType::Shows,
                    What::Episodes => EntityType::Episodes,
                    _ => EntityType::Audiobooks,
                };
                let read = async |after: Option<&_>| export.spoken(entity, account, since, after).await;
                table(shape, out, read, paged).await?;
            }
            What::Listening if shape.format == Format::Spotify => {
                let mut listens = Listens::begin(shape.format, shape.time, out)?;
                as_it_came(export, account, since, &mut listens, paged).await?;
                listens.finish()?;
            }
            What::Listening if shape.format == Format::Listenbrainz => {
                let mut listens = Listens::begin(shape.format, shape.time, out)?;
                each_listening(export, account, since, |line| listens.write(line), paged).await?;
                let num_left_out = listens.num_left_out;
                listens.finish()?;
                return Ok(num_left_out);
            }
            What::Listening => {
                let mut table = Table::begin::<ListenLine>(shape.format, out, shape.is_for_spreadsheets)?;
                each_listening(export, account, since, |line| table.row(line), paged).await?;
                table.finish()?;
            }
            What::Playlists => {
                let mut table = Table::begin::<PlaylistLine>(shape.format, out, shape.is_for_spreadsheets)?;
                let all = export.playlists(account).await?;
                all.iter().try_for_each(|line| table.row(line))?;
                paged(all.len()).await?;
                table.finish()?;
            }
            What::Changes => self.changes(shape, out, paged).await?,
            What::All => {}
        }
        Ok(0)
    }

    async fn changes(
        &mut self,
        shape: Shape,
        out: impl Write + Send,
        paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let mut table = Table::begin::<ChangeEntry>(shape.format, out, shape.is_for_spreadsheets)?;
        let since = self.since.unwrap_or(DateTime::UNIX_EPOCH);
        let mut changes = self.readers.changes(&[self.account.id], EntityType::ALL, since);
        while let Some(change) = changes.next().await? {
            table.row(&ChangeEntry::new(change, &self.account.spotify_id))?;
            paged(1).await?;
        }
        table.finish()?;
        Ok(())
    }

    /// Writes the items of a playlist.
    pub async fn write_items(
        &mut self,
        playlist: &PlaylistLine,
        shape: Shape,
        out: impl Write + Send,
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

/// A table of the rows.
async fn table<R: Row>(
    shape: Shape,
    out: impl Write + Send,
    read: impl AsyncFnMut(Option<&R>) -> Result<Vec<R>, StoreError>,
    paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut table = Table::begin::<R>(shape.format, out, shape.is_for_spreadsheets)?;
    pages(read, |line| table.row(line), paged).await?;
    table.finish()?;
    Ok(())
}

/// Everything that was listened to, each listen once, oldest first: listens from an export and those that only the API
/// reported, merged.
async fn each_listening(
    export: &mut Export,
    account: AccountId,
    since: Option<DateTime<Utc>>,
    mut write: impl FnMut(&ListenLine) -> io::Result<()>,
    paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut by_export = VecDeque::from(export.heard_by_export(account, since, None).await?);
    let mut by_api = VecDeque::from(export.heard_by_api(account, since, None).await?);
    let mut num = 0;
    loop {
        let is_of_export = match (by_export.front(), by_api.front()) {
            (Some(one), Some(other)) => one.ended_at <= other.ended_at,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Ok(paged(num).await?),
        };
        let from = if is_of_export { &mut by_export } else { &mut by_api };
        let line = from.pop_front().expect("there is one");
        write(&line)?;
        num += 1;
        if from.is_empty() {
            paged(std::mem::take(&mut num)).await?;
            let next = match is_of_export {
                true => export.heard_by_export(account, since, Some(&line)).await?,
                false => export.heard_by_api(account, since, Some(&line)).await?,
            };
            from.extend(next);
        }
    }
}

/// The original rows of a data export, podcasts and audiobooks included, and then the plays that only the API reported.
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
    let read = async |after: Option<&_>| export.heard_by_api(account, since, after).await;
    pages(read, |line| listens.write(line), paged).await
}

/// Reads until a page is empty, each after the last line of the one before.
async fn pages<L>(
    mut read: impl AsyncFnMut(Option<&L>) -> Result<Vec<L>, StoreError>,
    mut write: impl FnMut(&L) -> io::Result<()>,
    paged: &mut impl AsyncFnMut(usize) -> io::Result<()>,
) -> Result<(), ExportError> {
    let mut page = read(None).await?;
    while !page.is_empty() {
        // The next one is read while this one is written.
        let writing = async {
            page.iter().try_for_each(&mut write)?;
            paged(page.len()).await
        };
        let (next, written) = join(read(page.last()), writing).await;
        written?;
        page = next?;
    }
    Ok(())
}
