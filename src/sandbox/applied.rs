//! The input and the result of an edit, and the steps that all edits share.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;

/// Most rows that one edit adds.
pub const ADD_MAX: usize = 100_000;

/// What an edit did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The edit.
    pub op: &'static str,
    /// Ids of the items that were added, removed, moved or renamed, in list order; null for a row without its object.
    pub ids: Vec<Option<String>>,
    /// The playlist whose items changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playlist_id: Option<String>,
    /// Its new snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

/// The two ways of specifying what to add.
pub enum Wanted<'a> {
    New(usize),
    Known(&'a [String]),
}

impl Wanted<'_> {
    pub fn of(count: Option<usize>, ids: Option<&[String]>) -> Result<Wanted<'_>, String> {
        match (count, ids) {
            (None, None) => Ok(Wanted::New(1)),
            (Some(count), None) => Ok(Wanted::New(within_bounds(count)?)),
            (None, Some(ids)) => Ok(Wanted::Known(ids)),
            (Some(_), Some(_)) => {
                Err("`count` makes new ones and `ids` names old ones: give one of the two".to_owned())
            }
        }
    }
}

pub fn within_bounds(count: usize) -> Result<usize, String> {
    if count > ADD_MAX { Err(format!("{count} is more than one edit adds (at most {ADD_MAX})")) } else { Ok(count) }
}

pub fn applied(op: &'static str, ids: impl IntoIterator<Item = Option<String>>) -> Applied {
    Applied { op, ids: ids.into_iter().collect(), playlist_id: None, snapshot_id: None }
}

pub fn drain<T>(what: &str, list: &mut Vec<T>, from: usize, count: usize) -> Result<Vec<T>, String> {
    check_place(what, list.len(), from)?;
    Ok(list.drain(from..from.saturating_add(count).min(list.len())).collect())
}

pub fn check_place(what: &str, len: usize, place: usize) -> Result<(), String> {
    if place < len { Ok(()) } else { Err(format!("there is no {what} at {place} (the list has {len})")) }
}

/// Looks up ids; `find` returns the number and whether it is in the library already.
pub fn find_all<T: PartialEq>(
    ids: &[String],
    what: &str,
    find: impl Fn(&str) -> Option<(T, bool)>,
) -> Result<Vec<T>, String> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match find(id) {
            None => return Err(format!("no {what} has the id `{id}`")),
            Some((no, is_saved)) if is_saved || found.contains(&no) => {
                return Err(format!("the {what} `{id}` is in the library already"));
            }
            Some((no, _)) => found.push(no),
        }
    }
    Ok(found)
}

/// The date for something saved now: whole seconds, and never older than the item at the head.
pub fn saved_now(now: DateTime<Utc>, head: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let now = now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now);
    head.map_or(now, |head| head.max(now))
}
