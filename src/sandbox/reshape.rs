//! Falsifies a true answer: a wrong total, rows that are hidden or replaced, an envelope that contradicts them, bytes
//! that are not text. Works on the finished JSON, so that the code for true answers knows nothing of it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::wire::HOST;

/// How an answer is falsified.
#[derive(Clone, Debug)]
pub enum Reshape {
    /// The total is off by this much.
    LieTotal { delta: i64 },
    /// The total is this.
    Total { total: u64 },
    /// Fields are missing: a plain name at any depth of the rows, a dotted path from each row.
    DropFields { fields: Vec<String> },
    /// A row of the page is replaced.
    ReplaceRow { index: usize, with: Value },
    /// Rows are counted but not given.
    Hide { which: Which },
    /// Rows have other fields.
    PatchRows { which: Which, with: Value },
    /// The envelope has other fields.
    PatchPage { with: Value },
    /// The address of the next page.
    Next { says: NextSays },
    /// The cursor to the next page.
    Cursor { after: Option<String> },
    /// How many items playlists have.
    CountItems { which: Which, total: u64 },
    /// Raw bytes in place of a text.
    Raw { which: Which, at: String, bytes: Vec<u8> },
    /// This many additional rows.
    Flood { rows: usize, with: Value, compressed: bool },
}

/// Which rows of a listing: all, unless ids or places are given.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Ids or URIs, of the row or of its object.
    pub ids: Option<Vec<String>>,
    /// Places in the listing, counted from 0.
    pub places: Option<Vec<usize>>,
}

impl Which {
    fn is(&self, place: usize, row: &Value) -> bool {
        let is_named = |thing: &Value, ids: &[String]| {
            ["id", "uri"].iter().any(|name| thing[*name].as_str().is_some_and(|id| ids.iter().any(|known| known == id)))
        };
        match (&self.ids, &self.places) {
            (None, None) => true,
            (ids, places) => {
                let by_place = places.as_ref().is_some_and(|places| places.contains(&place));
                let by_id = ids.as_ref().is_some_and(|ids| {
                    is_named(row, ids)
                        || ["track", "album", "show", "episode", "audiobook", "item"]
                            .iter()
                            .any(|name| is_named(&row[*name], ids))
                });
                by_place || by_id
            }
        }
    }
}

/// The value of `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextSays {
    /// That this is the end.
    Null,
    /// Claims that there is more after this page.
    Onward,
    /// Nothing: the field is missing.
    Absent,
    /// Something that is not an address.
    Odd,
}

/// Applies changes to a body, in order; `first` is the place of its first row. A body that is not JSON, or has no rows
/// to change, stays as it is.
pub fn reshape(body: &[u8], first: usize, changes: &[Reshape]) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    let mut rows: Option<Vec<(usize, Value)>> = rows(&mut root)
        .map(|rows| std::mem::take(rows).into_iter().enumerate().map(|(at, row)| (first + at, row)).collect());
    let mut splices = Vec::new();
    for change in changes {
        apply(&mut root, &mut rows, change, &mut splices);
    }
    if let (Some(given), Some(place)) = (rows, self::rows(&mut root)) {
        place.extend(given.into_iter().map(|(_, row)| row));
    }
    splices.into_iter().fold(root.to_string().into_bytes(), |body, splice| splice.carry_out(&body))
}

/// A placeholder text for bytes that JSON values cannot hold.
struct Splice {
    /// Including its quotes.
    mark: String,
    bytes: Vec<u8>,
}

impl Splice {
    /// The placeholder, and its replacement.
    fn new(number: usize, bytes: Vec<u8>) -> (Value, Splice) {
        let mark = format!("-splice-{number}-");
        (Value::from(mark.clone()), Splice { mark: format!("\"{mark}\""), bytes })
    }

    fn carry_out(self, body: &[u8]) -> Vec<u8> {
        let mark = self.mark.as_bytes();
        let mut spliced = Vec::with_capacity(body.len() + self.bytes.len());
        let mut rest = body;
        while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
            spliced.extend_from_slice(&rest[..at]);
            spliced.extend_from_slice(&self.bytes);
            rest = &rest[at + mark.len()..];
        }
        spliced.extend_from_slice(rest);
        spliced
    }
}

fn apply(root: &mut Value, rows: &mut Option<Vec<(usize, Value)>>, change: &Reshape, splices: &mut Vec<Splice>) {
    let chosen = |rows: &mut Option<Vec<(usize, Value)>>, which: &Which, change: &mut dyn FnMut(&mut Value)| {
        let rows = rows.iter_mut().flatten().filter(|(place, row)| which.is(*place, row));
        rows.for_each(|(_, row)| change(row));
    };
    match change {
        Reshape::LieTotal { delta } => {
            if let Some(total) = paging(root).and_then(|page| page.get_mut("total")) {
                *total = total.as_i64().unwrap_or(0).saturating_add(*delta).max(0).into();
            }
        }
        Reshape::Total { total: number } => {
            if let Some(total) = paging(root).and_then(|page| page.get_mut("total")) {
                *total = (*number).into();
            }
        }
        Reshape::DropFields { fields } => match rows {
            Some(rows) => rows.iter_mut().for_each(|(_, row)| drop_fields_of(row, fields)),
            None => drop_fields_of(root, fields),
        },
        Reshape::ReplaceRow { index, with } => {
            if let Some((_, row)) = rows.as_mut().and_then(|rows| rows.get_mut(*index)) {
                *row = with.clone();
            }
        }
        Reshape::Hide { which } => {
            if let Some(rows) = rows {
                rows.retain(|(place, row)| !which.is(*place, row));
            }
        }
        Reshape::PatchRows { which, with } => chosen(rows, which, &mut |row| merge(row, with)),
        Reshape::PatchPage { with: Value::Object(with) } => {
            if let Some(page) = paging(root) {
                for (name, with) in with {
                    merge(page.entry(name.clone()).or_insert(Value::Null), with);
                }
            }
        }
        Reshape::PatchPage { .. } => {}
        Reshape::Next { says } => {
            let last = rows.iter().flatten().last().map(|(_, row)| row["id"].clone());
            if let Some(page) = paging(root) {
                say_next(page, *says, last);
            }
        }
        Reshape::Cursor { after } => {
            if let Some(page) = paging(root) {
                page.insert("cursors".to_owned(), serde_json::json!({ "after": after }));
            }
        }
        Reshape::CountItems { which, total } => chosen(rows, which, &mut |row| {
            for name in ["items", "tracks"] {
                if let Some(count) = row.get_mut(name).and_then(|contents| contents.get_mut("total")) {
                    *count = (*total).into();
                }
            }
        }),
        Reshape::Raw { which, at, bytes } => {
            let quoted = [b"\"", bytes.as_slice(), b"\""].concat();
            let (mark, splice) = Splice::new(splices.len(), quoted);
            chosen(rows, which, &mut |row| {
                if let Some(text) = row.pointer_mut(at) {
                    *text = mark.clone();
                }
            });
            splices.push(splice);
        }
        Reshape::Flood { rows: number, with, .. } => {
            if let (Some(rows), Some(more)) = (rows, number.checked_sub(1)) {
                let row = with.to_string();
                let flood = [row.as_str(), &format!(",{row}").repeat(more)].concat().into_bytes();
                let (mark, splice) = Splice::new(splices.len(), flood);
                rows.push((usize::MAX, mark));
                splices.push(splice);
            }
        }
    }
}

/// Whether the changed answer is sent compressed.
pub fn is_compressed(changes: &[Reshape]) -> bool {
    changes.iter().any(|change| matches!(change, Reshape::Flood { compressed: true, .. }))
}

/// Objects are merged field by field; anything else, null included, is replaced.
fn merge(value: &mut Value, with: &Value) {
    match (value, with) {
        (Value::Object(fields), Value::Object(with)) => {
            for (name, with) in with {
                merge(fields.entry(name.clone()).or_insert(Value::Null), with);
            }
        }
        (value, with) => *value = with.clone(),
    }
}

fn say_next(page: &mut Map<String, Value>, says: NextSays, last: Option<Value>) {
    let has_cursors = page.get("cursors").is_some_and(|cursors| !cursors.is_null());
    let next = match says {
        NextSays::Absent => {
            page.remove("next");
            return;
        }
        NextSays::Odd => Value::from(17),
        NextSays::Null => {
            if has_cursors {
                page.insert("cursors".to_owned(), serde_json::json!({ "after": null }));
            }
            Value::Null
        }
        NextSays::Onward => {
            let path = page.get("href").and_then(Value::as_str).and_then(|href| href.split('?').next());
            let path = path.unwrap_or(HOST).to_owned();
            let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap_or(0);
            let (offset, limit) = (number("offset"), number("limit"));
            match last.filter(|_| has_cursors) {
                Some(last) => {
                    let address = format!("{path}?type=artist&after={}&limit={limit}", last.as_str().unwrap_or("0"));
                    page.insert("cursors".to_owned(), serde_json::json!({ "after": last }));
                    address.into()
                }
                None => format!("{path}?offset={}&limit={limit}", offset + limit).into(),
            }
        }
    };
    page.insert("next".to_owned(), next);
}

/// The object that holds the rows: the answer itself, or what is in its `artists`, `items` or `tracks`.
fn paging(root: &mut Value) -> Option<&mut Map<String, Value>> {
    let root = root.as_object_mut()?;
    let inner = ["artists", "items", "tracks"].into_iter().find(|name| root.get(*name).is_some_and(Value::is_object));
    match inner {
        Some(name) => root.get_mut(name)?.as_object_mut(),
        None => Some(root),
    }
}

fn rows(root: &mut Value) -> Option<&mut Vec<Value>> {
    paging(root)?.get_mut("items")?.as_array_mut()
}

fn drop_fields_of(value: &mut Value, fields: &[String]) {
    for field in fields {
        match field.split('.').collect::<Vec<_>>()[..] {
            [name] => drop_everywhere(value, name),
            ref path => drop_at(value, path),
        }
    }
}

fn drop_everywhere(value: &mut Value, name: &str) {
    match value {
        Value::Object(object) => {
            object.remove(name);
            object.values_mut().for_each(|value| drop_everywhere(value, name));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| drop_everywhere(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Follows a path; lists on the way are traversed.
fn drop_at(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Array(list), _) => list.iter_mut().for_each(|value| drop_at(value, path)),
        (Value::Object(object), [name]) => {
            object.remove(*name);
        }
        (Value::Object(object), [name, rest @ ..]) => {
            if let Some(value) = object.get_mut(*name) {
                drop_at(value, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn totals_lie_wherever_the_paging_object_is() {
        let lie = Reshape::LieTotal { delta: -3 };
        assert_eq!(changed(json!({"items": [], "total": 10}), &lie), json!({"items": [], "total": 7}));
        assert_eq!(changed(json!({"artists": {"total": 2}}), &lie), json!({"artists": {"total": 0}}));
        assert_eq!(changed(json!({"id": "me"}), &lie), json!({"id": "me"}));
        assert_eq!(
            changed(json!({"artists": {"total": 2}}), &Reshape::Total { total: 9 }),
            json!({"artists": {"total": 9}})
        );
    }

    #[test]
    fn plain_names_go_everywhere_and_paths_go_to_their_place() {
        let page = json!({"total": 1, "items": [{"name": 1, "track": {"name": 2, "artists": [{"name": 3}]}}]});
        let drop = |field: &str| Reshape::DropFields { fields: vec![field.to_owned()] };
        let expected = json!({"total": 1, "items": [{"track": {"artists": [{}]}}]});
        assert_eq!(changed(page.clone(), &drop("name")), expected);
        let expected = json!({"total": 1, "items": [{"name": 1, "track": {"name": 2, "artists": [{}]}}]});
        assert_eq!(changed(page.clone(), &drop("track.artists.name")), expected);
        assert_eq!(changed(page.clone(), &drop("total")), page);
        assert_eq!(changed(json!({"id": 1, "account_id": 2}), &drop("account_id")), json!({"id": 1}));
    }

    #[test]
    fn a_row_becomes_something_else() {
        let page = json!({"items": [1, 2, 3]});
        let replace = |index| Reshape::ReplaceRow { index, with: json!("?") };
        assert_eq!(changed(page.clone(), &replace(1)), json!({"items": [1, "?", 3]}));
        assert_eq!(changed(page.clone(), &replace(3)), page);
    }

    #[test]
    fn rows_are_chosen_by_place_and_id_and_keep_their_places_while_others_are_hidden() {
        let page =
            json!({"items": [{"id": "a"}, {"track": {"id": "b"}}, {"item": {"uri": "u:c"}}, {"id": "d"}], "total": 9});
        let hide = Reshape::Hide { which: Which { ids: Some(vec!["b".to_owned(), "u:c".to_owned()]), places: None } };
        let patch = Reshape::PatchRows {
            which: Which { ids: None, places: Some(vec![53]) },
            with: json!({"id": null, "track": {"is_local": true}}),
        };
        let body = reshape(page.to_string().as_bytes(), 50, &[hide, patch]);
        let expected = json!({"items": [{"id": "a"}, {"id": null, "track": {"is_local": true}}], "total": 9});
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), expected);
    }

    #[test]
    fn envelopes_contradict_their_rows() {
        let page = json!({"items": [], "limit": 50, "offset": 50, "next": "x", "href": "h?y"});
        let next = |says| changed(page.clone(), &Reshape::Next { says })["next"].clone();
        assert_eq!(next(NextSays::Null), Value::Null);
        assert_eq!(next(NextSays::Onward), "h?offset=100&limit=50");
        assert_eq!(next(NextSays::Odd), 17);
        let absent = changed(page.clone(), &Reshape::Next { says: NextSays::Absent });
        assert!(absent.get("next").is_none());
        let artists = json!({"artists": {"items": [{"id": "a"}], "cursors": {"after": "a"}, "next": "x"}});
        let ended = changed(artists.clone(), &Reshape::Next { says: NextSays::Null });
        assert_eq!(ended["artists"]["cursors"], json!({"after": null}));
        let turned = changed(artists, &Reshape::Cursor { after: Some("0".to_owned()) });
        assert_eq!(turned["artists"]["cursors"]["after"], "0");
        let capped = changed(page, &Reshape::PatchPage { with: json!({"limit": 20}) });
        assert_eq!((&capped["limit"], &capped["offset"]), (&json!(20), &json!(50)));
    }

    #[test]
    fn playlists_are_miscounted_and_names_hold_any_byte() {
        let page =
            json!({"items": [{"id": "p", "name": "x", "items": {"total": 120}}, {"id": "q", "tracks": {"total": 4}}]});
        let count = changed(page.clone(), &Reshape::CountItems { which: Which::default(), total: 0 });
        assert_eq!(
            (&count["items"][0]["items"]["total"], &count["items"][1]["tracks"]["total"]),
            (&json!(0), &json!(0))
        );
        let raw = |bytes: &[u8]| {
            let at = "/name".to_owned();
            reshape(
                page.to_string().as_bytes(),
                0,
                &[Reshape::Raw { which: Which::default(), at, bytes: bytes.to_vec() }],
            )
        };
        assert!(raw(br"\ud83c half").windows(13).any(|part| part == br#""\ud83c half""#));
        assert!(std::str::from_utf8(&raw(&[b'a', 0xff])).is_err());
    }

    #[test]
    fn a_flood_comes_behind_the_rows() {
        let flood = Reshape::Flood { rows: 3, with: json!({}), compressed: true };
        assert_eq!(changed(json!({"items": [1]}), &flood), json!({"items": [1, {}, {}, {}]}));
        assert!(is_compressed(&[flood]) && !is_compressed(&[]));
    }

    fn changed(body: Value, change: &Reshape) -> Value {
        let body = reshape(body.to_string().as_bytes(), 0, std::slice::from_ref(change));
        serde_json::from_slice(&body).expect("it stays JSON")
    }
}
