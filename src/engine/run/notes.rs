//! What a run tells people besides its counts: what is left open, why, and when it is looked at again.

use crate::model::EntityType;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The notes of one run.
#[derive(Debug, Default)]
pub struct Notes {
    /// What the last walk over the listing left open; a later walk of the same run knows better.
    verdict: Option<String>,
    others: Vec<String>,
    /// What stays the same from run to run, and what this run is the first to report.
    standing: Vec<String>,
    news: Vec<String>,
}

impl Notes {
    /// Replaces what an earlier walk of this run said.
    pub fn judge(&mut self, verdict: Option<String>) {
        self.verdict = verdict;
    }

    /// Adds a note once, however often it is found.
    pub fn tell(&mut self, note: String) {
        if !self.others.contains(&note) {
            self.others.push(note);
        }
    }

    /// Adds what stays the same; `told` is what earlier runs have reported of it.
    pub fn stand(&mut self, standing: Vec<String>, told: &[String]) {
        self.news = standing.iter().filter(|note| !told.contains(note)).cloned().collect();
        self.standing = standing;
    }

    pub fn standing(&self) -> &[String] {
        &self.standing
    }

    /// The notes of this run.
    pub fn lines(&self) -> Vec<String> {
        self.verdict.iter().chain(&self.others).chain(&self.news).cloned().collect()
    }

    /// Everything that holds, on one line, for the checkpoint.
    pub fn text(&self) -> Option<String> {
        let lines: Vec<&str> =
            self.verdict.iter().chain(&self.others).chain(&self.standing).map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// A removal that is not believed at once.
pub fn held(entity: EntityType, num_unseen: u32, num_active: u32, wait: Duration) -> String {
    let when = match wait.as_secs() {
        0 => "a later run".to_owned(),
        secs if secs % 3600 == 0 => format!("a run at least {} later", counted((secs / 3600) as u32, "hour")),
        secs => format!("a run at least {} later", counted(secs.div_ceil(60) as u32, "minute")),
    };
    format!(
        "{num_unseen} of {num_active} {entity} {} no longer listed, which one run alone does not prove: nothing was \
         marked removed; this waits for confirmation by {when}, which marks those that it misses as well, or by you: \
         \"segno sync --confirm-removals\"",
        are(num_unseen),
    )
}

/// Rows that the API counts but has never given.
pub fn hidden(entity: EntityType, num: u32) -> String {
    format!("{} {} counted by the API but not returned; the others are complete", counted(num, entity.noun()), are(num))
}

/// Items that we hold, and that the API counts but no longer gives.
pub fn counted_still(entity: EntityType, num: u32) -> String {
    let they = if num == 1 { "it is" } else { "they are" };
    format!(
        "{} known from before {} counted by the API but no longer returned: {they} kept, and not marked removed unless \
         you confirm it: \"segno sync --confirm-removals\"",
        counted(num, entity.noun()),
        are(num),
    )
}

/// The API gives fewer rows than are asked for.
pub fn capped(entity: EntityType, cap: u32) -> String {
    format!("the API returns no more than {} of the {entity} at a time", counted(cap, "row"))
}

/// A listing that came to no end.
pub fn endless(entity: EntityType) -> String {
    format!(
        "the API went round in circles when the {entity} were read, so they are not complete; what is known of them is \
         kept, and a later run reads them again"
    )
}

/// Rows that appear twice, in place of others.
pub fn doubled(entity: EntityType) -> String {
    format!(
        "the API returned some {entity} twice, and may have left out others in their place, so they may not be \
         complete; the next run reads them again"
    )
}

/// More requests than any run should need.
pub fn spent(entity: EntityType, num_requests: u32) -> String {
    format!(
        "the {entity} could not be read to the end with {num_requests} requests, since the API contradicts itself; what was \
         read is kept, and a later run carries on"
    )
}

/// Rows that may be what is missing.
pub fn unread(entity: EntityType, num_unseen: u32, num_unread: u32) -> String {
    let (missing, rows) = (counted(num_unseen, entity.noun()), counted(num_unread, "row"));
    let (it, holds) = if num_unread == 1 { ("it", "it holds") } else { ("they", "they hold") };
    format!(
        "{missing} cannot be found, but {rows} did not say what {holds}: nothing is marked removed until {it} \
         can be read"
    )
}

/// Parts of the listing that could not be read.
pub fn gaps(entity: EntityType, num: u32) -> String {
    incomplete(&counted(num, entity.noun()), num)
}

/// Parts of playlists that could not be read.
pub fn item_gaps(num: u32) -> String {
    incomplete(&counted(num, "playlist item"), num)
}

fn incomplete(what: &str, num: u32) -> String {
    let they = if num == 1 { "it is" } else { "they are" };
    format!("complete except for {what} that the API could not serve; {they} tried again in later runs")
}

/// Parts of the listing that the verifying pass could not look at.
pub fn unserved(entity: EntityType, num: u32) -> String {
    format!("{} could not be verified, since the API did not serve that place", counted(num, entity.noun()))
}

/// Not read in this run.
pub fn resting(until: DateTime<Utc>) -> String {
    format!("not read, as they are not due before {}", until.format("%F %T UTC"))
}

pub fn unsteady(entity: EntityType) -> String {
    format!("the {entity} kept changing while they were read; removals are looked for again in the next run")
}

/// A playlist that kept changing.
pub fn restless(name: &str) -> String {
    format!("playlist \"{name}\" kept changing while being read; the next run reads it again")
}

/// A playlist whose answer has no items, contrary to the listing.
pub fn contradictory(name: &str) -> String {
    format!(
        "playlist \"{name}\" is listed with items, but none were returned; what was known of it is kept, and the next \
         run tries again"
    )
}

/// A playlist whose items do not match their count in the listing.
pub fn miscounted(name: &str, why: &str) -> String {
    format!("playlist \"{name}\" does not match its count: {why}; later runs look at it again")
}

/// A playlist whose items could not be read.
pub fn refused(name: &str, why: &str) -> String {
    format!(
        "the items of playlist \"{name}\" could not be read: {why}; what was known of it is kept, and later runs \
         try again"
    )
}

/// Items that are counted but not given.
pub fn hidden_items(name: &str, num: u32) -> String {
    let are = are(num);
    format!("playlist \"{name}\": {} {are} counted but not returned by the API", counted(num, "item"))
}

/// More is missing from a playlist than a single reading proves.
pub fn held_items(name: &str, num_missing: u32, num_held: u32) -> String {
    format!(
        "playlist \"{name}\": {num_missing} of {num_held} items {} no longer listed, which one look alone does not prove: \
         nothing was removed; this waits for confirmation by a later run, which removes them if it misses the same",
        are(num_missing),
    )
}

/// A playlist that could not be read and waits.
pub fn waiting(name: &str, until: DateTime<Utc>) -> String {
    format!("playlist \"{name}\" could not be read lately; it is tried again after {}", until.format("%F %T UTC"))
}

/// The requests that a run may send for items are spent.
pub fn items_endless() -> String {
    "reading playlists took more requests than a run may send; later runs continue".into()
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

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(3600);

    #[test]
    fn what_stays_as_it_is_is_told_once_and_stands_all_the_time() {
        let standing = || vec![hidden(EntityType::Tracks, 1), capped(EntityType::Tracks, 20)];
        let mut notes = Notes::default();
        notes.stand(standing(), &[]);
        assert_eq!(notes.lines(), standing());
        let text = notes.text();
        notes.stand(standing(), &standing());
        assert_eq!((notes.lines(), notes.text()), (Vec::new(), text));
        notes.stand(vec![hidden(EntityType::Tracks, 2)], &standing());
        assert_eq!(notes.lines(), [hidden(EntityType::Tracks, 2)], "another number is news");
    }

    #[test]
    fn one_thing_is_not_spoken_of_as_many() {
        for (one, many) in [
            (gaps(EntityType::Tracks, 1), gaps(EntityType::Tracks, 2)),
            (item_gaps(1), item_gaps(2)),
            (held(EntityType::Albums, 1, 1, WAIT), held(EntityType::Albums, 2, 2, WAIT)),
            (hidden(EntityType::Tracks, 1), hidden(EntityType::Tracks, 2)),
            (counted_still(EntityType::Tracks, 1), counted_still(EntityType::Tracks, 2)),
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
            "3 tracks cannot be found, but 2 rows did not say what they hold: nothing is marked removed until \
             they can be read"
        );
    }

    #[test]
    fn what_is_found_twice_is_said_once_and_the_last_verdict_stands() {
        let mut notes = Notes::default();
        assert_eq!(notes.text(), None);
        for num_unseen in [300, 301] {
            notes.judge(Some(held(EntityType::Playlists, num_unseen, 400, WAIT)));
            notes.tell(restless("Road"));
        }
        let text = notes.text().unwrap();
        assert_eq!(text.matches("waits for confirmation").count(), 1, "{text}");
        assert!(text.starts_with("301 of 400") && text.matches("Road").count() == 1, "{text}");
        notes.judge(None);
        assert_eq!(notes.lines(), [restless("Road")]);
    }
}
