//! What a rule does to a request: faults in place of the answer, edits around it, and changes to the request or to the
//! answer, which add up.
//!
//! | `kind` of a change | the answer |
//! |---|---|
//! | `cap` | has at most `rows` rows, whatever the request says, and says so in `limit` |
//! | `ignore_offset` | is the first page, whatever `offset` or `after` the request has |
//! | `stale` | comes from the library as it was `back` changes ago (default 1); needs `POST history` |
//! | `hide` | lacks rows that it counts |
//! | `patch_rows` | has rows of another shape: objects are merged, everything else is replaced |
//! | `patch_page` | has another envelope: `limit`, `next`, `offset`, `cursors`, merged likewise |
//! | `next` | says `null` too early, or `onward` after the end, or has `next` `absent` or `odd` |
//! | `cursor` | has this cursor in `after` |
//! | `totals` | counts these numbers of rows, one after the other, repeating |
//! | `count_items` | miscounts the items of playlists |
//! | `raw` | has these bytes between the quotes of a text: half an emoji, invalid UTF-8 |
//! | `flood` | has this many additional rows |
//!
//! Rows are chosen by `ids` (an id or URI of the row or of its object), or by `places` in the listing; without either,
//! all rows are meant.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::config::LATENCY_MAX;
use super::edits::Edit;
use super::http::Reply;
use super::limits::{Class, Refusal};
use super::refusals::{CannedReply, Pretext, canned};
use super::reshape::{NextSays, Reshape, Which};

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A different answer altogether. `pretends` says which limit it pretends to come from.
    Instead { reply: CannedReply, pretends: Option<Class> },
    /// Claims that the token has expired.
    Unauthorized,
    /// No answer.
    Hang,
    /// A connection that breaks after this many bytes of the body.
    Cut { bytes: usize },
    /// A whole answer whose JSON stops after this many bytes.
    Truncate { bytes: usize },
    /// An answer that is not true.
    Reshape(Reshape),
}

/// What a rule does.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    Status {
        status: u16,
        body: Option<String>,
        content_type: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    RateLimited {
        retry_after: Option<String>,
    },
    Quota {
        retry_after: Option<String>,
    },
    Hang {},
    Cut {
        bytes: usize,
    },
    Truncate {
        bytes: usize,
    },
    Delay {
        ms: u64,
    },
    Edit {
        edits: Vec<Edit>,
        #[serde(default)]
        when: When,
    },
    LieTotal {
        delta: i64,
    },
    Unauthorized {},
    Forbidden {
        body: Option<String>,
        content_type: Option<String>,
    },
    DropFields {
        fields: Vec<String>,
    },
    ReplaceRow {
        index: usize,
        with: Value,
    },
    Refuse {
        like: Pretext,
        retry_after: Option<String>,
    },
    Cap {
        rows: usize,
    },
    IgnoreOffset {},
    Stale {
        #[serde(default = "one")]
        back: usize,
    },
    Hide {
        ids: Option<Vec<String>>,
        places: Option<Vec<usize>>,
    },
    PatchRows {
        ids: Option<Vec<String>>,
        places: Option<Vec<usize>>,
        with: Value,
    },
    PatchPage {
        with: Value,
    },
    Next {
        says: NextSays,
    },
    Cursor {
        after: Option<String>,
    },
    Totals {
        values: Vec<u64>,
    },
    CountItems {
        ids: Option<Vec<String>>,
        places: Option<Vec<usize>>,
        total: u64,
    },
    Raw {
        ids: Option<Vec<String>>,
        places: Option<Vec<usize>>,
        /// The place in the row, as a JSON pointer.
        at: String,
        bytes: Option<Vec<u8>>,
        text: Option<String>,
    },
    Flood {
        rows: usize,
        #[serde(default)]
        with: Value,
        #[serde(default = "yes")]
        compressed: bool,
    },
}

const fn one() -> usize {
    1
}

const fn yes() -> bool {
    true
}

/// Most bytes of rows that a flood sends.
const FLOOD_MAX: usize = 512 * 1024 * 1024;

/// Whether an edit shows in the answer that triggers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Before,
    After,
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_name && is_value { Ok(()) } else { Err(format!("`{name}: {value}` is not a header")) }
}

impl Action {
    /// Reports actions that are impossible.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Action::Status { status, .. } if !(200..=599).contains(status) => {
                Err(format!("{status} is not a status to answer with"))
            }
            Action::Status { headers, content_type, .. } => {
                content_type.iter().try_for_each(|value| check_header("content-type", value))?;
                headers.iter().try_for_each(|(name, value)| check_header(name, value))
            }
            Action::RateLimited { retry_after } | Action::Quota { retry_after } => {
                retry_after.iter().try_for_each(|value| check_header("retry-after", value))
            }
            Action::Forbidden { content_type, .. } => {
                content_type.iter().try_for_each(|value| check_header("content-type", value))
            }
            Action::Delay { ms } if Duration::from_millis(*ms) > LATENCY_MAX => {
                Err(format!("a delay of {ms} ms is over {LATENCY_MAX:?}"))
            }
            Action::Refuse { retry_after, .. } => {
                retry_after.iter().try_for_each(|value| check_header("retry-after", value))
            }
            Action::Cap { rows: 0 } => Err("a cap of no rows is no cap".to_owned()),
            Action::Totals { values } if values.is_empty() => Err("there is no total to tell".to_owned()),
            Action::Raw { bytes, text, .. } if bytes.is_some() == text.is_some() => {
                Err("`bytes` and `text` are two ways to say the same: give one of the two".to_owned())
            }
            Action::Flood { rows, with, .. } if rows.saturating_mul(with.to_string().len()) > FLOOD_MAX => {
                Err(format!("{rows} such rows are over {FLOOD_MAX} bytes"))
            }
            _ => Ok(()),
        }
    }

    /// The change that this is, for the n-th time; otherwise the action itself.
    pub fn change(self, times: u64) -> Result<Reshape, Action> {
        Ok(match self {
            Action::Hide { ids, places } => Reshape::Hide { which: Which { ids, places } },
            Action::PatchRows { ids, places, with } => Reshape::PatchRows { which: Which { ids, places }, with },
            Action::PatchPage { with } => Reshape::PatchPage { with },
            Action::Next { says } => Reshape::Next { says },
            Action::Cursor { after } => Reshape::Cursor { after },
            Action::Totals { values } => {
                let at = usize::try_from(times.saturating_sub(1) % values.len() as u64).unwrap_or(0);
                Reshape::Total { total: values[at] }
            }
            Action::CountItems { ids, places, total } => Reshape::CountItems { which: Which { ids, places }, total },
            Action::Raw { ids, places, at, bytes, text } => {
                let bytes = bytes.or(text.map(String::into_bytes)).unwrap_or_default();
                Reshape::Raw { which: Which { ids, places }, at, bytes }
            }
            Action::Flood { rows, with, compressed } => Reshape::Flood { rows, with, compressed },
            other => return Err(other),
        })
    }

    /// The fault that this is; `None` for anything else.
    pub fn fault(self) -> Option<Fault> {
        let fault = match self {
            Action::Status { status, body, content_type, headers } => {
                Fault::Instead { reply: canned(status, body, content_type, headers), pretends: None }
            }
            Action::RateLimited { retry_after } => limited(Class::Rate, retry_after),
            Action::Quota { retry_after } => limited(Class::Quota, retry_after),
            Action::Forbidden { body, content_type } => {
                Fault::Instead { reply: canned(403, body, content_type, BTreeMap::new()), pretends: None }
            }
            Action::Unauthorized {} => Fault::Unauthorized,
            Action::Hang {} => Fault::Hang,
            Action::Cut { bytes } => Fault::Cut { bytes },
            Action::Truncate { bytes } => Fault::Truncate { bytes },
            Action::LieTotal { delta } => Fault::Reshape(Reshape::LieTotal { delta }),
            Action::DropFields { fields } => Fault::Reshape(Reshape::DropFields { fields }),
            Action::ReplaceRow { index, with } => Fault::Reshape(Reshape::ReplaceRow { index, with }),
            Action::Refuse { like, retry_after } => Fault::Instead { reply: like.reply(retry_after), pretends: None },
            _ => return None,
        };
        Some(fault)
    }
}

/// A refusal that looks like that of a real limit, with any `Retry-After` at all.
fn limited(class: Class, retry_after: Option<String>) -> Fault {
    let reply = Reply::from(Refusal { class, retry_after_s: None });
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    let headers = retry_after.map(|value| ("Retry-After".to_owned(), value)).into_iter().collect();
    Fault::Instead {
        reply: canned(429, Some(body), Some(super::http::JSON.to_owned()), headers),
        pretends: Some(class),
    }
}
