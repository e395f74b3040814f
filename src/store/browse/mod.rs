//! A library as lists: a page at a time, in a chosen order, with a search.
//!
//! A page continues after the key of the last row of the previous one (keyset paging). So its cost depends on what is
//! shown, however far down the list it is, and rows added in between are neither shown twice nor hide others.
//!
//! The cost of one request is bounded: it reads [`LOOKED_AT_MAX`] rows at most. A search that has found little by then
//! returns that and where to continue. Matching is done here and not in SQL, since the two databases disagree about
//! lower case.

mod activity;
mod albums;
mod artists;
mod audiobooks;
mod batches;
mod changes;
mod credits;
mod episodes;
mod heard_one;
mod isrcs;
mod listening;
mod members;
mod names;
mod playlist_items;
mod playlists;
mod plays;
mod shows;
mod tracks;
mod versions;

pub use activity::{DayOfPlays, PauseEntry, RunEntry};
pub use albums::AlbumEntry;
pub use artists::ArtistEntry;
pub use audiobooks::AudiobookEntry;
pub use batches::BatchEntry;
pub use changes::{ChangeEntry, ChangeFilter, ChangeKey};
pub use credits::{AlbumRef, ArtistLink};
pub use episodes::{EpisodeEntry, ShowRef};
pub use heard_one::{Discoveries, HeardInPlaylist, HeardOne, OneHeard, SavedTrackUnheard};
pub use listening::{Heard, HeardEntry, Span};
pub use members::{DateKey, Member, Members, NameKey};
pub use playlist_items::PlaylistItemEntry;
pub use playlists::{PlaceKey, PlaylistEntry};
pub use plays::{PlayEntry, PlayKey};
pub use shows::ShowEntry;
pub use tracks::TrackEntry;
pub use versions::{VersionChange, VersionEntry};

use super::{Conn, StoreError};

/// Most rows that one request reads, to find what it shows or to sort it. It bounds the cost of a search: a row costs
/// up to five look-ups, which is some milliseconds altogether with a million tracks.
pub const LOOKED_AT_MAX: usize = 250;

/// Rows that are read at once while searching: a few round trips per request, and little read beyond the last match.
const CHUNK_MAX: usize = 200;

/// Where a page begins, how it continues and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk<K> {
    /// The last row of the page before.
    pub after: Option<K>,
    pub is_descending: bool,
    /// Most rows to hand out.
    pub limit: usize,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T, K> {
    pub items: Vec<T>,
    /// Where to continue; `None` at the end. There may be more even if `items` is short.
    pub next: Option<K>,
}

/// A part of a name, in letters of either case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search(String);

impl Search {
    /// `None` if there is nothing to look for.
    pub fn new(words: &str) -> Option<Search> {
        let words = words.trim().to_lowercase();
        (!words.is_empty()).then_some(Search(words))
    }

    pub fn finds(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }

    fn finds_any<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        texts.into_iter().any(|text| self.finds(text))
    }
}

/// Something that a list shows and a search reads.
pub trait Entry {
    /// The words by which a person would find it.
    fn words(&self) -> impl Iterator<Item = &str>;
}

fn is_found<T: Entry>(entry: &T, search: Option<&Search>) -> bool {
    search.is_none_or(|search| search.finds_any(entry.words()))
}

/// A row with its place in the order.
struct Row<T, K> {
    key: K,
    /// `None` if the row is not in the list.
    entry: Option<T>,
}

/// Reads rows in chunks of the requested size until there is a page of matches.
async fn gather<T, K: Clone>(
    walk: &Walk<K>,
    wants: impl Fn(&T) -> bool,
    mut read: impl AsyncFnMut(Option<&K>, usize) -> Result<Vec<Row<T, K>>, StoreError>,
) -> Result<ListPage<T, K>, StoreError> {
    let mut page = ListPage { items: Vec::new(), next: walk.after.clone() };
    let (mut num_looked_at, mut chunk) = (0, walk.limit + 1);
    loop {
        let rows = read(page.next.as_ref(), chunk).await?;
        let is_last = rows.len() < chunk;
        num_looked_at += rows.len();
        for Row { key, entry } in rows {
            if page.items.len() == walk.limit {
                return Ok(page);
            }
            page.next = Some(key);
            page.items.extend(entry.filter(&wants));
        }
        if is_last {
            return Ok(ListPage { next: None, ..page });
        }
        if page.items.len() == walk.limit || num_looked_at >= LOOKED_AT_MAX {
            return Ok(page);
        }
        chunk = (chunk * 2).min(CHUNK_MAX).min(LOOKED_AT_MAX - num_looked_at).max(1);
    }
}

/// Characters by which names are ordered; names that begin with the same ones are ordered by their ids. An index of
/// names holds these, at most 4 bytes each, and an id of up to 1,000 bytes: PostgreSQL allows no more than 2,704 bytes.
const SORTED_BY: usize = 200;

/// How a name is ordered: by the bytes of its beginning, ignoring the case of A to Z, like `lower` in both databases.
fn folded(name: &str) -> String {
    let end = name.char_indices().nth(SORTED_BY).map_or(name.len(), |(end, _)| end);
    name[..end].to_ascii_lowercase()
}

/// The same in SQL. PostgreSQL would otherwise sort by the rules of a language.
pub(in crate::store) fn folded_sql(conn: &Conn, column: &str) -> String {
    match conn {
        Conn::Sqlite(_) => format!("substr(lower({column}), 1, {SORTED_BY})"),
        Conn::Pg(_) => format!("substr(lower({column} COLLATE \"C\"), 1, {SORTED_BY})"),
    }
}

/// Rows by a moment, a name or a place and then by their id, after a mark. The range of the first is found by an index;
/// among rows at the mark itself the id decides.
macro_rules! in_order {
    ($rows:expr, $is_descending:expr, $key:expr, $id:expr, $mark:expr, $mark_id:expr, $limit:expr, |$ordered:ident| $run:expr) => {{
        let limit = i64::try_from($limit).unwrap_or(i64::MAX);
        if $is_descending {
            let $ordered = $rows
                .filter($key.le($mark))
                .filter($key.lt($mark).or($id.lt($mark_id)))
                .order(($key.desc(), $id.desc()))
                .limit(limit);
            $run
        } else {
            let $ordered = $rows
                .filter($key.ge($mark))
                .filter($key.gt($mark).or($id.gt($mark_id)))
                .order(($key.asc(), $id.asc()))
                .limit(limit);
            $run
        }
    }};
}
use in_order;

/// After every possible name: no text meant for people contains these.
const LAST_NAME: &str = "\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}";
