//! A row that the database refuses is lost alone, never with its batch.
//!
//! A text may be too long for an index, or violate a constraint that somebody has added to one of our tables. A batch
//! that contains such a row would fail for ever. So it is written once more, still in one transaction and with its
//! checkpoint, and each upsert runs in a savepoint: refused rows are halved until it is known which one it is.
//!
//! That row is written with less content: first without its texts, then also without its URI. If the database accepts
//! it, the refusal was about the row's content. A row that is refused in any form is left out, if the database names
//! the constraint that it violates. Any other refusal is not about the row, but about the table, the disk or
//! permissions: it ends the transaction.

use super::by_sql::table_of;
use super::{Conn, StoreError};
use crate::model::{EntityType, Item, Oddity, Track};
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as QueryError, QueryResult};
use std::collections::HashSet;
use std::ops::{Deref, DerefMut};

/// A connection on loan from its pool.
pub struct Lent<O> {
    connection: O,
    /// While rows are written with care: the rows that were refused.
    refusals: Option<Vec<Refusal>>,
}

impl<O> Lent<O> {
    pub(super) fn new(connection: O) -> Lent<O> {
        Lent { connection, refusals: None }
    }
}

impl<O: Deref> Deref for Lent<O> {
    type Target = O::Target;

    fn deref(&self) -> &O::Target {
        &self.connection
    }
}

impl<O: DerefMut> DerefMut for Lent<O> {
    fn deref_mut(&mut self) -> &mut O::Target {
        &mut self.connection
    }
}

/// What a row is about, according to its key: the id of an item, and for an item of a playlist its position there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subject {
    pub id: String,
    pub position: Option<i64>,
}

/// A row that can be written with care.
pub(super) trait Careful: Sized {
    const TABLE: &'static str;

    fn subject(&self) -> Subject;

    /// The same row with less content.
    fn reduced(&self, by: Reduction) -> Self;
}

/// How much of a row is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    /// Its texts.
    Texts,
    /// Its URI, too.
    Uri,
}

/// A row that could not be written unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    table: &'static str,
    subject: Subject,
    /// It was not written in any form.
    is_left_out: bool,
    reason: String,
}

/// The rows of a batch that could not be written unchanged.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals(Vec<Refusal>);

impl Refusals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first reason.
    pub fn reason(&self) -> Option<&str> {
        self.0.first().map(|refusal| refusal.reason.as_str())
    }

    /// Ids that are not in that table because they were refused.
    pub fn left_out(&self, table: &str) -> HashSet<&str> {
        let left_out = self.0.iter().filter(|refusal| refusal.is_left_out && refusal.table == table);
        left_out.map(|refusal| refusal.subject.id.as_str()).collect()
    }

    /// Whether that item of a listing is not a member of the library because it was refused.
    pub fn has_left_out(&self, entity: EntityType, id: &str) -> bool {
        let tables = [entity.as_str(), table_of(entity).0];
        let is_it = |refusal: &&Refusal| refusal.subject.id == id && tables.contains(&refusal.table);
        self.0.iter().filter(is_it).any(|refusal| refusal.is_left_out)
    }

    pub fn about_item(&self, item: &Item) -> Option<Oddity> {
        if self.is_empty() {
            return None;
        }
        let ids = match item {
            Item::Track(saved) => ids_in(&saved.track),
            Item::Album(saved) => {
                let artists = saved.album.artists.iter().map(|artist| artist.id.as_str());
                artists.chain([saved.album.id.as_str()]).chain(saved.tracks.iter().flat_map(ids_in)).collect()
            }
            Item::Artist(artist) => vec![artist.id.as_str()],
            Item::Playlist(playlist) => vec![playlist.id.as_str()],
            Item::Show(show) => vec![show.id.as_str()],
            Item::Episode(episode) => {
                [episode.id.as_str()].into_iter().chain(episode.show.iter().map(|show| show.id.as_str())).collect()
            }
            Item::Audiobook(audiobook) => vec![audiobook.id.as_str()],
            Item::PlaylistItem(item) => item.track.as_ref().map(ids_in).unwrap_or_default(),
        };
        self.about(&ids)
    }

    /// A refusal about a track, or about its album or artists.
    pub fn about_track(&self, track: &Track) -> Option<Oddity> {
        if self.is_empty() { None } else { self.about(&ids_in(track)) }
    }

    /// A refusal about something that has no place in a playlist.
    pub fn about(&self, ids: &[&str]) -> Option<Oddity> {
        let of_item = self.0.iter().filter(|refusal| refusal.subject.position.is_none());
        first_of(of_item.filter(|refusal| ids.contains(&refusal.subject.id.as_str())))
    }

    /// A refusal about an item of a playlist.
    pub fn about_place(&self, playlist: &str, position: u32) -> Option<Oddity> {
        let position = Some(i64::from(position));
        first_of(self.0.iter().filter(|refusal| {
            refusal.subject.position == position && refusal.subject.id == playlist && is_of_items(refusal)
        }))
    }

    /// The places of a playlist whose items were refused.
    pub fn places_of(&self, playlist: &str) -> impl Iterator<Item = u32> {
        let of_it = self.0.iter().filter(move |refusal| is_of_items(refusal) && refusal.subject.id == playlist);
        of_it.filter_map(|refusal| refusal.subject.position.and_then(|position| u32::try_from(position).ok()))
    }
}

fn is_of_items(refusal: &Refusal) -> bool {
    matches!(refusal.table, "playlist_items" | "playlist_items_read")
}

fn first_of<'a>(mut refusals: impl Iterator<Item = &'a Refusal>) -> Option<Oddity> {
    refusals.next().map(|refusal| Oddity::Refused(refusal.reason.clone()))
}

fn ids_in(track: &Track) -> Vec<&str> {
    let artists = track.artists.iter().chain(track.album.iter().flat_map(|album| &album.artists));
    let albums = track.album.iter().map(|album| album.id.as_str());
    [track.id.as_str()].into_iter().chain(albums).chain(artists.map(|artist| artist.id.as_str())).collect()
}

impl Conn {
    fn refusals_mut(&mut self) -> &mut Option<Vec<Refusal>> {
        match self {
            Conn::Sqlite(lent) => &mut lent.refusals,
            Conn::Pg(lent) => &mut lent.refusals,
        }
    }

    /// Whether rows are written with care.
    pub(super) fn is_careful(&self) -> bool {
        match self {
            Conn::Sqlite(lent) => lent.refusals.is_some(),
            Conn::Pg(lent) => lent.refusals.is_some(),
        }
    }

    /// The rows refused so far in this transaction.
    pub(super) fn refusals(&self) -> Refusals {
        let refusals = match self {
            Conn::Sqlite(lent) => &lent.refusals,
            Conn::Pg(lent) => &lent.refusals,
        };
        Refusals(refusals.clone().unwrap_or_default())
    }

    /// Runs `work` in one transaction. If it fails in a way that one of its rows may have caused, it runs once more, in
    /// another transaction, and writes with care. Nothing of the first is in the database then, since one of its
    /// statements was refused. Returns which rows were not written unchanged.
    pub(super) async fn transaction_with_care<T>(
        &mut self,
        mut work: impl AsyncFnMut(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<(T, Refusals), StoreError> {
        match self.transaction(&mut work).await {
            Err(StoreError::Query(error)) if may_be_about_a_row(&error) => {}
            other => return other.map(|value| (value, Refusals::default())),
        }
        *self.refusals_mut() = Some(Vec::new());
        let written = self.transaction(&mut work).await;
        let refusals = Refusals(self.refusals_mut().take().unwrap_or_default());
        written.map(|value| (value, refusals))
    }
}

/// Writes rows with care, with statements from `write`: all of them at first, and fewer if that is refused.
pub(super) async fn write<'a, R: Careful + 'a>(
    conn: &mut Conn,
    statements: impl Iterator<Item = &'a [R]>,
    mut write: impl AsyncFnMut(&mut Conn, &[R]) -> QueryResult<()>,
) -> QueryResult<()> {
    let mut left: Vec<&[R]> = statements.collect();
    left.reverse();
    while let Some(some) = left.pop() {
        let Err(error) = try_to(conn, some, &mut write).await? else { continue };
        match some {
            [row] => write_reduced(conn, row, &error, &mut write).await?,
            _ => {
                let (first, second) = some.split_at(some.len() / 2);
                left.extend([second, first]);
            }
        }
    }
    Ok(())
}

/// Writes what the database accepts of a row that it has refused.
async fn write_reduced<R: Careful>(
    conn: &mut Conn,
    row: &R,
    refused: &QueryError,
    write: &mut impl AsyncFnMut(&mut Conn, &[R]) -> QueryResult<()>,
) -> QueryResult<()> {
    let mut last = None;
    for reduction in [Reduction::Texts, Reduction::Uri] {
        match try_to(conn, &[row.reduced(reduction)], write).await? {
            Ok(()) => {
                note(conn, row, false, refused);
                return Ok(());
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if !names_a_rule(&error) => Err(error),
        Some(_) | None => {
            note(conn, row, true, refused);
            Ok(())
        }
    }
}

fn note<R: Careful>(conn: &mut Conn, row: &R, is_left_out: bool, error: &QueryError) {
    let refusal = Refusal { table: R::TABLE, subject: row.subject(), is_left_out, reason: error.to_string() };
    conn.refusals_mut().get_or_insert_default().push(refusal);
}

/// Writes in a savepoint. The outer error is not about a row.
async fn try_to<R: Careful>(
    conn: &mut Conn,
    rows: &[R],
    write: &mut impl AsyncFnMut(&mut Conn, &[R]) -> QueryResult<()>,
) -> QueryResult<QueryResult<()>> {
    conn.set_savepoint().await?;
    match write(conn, rows).await {
        Ok(()) => conn.commit().await.map(Ok),
        Err(error) => {
            conn.rollback().await?;
            if may_be_about_a_row(&error) { Ok(Err(error)) } else { Err(error) }
        }
    }
}

/// Words of refusals that no row is to blame for, as far as the databases report them in English. Other refusals are
/// told apart by trying.
const NOT_ABOUT_A_ROW: &[&str] = &[
    "disk is full",
    "No space left",
    "out of memory",
    "I/O error",
    "readonly",
    "read-only",
    "malformed",
    "permission denied",
    "no such",
    "does not exist",
];

/// Whether a statement may have been refused because of the content of a row.
fn may_be_about_a_row(error: &QueryError) -> bool {
    match error {
        QueryError::SerializationError(_) => true,
        QueryError::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::RestrictViolation
            | DatabaseErrorKind::ExclusionViolation
            | DatabaseErrorKind::Unknown,
            info,
        ) => !super::error::is_transient(error) && !NOT_ABOUT_A_ROW.iter().any(|words| info.message().contains(words)),
        _ => false,
    }
}

/// Whether the database names the constraint that the row violates.
fn names_a_rule(error: &QueryError) -> bool {
    let names = |info: &dyn DatabaseErrorInformation| info.constraint_name().or(info.column_name()).is_some();
    match error {
        QueryError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            names(info.as_ref()) || info.message().contains("constraint failed")
        }
        QueryError::DatabaseError(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: DatabaseErrorKind, message: &str) -> QueryError {
        QueryError::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn what_no_row_is_to_blame_for_is_not_taken_for_one() {
        use DatabaseErrorKind::{CheckViolation, ClosedConnection, SerializationFailure, UniqueViolation, Unknown};
        for (error, may_be, names) in [
            (refused(CheckViolation, "CHECK constraint failed: name"), true, true),
            (refused(UniqueViolation, "duplicate key value"), true, true),
            (refused(Unknown, "index row size 2712 exceeds btree version 4 maximum 2704"), true, false),
            (refused(Unknown, "string or blob too big"), true, false),
            (refused(Unknown, "database or disk is full"), false, false),
            (refused(Unknown, "could not extend file \"base/5/1\": No space left on device"), false, false),
            (refused(Unknown, "permission denied for table tracks"), false, false),
            (refused(Unknown, "database is locked"), false, false),
            (refused(SerializationFailure, "could not serialize access"), false, true),
            (refused(ClosedConnection, "connection closed"), false, true),
        ] {
            assert_eq!((may_be_about_a_row(&error), names_a_rule(&error)), (may_be, names), "{error}");
        }
    }
}
