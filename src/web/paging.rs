//! Pages of lists, and the cursors by which they continue.
//!
//! A cursor contains the list and the order it was made for, and the key of a row. It is opaque to clients, and
//! contains nothing that they have not seen. One that was made up, or made for another list, is refused.

use super::{Problem, params::Params};
use crate::store::browse::{ListPage, Walk};
use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    /// The value of `after` for the next page; null at the end. A search may find more even if `items` is short.
    pub next: Option<String>,
}

/// How long a page is, and where it begins.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct Paging {
    /// Most rows of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next` of the previous page.
    after: Option<String>,
    /// The number of an account; the first one if left out.
    account: Option<i64>,
}

/// The names of those parameters.
const PAGING: [&str; 3] = ["limit", "after", "account"];

#[derive(Debug, Serialize, Deserialize)]
struct Cursor<K> {
    /// The list, and its order.
    of: String,
    key: K,
}

/// The parameters of a request for a page: those, and `more`.
pub fn params(request: &HttpRequest, more: &[&str]) -> Result<Params, Problem> {
    Params::read(request, &[&PAGING, more].concat())
}

/// Parses the start and the length of a page. `list` distinguishes the list and its order from all others.
pub fn walk<K: DeserializeOwned>(params: &Params, list: &str, is_descending: bool) -> Result<Walk<K>, Problem> {
    let after = params.get("after").map(|cursor| decode(cursor, list)).transpose()?;
    Ok(Walk { after, is_descending, limit: params.limit()? })
}

/// The page as it is served.
pub fn list<T, K: Serialize>(page: ListPage<T, K>, list: &str) -> List<T> {
    List { items: page.items, next: page.next.map(|key| encode(&key, list)) }
}

fn encode<K: Serialize>(key: &K, list: &str) -> String {
    let cursor = Cursor { of: list.to_owned(), key };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a key has string keys only"))
}

fn decode<K: DeserializeOwned>(cursor: &str, list: &str) -> Result<K, Problem> {
    let broken = || Problem::bad_request("after is no cursor of this list; take it from \"next\" of the page before");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| broken())?;
    let cursor: Cursor<Value> = serde_json::from_slice(&bytes).map_err(|_| broken())?;
    if cursor.of != list {
        return Err(Problem::bad_request("after is a cursor of another list, or of another order of this one"));
    }
    if !is_sound(&cursor.key) {
        return Err(broken());
    }
    serde_json::from_value(cursor.key).map_err(|_| broken())
}

/// Whether it is a cursor of a list by date or by name.
pub fn probe(cursor: &str) -> bool {
    use crate::store::browse::{DateKey, NameKey};
    decode::<DateKey>(cursor, "tracks").is_ok() || decode::<NameKey>(cursor, "tracks").is_ok()
}

/// Whether a database can search for it: PostgreSQL has no NUL, and no years of five digits.
fn is_sound(key: &Value) -> bool {
    match key {
        Value::Object(fields) => fields.iter().all(|(name, value)| match value {
            Value::String(moment) if name == "at" => moment.starts_with(|first: char| first.is_ascii_digit()),
            value => is_sound(value),
        }),
        Value::String(text) => !text.contains('\0'),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::browse::{DateKey, NameKey};
    use chrono::DateTime;

    #[test]
    fn a_cursor_reads_back_as_the_key_it_was_made_of() {
        let key = DateKey { at: DateTime::from_timestamp(1_790_000_000, 123_456_000), id: "t1".into() };
        assert_eq!(decode::<DateKey>(&encode(&key, "tracks"), "tracks"), Ok(key));
    }

    #[test]
    fn a_cursor_of_another_list_or_none_at_all_is_refused() {
        let key = |name: &str| NameKey { name: name.into(), id: "t1".into() };
        let refused = |cursor: &str| decode::<NameKey>(cursor, "tracks").unwrap_err().to_string();
        assert!(refused(&encode(&key("a"), "albums")).contains("another list"));
        let old = serde_json::json!({ "of": "tracks", "key": { "at": "+12026-01-01T00:00:00Z", "id": "t1" } });
        let texts = ["", "!", "AAAA", &encode(&key("a\0b"), "tracks"), &encode(&1, "tracks")].map(str::to_owned);
        for cursor in texts.into_iter().chain([URL_SAFE_NO_PAD.encode(old.to_string())]) {
            assert!(refused(&cursor).contains("no cursor"), "{cursor}");
        }
    }
}
