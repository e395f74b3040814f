//! What a run tells people beside its counts: what is left open, why, and when it is looked at again.

use crate::model::EntityType;
use chrono::{DateTime, Utc};

/// The notes of one run.
#[derive(Debug, Default)]
pub struct Notes {
    /// What the last walk over the listing left open; a later walk of the same run knows better.
    verdict: Option<String>,
    others: Vec<String>,
}

impl Notes {
    /// Replaces what an earlier walk of this run said.
    pub fn judge(&mut self, verdict: Option<String>) {
        self.verdict = verdict;
    }

    /// Says something once, however often it is found.
    pub fn tell(&mut self, note: String) {
        if !self.others.contains(&note) {
            self.others.push(note);
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.verdict.iter().chain(&self.others).cloned().collect()
    }

    /// All of it on one line, for the checkpoint.
    pub fn text(&self) -> Option<String> {
        let lines = self.lines();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// A removal that is not believed at once.
pub fn held(entity: EntityType, num_unseen: u32, num_active: u32) -> String {
    format!(
        "{num_unseen} of {num_active} {entity} {} no longer listed, which one run alone does not prove: nothing was \
         marked removed; this waits for confirmation by the next run, which marks them if it sees the same",
        are(num_unseen),
    )
}

/// Rows that may be what is missing.
pub fn unread(entity: EntityType, num_unseen: u32, num_unread: u32) -> String {
    let (missing, rows) = (counted(num_unseen, noun(entity)), counted(num_unread, "row"));
    let (it, holds) = if num_unread == 1 { ("it", "it holds") } else { ("they", "they hold") };
    format!(
        "{missing} cannot be found, but {rows} came without saying what {holds}: nothing was marked removed until {it} \
         can be read"
    )
}

/// Parts of the listing that did not come.
pub fn gaps(entity: EntityType, num: u32) -> String {
    incomplete(&counted(num, noun(entity)), num)
}

/// Parts of playlists that did not come.
pub fn item_gaps(num: u32) -> String {
    incomplete(&counted(num, "playlist item"), num)
}

fn incomplete(what: &str, num: u32) -> String {
    let they = if num == 1 { "it is" } else { "they are" };
    format!("complete except for {what} that the API could not serve; {they} tried again in later runs")
}

/// Parts of the listing that the verifying pass could not look at.
pub fn unserved(entity: EntityType, num: u32) -> String {
    format!("{} could not be looked at again, since the API did not serve that place", counted(num, noun(entity)))
}

/// Not read in this run.
pub fn resting(until: DateTime<Utc>) -> String {
    format!("not read, as they are not due before {}", until.format("%F %T UTC"))
}

pub fn unsteady(entity: EntityType) -> String {
    format!("the {entity} kept changing while they were read; removals are looked for again in the next run")
}

/// A playlist that never stood still.
pub fn restless(name: &str) -> String {
    format!("playlist \"{name}\" kept changing while being read; the next run reads it again")
}

/// A playlist whose items came back as none, against what the listing says.
pub fn contradictory(name: &str) -> String {
    format!(
        "playlist \"{name}\" is listed with items, but none came; what was known of it stays, the next run asks again"
    )
}

/// A playlist that its listing counts otherwise than it is.
pub fn miscounted(name: &str, why: &str) -> String {
    format!("playlist \"{name}\" is not as it is counted: {why}; it is looked at again in later runs")
}

/// A playlist whose items did not come.
pub fn refused(name: &str, why: &str) -> String {
    format!("the items of playlist \"{name}\" did not come: {why}; what was known of it stays, and it is tried again")
}

/// Items that are counted and not given.
pub fn hidden_items(name: &str, num: u32) -> String {
    let are = are(num);
    format!("playlist \"{name}\": {} {are} counted and not given by the API", counted(num, "item"))
}

/// More is gone from a playlist than one look proves.
pub fn held_items(name: &str, num_missing: u32, num_held: u32) -> String {
    format!(
        "playlist \"{name}\": {num_missing} of {num_held} items {} no longer listed, which one look alone does not prove: \
         nothing was removed; this waits for confirmation by a later run, which removes them if it misses the same",
        are(num_missing),
    )
}

/// The requests that a run may send for items are spent.
pub fn items_endless() -> String {
    "reading playlists took more requests than a run may send; later runs go on".into()
}

pub fn restless_playlists(num: u32) -> String {
    let them = if num == 1 { "it" } else { "them" };
    format!("{} changed while being read; the next run reads {them} again", counted(num, "playlist"))
}

/// `1 track`, `2 tracks`.
fn counted(num: u32, what: &str) -> String {
    format!("{num} {what}{}", if num == 1 { "" } else { "s" })
}

fn are(num: u32) -> &'static str {
    if num == 1 { "is" } else { "are" }
}

fn noun(entity: EntityType) -> &'static str {
    match entity {
        EntityType::Tracks => "track",
        EntityType::Artists => "artist",
        EntityType::Albums => "album",
        EntityType::Playlists => "playlist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_spoken_of_as_many() {
        for (one, many) in [
            (gaps(EntityType::Tracks, 1), gaps(EntityType::Tracks, 2)),
            (item_gaps(1), item_gaps(2)),
            (held(EntityType::Albums, 1, 1), held(EntityType::Albums, 2, 2)),
            (unread(EntityType::Artists, 1, 1), unread(EntityType::Artists, 2, 2)),
            (restless_playlists(1), restless_playlists(2)),
        ] {
            assert!(!one.contains("1 tracks") && !one.contains("1 playlist items") && !one.contains("1 rows"), "{one}");
            assert_ne!(one.replace('1', "2"), many);
        }
        assert_eq!(
            gaps(EntityType::Tracks, 1),
            "complete except for 1 track that the API could not serve; it is tried again in later runs"
        );
        assert_eq!(
            unread(EntityType::Tracks, 3, 2),
            "3 tracks cannot be found, but 2 rows came without saying what they hold: nothing was marked removed until \
             they can be read"
        );
    }

    #[test]
    fn what_is_found_twice_is_said_once_and_the_last_verdict_stands() {
        let mut notes = Notes::default();
        assert_eq!(notes.text(), None);
        for num_unseen in [300, 301] {
            notes.judge(Some(held(EntityType::Playlists, num_unseen, 400)));
            notes.tell(restless("Road"));
        }
        let text = notes.text().unwrap();
        assert_eq!(text.matches("waits for confirmation").count(), 1, "{text}");
        assert!(text.starts_with("301 of 400") && text.matches("Road").count() == 1, "{text}");
        notes.judge(None);
        assert_eq!(notes.lines(), [restless("Road")]);
    }
}
