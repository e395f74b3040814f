//! Additions and removals, one per line: for people, or as JSON.

use crate::{
    model::text::seen,
    store::{Change, ChangeKind, Changed, InPlaylist, browse::ChangeEntry},
};
use chrono::{DateTime, Local, Utc};

/// One line of JSON. `account` is its Spotify id.
pub fn json_line(change: Change, account: &str) -> String {
    serde_json::to_string(&ChangeEntry::new(change, account)).expect("a change has string keys only") + "\n"
}

/// `2026-11-22 18:00:00  + track     Name, Artist`; with the account if there are several.
pub fn text_line(change: &Change, account: Option<&str>) -> String {
    let Change { at, what, kind, id, name, artist, place, .. } = change;
    let (sign, again) = match kind {
        ChangeKind::Added => ('+', ""),
        ChangeKind::AddedAgain => ('+', " (again)"),
        ChangeKind::Removed => ('-', ""),
    };
    let what = match what {
        Changed::Member(entity) => entity.noun(),
        Changed::PlaylistItem => "item",
    };
    let at = moment(*at);
    let uri = place.as_ref().and_then(|place| place.uri.as_deref());
    let named = [name.as_deref(), uri, id.as_deref()].into_iter().flatten().find(|name| !name.is_empty());
    let name = one_line(named.unwrap_or("(nameless)"));
    let artist = artist.as_deref().map(|artist| format!(", {}", one_line(artist))).unwrap_or_default();
    let place = place.as_ref().map(|place| whereabouts(*kind, place)).unwrap_or_default();
    let account = account.map(|account| format!("  [{}]", one_line(account))).unwrap_or_default();
    format!("{at}  {sign} {what:<8}  {name}{artist}{again}{place}{account}\n")
}

/// In local time, to the second.
pub fn moment(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn whereabouts(kind: ChangeKind, place: &InPlaylist) -> String {
    let preposition = match kind {
        ChangeKind::Added | ChangeKind::AddedAgain => "to",
        ChangeKind::Removed => "from",
    };
    format!("  {preposition} \"{}\"", one_line(&place.playlist_name))
}

/// A name chosen by somebody else must not move the cursor, or pass for a line of ours.
fn one_line(name: &str) -> String {
    seen(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityType;
    use crate::model::{AccountId, text::is_unseen};

    #[test]
    fn a_line_says_when_what_and_where() {
        let clock = moment(noon());
        let saved = change(Changed::Member(EntityType::Tracks), ChangeKind::AddedAgain);
        assert_eq!(text_line(&saved, None), format!("{clock}  + track     One, Mira (again)\n"));
        let item = Change { place: Some(in_mix()), ..change(Changed::PlaylistItem, ChangeKind::Removed) };
        assert_eq!(text_line(&item, Some("ek")), format!("{clock}  - item      One, Mira  from \"Mix\"  [ek]\n"));
        let nameless = Change { name: None, artist: None, ..item };
        assert_eq!(text_line(&nameless, None), format!("{clock}  - item      spotify:track:t1  from \"Mix\"\n"));
    }

    #[test]
    fn a_name_cannot_break_out_of_its_line() {
        let name = Some("One\n2026-11-22 \u{1b}[2J \u{202e}- track".to_owned());
        let line = text_line(&Change { name, ..change(Changed::Member(EntityType::Tracks), ChangeKind::Added) }, None);
        assert_eq!(line.chars().filter(|c| is_unseen(*c)).collect::<String>(), "\n");
    }

    #[test]
    fn json_has_every_field_on_every_line() {
        let saved = change(Changed::Member(EntityType::Tracks), ChangeKind::Added);
        let item = Change { place: Some(in_mix()), ..change(Changed::PlaylistItem, ChangeKind::Added) };
        for (change, entity_type, position) in [(saved, "tracks", None), (item, "playlist_items", Some(3))] {
            let line = json_line(change, "ek");
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(json.as_object().unwrap().len(), 13);
            assert_eq!(json["entity_type"], entity_type);
            assert_eq!(json["position"], serde_json::json!(position));
            assert_eq!(json["at"], "2026-11-22T12:00:00Z");
            assert_eq!(line.matches('\n').count(), 1);
        }
    }

    fn change(what: Changed, kind: ChangeKind) -> Change {
        Change {
            at: noon(),
            account: AccountId(1),
            what,
            kind,
            id: Some("t1".into()),
            name: Some("One".into()),
            artist: Some("Mira".into()),
            added_at: Some(noon()),
            place: None,
        }
    }

    fn in_mix() -> InPlaylist {
        InPlaylist {
            playlist_id: "p1".into(),
            playlist_name: "Mix".into(),
            snapshot_id: Some("s2".into()),
            position: 3,
            uri: Some("spotify:track:t1".into()),
        }
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }
}
