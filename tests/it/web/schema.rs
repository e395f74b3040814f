//! Whether a value matches a description, as far as the description of the API goes. Undescribed fields are reported
//! too: a client could not know about them.

use serde_json::Value;
use std::collections::BTreeSet;

/// The errors of a value, with the path to each.
pub fn violations(api: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(api, schema, value, "$", &mut found);
    found.extend(undescribed(api, schema, value, "$"));
    found
}

/// The fields of an object that its schema does not know.
fn undescribed(api: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let (Value::Object(fields), Some(described)) = (value, described(api, schema)) else { return Vec::new() };
    let unknown = fields.keys().filter(|name| !described.contains(*name));
    unknown.map(|name| format!("{at}.{name}: not described")).collect()
}

fn check(api: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(api, resolve(api, reference), value, at, found);
    }
    let fits = |part: &Value| {
        let mut wrong = Vec::new();
        check(api, part, value, at, &mut wrong);
        wrong
    };
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(fits(part));
    }
    for (word, most) in [("oneOf", 1), ("anyOf", usize::MAX)] {
        let Some(parts) = schema[word].as_array() else { continue };
        let wrong: Vec<Vec<String>> = parts.iter().map(fits).collect();
        let num_fit = wrong.iter().filter(|wrong| wrong.is_empty()).count();
        if num_fit == 0 || num_fit > most {
            found.push(format!("{at}: {num_fit} of {word} fit {value}: {wrong:?}"));
        }
    }
    check_type(schema, value, at, found);
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{at}: {value} is none of {words:?}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found.push(format!("{at}: {number} is below {least}"));
    }
    if schema["format"] == "date-time"
        && value
            .as_str()
            .is_some_and(|text| !text.ends_with('Z') || text.parse::<chrono::DateTime<chrono::Utc>>().is_err())
    {
        found.push(format!("{at}: {value} is no moment in UTC"));
    }
    if let Value::Object(fields) = value {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{at}: no {name}"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            let part =
                schema["properties"].get(name).or(schema.get("additionalProperties").filter(|rest| rest.is_object()));
            if let Some(part) = part {
                check(api, part, field, &at, found);
                found.extend(undescribed(api, part, field, &at));
            }
        }
    }
    if let Value::Array(items) = value {
        let places = schema["prefixItems"].as_array();
        for (index, item) in items.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let part = places.and_then(|places| places.get(index)).unwrap_or(&schema["items"]);
            check(api, part, item, &at, found);
            found.extend(undescribed(api, part, item, &at));
        }
    }
}

fn check_type(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let words: Vec<&str> = match &schema["type"] {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = |word: &&str| match *word {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: no type is called {other}"),
    };
    if !words.iter().any(is) {
        found.push(format!("{at}: {value} is not {words:?}"));
    }
}

/// The field names that an object may have; `None` for any.
fn described(api: &Value, schema: &Value) -> Option<BTreeSet<String>> {
    if let Some(reference) = schema["$ref"].as_str() {
        return described(api, resolve(api, reference));
    }
    let own = schema["properties"].as_object().map(|fields| fields.keys().cloned().collect::<BTreeSet<_>>());
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().flat_map(|word| schema[word].as_array().into_iter().flatten());
    own.into_iter().chain(parts.filter_map(|part| described(api, part))).reduce(|some, more| &some | &more)
}

fn resolve<'a>(api: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
    api.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

#[test]
fn what_does_not_fit_is_found() {
    use serde_json::json;
    let api = json!({ "components": { "schemas": { "Link": {
        "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "at": { "type": ["string", "null"], "format": "date-time" } }
    } } } });
    let schema = json!({ "type": "object", "required": ["items"], "properties": {
        "items": { "type": "array", "items": { "$ref": "#/components/schemas/Link" } },
        "one": { "oneOf": [{ "type": "null" }, { "type": "integer", "minimum": 0 }] },
        "kind": { "type": "string", "enum": ["a", "b"] },
    } });
    let fits = json!({ "items": [{ "id": "1", "at": null }, { "id": "2", "at": "2026-11-22T18:00:00Z" }], "one": null, "kind": "a" });
    assert_eq!(violations(&api, &schema, &fits), Vec::<String>::new());
    for wrong in [
        json!({}),
        json!([]),
        json!({ "items": [{}] }),
        json!({ "items": [{ "id": 1 }] }),
        json!({ "items": [{ "id": "1", "at": "yesterday" }] }),
        json!({ "items": [{ "id": "1", "more": 1 }] }),
        json!({ "items": [], "one": -1 }),
        json!({ "items": [], "one": "1" }),
        json!({ "items": [], "kind": "c" }),
        json!({ "items": [], "else": 1 }),
    ] {
        assert_eq!(violations(&api, &schema, &wrong).len(), 1, "{wrong}: {:?}", violations(&api, &schema, &wrong));
    }
}
