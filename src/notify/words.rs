//! An entry of the feed in words: a title and a text, in the fields that ntfy, Home Assistant and Apprise read.

use serde_json::{Value, json};

/// Names in one text.
const NAMES_MAX: usize = 5;

/// The entry with `title`, `body` and `type` added.
pub fn with_words(entry: &str) -> String {
    let Ok(mut entry) = serde_json::from_str::<Value>(entry) else { return entry.to_owned() };
    let (title, body, kind) = words(&entry);
    for (name, value) in [("title", title), ("body", body), ("type", kind.to_owned())] {
        entry[name] = json!(value);
    }
    entry.to_string()
}

fn words(entry: &Value) -> (String, String, &'static str) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let what = text("entity_type");
    match entry["event"].as_str().unwrap_or_default() {
        "changes" => {
            let changes = entry["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
            (format!("{what}: {}", tally(changes)), changes_text(changes), "info")
        }
        "removals_held" => {
            let num = entry["num_held"].as_u64().unwrap_or_default();
            let place = match entry["playlist_name"].as_str() {
                Some(name) => format!("the playlist {name}"),
                None => what,
            };
            let body = format!(
                "{num} removals from {place} wait until a later run misses the same, or you confirm them: on the page, or with \
                 \"segno sync --confirm-removals\""
            );
            ("removals wait".into(), body, "warning")
        }
        "sign_in_ends" => {
            let until = text("until");
            let day = until.get(..10).unwrap_or(&until);
            (
                "a sign-in ends soon".into(),
                format!("the sign-in of {} ends on {day}; run \"segno login\"", text("account")),
                "warning",
            )
        }
        "sync_failing" => {
            let body = format!("{what} of {} have not been synced for a day: {}", text("account"), text("error"));
            ("the sync keeps failing".into(), body, "failure")
        }
        other => (other.to_owned(), String::new(), "info"),
    }
}

/// `3 added, 1 removed`.
fn tally(changes: &[Value]) -> String {
    let num = |word: &str| changes.iter().filter(|change| change["change"] == word).count();
    let parts = [(num("added"), "added"), (num("added_again"), "added again"), (num("removed"), "removed")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(num, _)| *num > 0).map(|(num, word)| format!("{num} {word}")).collect();
    parts.join(", ")
}

fn changes_text(changes: &[Value]) -> String {
    let line = |change: &Value| {
        let sign = if change["change"] == "removed" { "-" } else { "+" };
        let name = change["name"].as_str().or(change["id"].as_str()).or(change["uri"].as_str()).unwrap_or("?");
        let by = change["artist"].as_str().map(|artist| format!(" by {artist}")).unwrap_or_default();
        let place = change["playlist_name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{sign} {name}{by}{place}")
    };
    let mut lines: Vec<String> = changes.iter().take(NAMES_MAX).map(line).collect();
    if changes.len() > NAMES_MAX {
        lines.push(format!("and {} more", changes.len() - NAMES_MAX));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(entry: Value) -> (String, String, String) {
        let told: Value = serde_json::from_str(&with_words(&entry.to_string())).unwrap();
        for (name, value) in entry.as_object().unwrap() {
            assert_eq!(&told[name], value, "what it says stays");
        }
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        (text("title"), text("body"), text("type"))
    }

    #[test]
    fn every_kind_of_entry_has_words_for_a_person() {
        let change = |change: &str, name: &str| json!({ "change": change, "name": name, "id": "t1" });
        let changes: Vec<Value> = (1..=6).map(|number| change("added", &format!("Song {number}"))).collect();
        let entry = json!({ "event": "changes", "entity_type": "tracks", "changes": changes });
        let (title, body, kind) = told(entry);
        assert_eq!((title.as_str(), kind.as_str()), ("tracks: 6 added", "info"));
        assert!(body.starts_with("+ Song 1\n+ Song 2") && body.ends_with("and 1 more"), "{body}");
        let entry = json!({ "event": "changes", "entity_type": "playlists", "changes": [
            { "change": "removed", "name": "A", "artist": "B", "playlist_name": "C" }, { "change": "added", "uri": "u" }] });
        assert_eq!(told(entry).1, "- A by B (C)\n+ u");
        let held = json!({ "event": "removals_held", "entity_type": "tracks", "num_held": 4000 });
        assert!(told(held).1.contains("4000 removals from tracks wait"));
        let ends = json!({ "event": "sign_in_ends", "account": "mira", "until": "2026-12-24T10:00:00Z" });
        assert_eq!(told(ends).1, "the sign-in of mira ends on 2026-12-24; run \"segno login\"");
        let failing =
            json!({ "event": "sync_failing", "account": "mira", "entity_type": "albums", "error": "no route" });
        assert_eq!(
            told(failing),
            (
                "the sync keeps failing".into(),
                "albums of mira have not been synced for a day: no route".into(),
                "failure".into()
            )
        );
    }

    #[test]
    fn what_is_not_understood_is_handed_on_as_it_is() {
        assert_eq!(with_words("not json"), "not json");
        assert_eq!(told(json!({ "event": "new_kind" })).0, "new_kind");
    }
}
