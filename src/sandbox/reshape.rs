//! Makes a true answer untrue: a wrong total, missing fields, a row that is something else. Works on the finished
//! JSON, so that the code that tells the truth knows nothing of it.

use serde_json::{Map, Value};

use super::faults::Reshape;

/// Applies a change to a body. A body that is not JSON, or has no rows to change, stays as it is.
pub fn reshape(body: &[u8], change: &Reshape) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    match change {
        Reshape::LieTotal { delta } => {
            if let Some(total) = paging(&mut root).and_then(|page| page.get_mut("total")) {
                *total = total.as_i64().unwrap_or(0).saturating_add(*delta).max(0).into();
            }
        }
        Reshape::DropFields { fields } => drop_fields(&mut root, fields),
        Reshape::ReplaceRow { index, with } => {
            if let Some(row) = rows(&mut root).and_then(|rows| rows.get_mut(*index)) {
                *row = with.clone();
            }
        }
    }
    root.to_string().into_bytes()
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

/// Drops fields from each row, or from the whole answer where there are no rows.
fn drop_fields(root: &mut Value, fields: &[String]) {
    match rows(root) {
        Some(rows) => rows.iter_mut().for_each(|row| drop_fields_of(row, fields)),
        None => drop_fields_of(root, fields),
    }
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

/// Follows a path; lists on the way are walked through.
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

    fn changed(body: Value, change: &Reshape) -> Value {
        serde_json::from_slice(&reshape(body.to_string().as_bytes(), change)).expect("it stays JSON")
    }
}
