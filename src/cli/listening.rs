//! The command `listening`: what was heard most, or when, and how that is shown.

use super::{
    OneAccountArg, Since,
    changes::since,
    numbers::{day, grouped},
    values,
};
use crate::{
    model::{
        stretches::{Stretch, StretchHeard},
        text::seen,
        zone::Zone,
    },
    store::browse::{Heard, HeardEntry},
};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  segno listening                              artists, of all time
  segno listening --by track --since 2026-01-01 --limit 50
  segno listening --by month --since 365d
  segno listening --by hour                    at which hours of the day
  segno listening --by weekhour --zone Asia/Kolkata
  segno listening --by show --json

It reads only the database: what the API has reported since segno has been running, and what \
\"segno import\" added. If nothing says how long a track was played, its full length counts.")]
pub struct ListeningArgs {
    /// What to sum up: what was heard, or when
    #[arg(long, value_name = "WHAT", default_value = "artist", hide_possible_values = false)]
    pub by: By,

    /// How far to look back: a time, a date, or a duration [default: all]
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,

    /// Time zone of days and hours, such as Europe/Amsterdam [default: listening.time_zone, else the local one]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub zone: Option<Zone>,

    /// Most lines to show of what was heard; by time, all are shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = values::number::<u32>(1..=1_000_000))]
    pub limit: u32,

    #[command(flatten)]
    pub account: OneAccountArg,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    Artist,
    Track,
    Album,
    Show,
    Day,
    Week,
    Month,
    Year,
    Hour,
    #[value(name = "weekhour")]
    WeekHour,
}

/// Either of the two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    What(Heard),
    When(Stretch),
}

impl By {
    pub fn question(self) -> Question {
        match self {
            By::Artist => Question::What(Heard::Artists),
            By::Track => Question::What(Heard::Tracks),
            By::Album => Question::What(Heard::Albums),
            By::Show => Question::What(Heard::Shows),
            By::Day => Question::When(Stretch::Day),
            By::Week => Question::When(Stretch::Week),
            By::Month => Question::When(Stretch::Month),
            By::Year => Question::When(Stretch::Year),
            By::Hour => Question::When(Stretch::Hour),
            By::WeekHour => Question::When(Stretch::WeekHour),
        }
    }
}

fn zone(name: &str) -> Result<Zone, String> {
    Zone::of_name(name).ok_or_else(|| "the name of a time zone, such as Europe/Amsterdam".to_owned())
}

/// Width of the longest bar.
const BAR_LEN: u64 = 30;

pub fn what_text(entries: &[HeardEntry]) -> String {
    if entries.is_empty() {
        return "nothing was heard in that time, as far as the database knows\n".into();
    }
    let mut out = format!("{:>9} {:>7}  {:<10}  {}\n", "hours", "plays", "since", "");
    for entry in entries {
        let name = entry.name.as_deref().map_or_else(|| "(nameless)".into(), seen);
        let artist = entry.artist.as_deref().map(|artist| format!(", {}", seen(artist))).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:>9} {:>7}  {:<10}  {name}{artist}",
            hours(entry.ms),
            grouped(entry.plays),
            day(entry.first_at)
        );
    }
    out
}

pub fn when_text(stretches: &[StretchHeard]) -> String {
    if stretches.is_empty() {
        return "nothing was heard in that time, as far as the database knows\n".into();
    }
    let most = stretches.iter().map(|stretch| stretch.ms).max().unwrap_or(0).max(1);
    let mut out = String::new();
    for StretchHeard { stretch, plays, ms } in stretches {
        let bar = "#".repeat(usize::try_from((ms * BAR_LEN).div_ceil(most)).unwrap_or(0));
        let stretch = hour_of_week(stretch).unwrap_or_else(|| stretch.clone());
        let _ = writeln!(out, "{stretch:<10} {:>9} h {:>7} plays  {bar}", hours(*ms), grouped(*plays));
    }
    out
}

/// "Tue 17:00" for "2-17".
fn hour_of_week(name: &str) -> Option<String> {
    let (day, hour) = name.split_once('-').filter(|(day, _)| day.len() == 1)?;
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let day = days.get(day.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some(format!("{day} {hour}:00"))
}

pub fn json(account: &str, entries: &(impl Serialize + ?Sized)) -> String {
    let report = serde_json::json!({ "account": account, "listening": entries });
    serde_json::to_string_pretty(&report).expect("a report has string keys only") + "\n"
}

fn hours(ms: u64) -> String {
    let tenths = (ms + 180_000) / 360_000;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn lines_say_how_much_and_of_what() {
        let entry = HeardEntry {
            name: Some("Glass\u{1b}[2J Harbour".into()),
            artist: Some("The Tin Lanterns".into()),
            uri: None,
            plays: 1200,
            ms: 4_500_000_000,
            first_at: DateTime::UNIX_EPOCH,
            last_at: DateTime::UNIX_EPOCH,
        };
        let text = what_text(&[entry]);
        assert!(text.contains("1,250.0   1,200  19"), "{text}");
        assert!(text.ends_with("Glass [2J Harbour, The Tin Lanterns\n"), "{text}");
        let stretch = |name: &str, ms| StretchHeard { stretch: name.into(), plays: 3, ms };
        let text = when_text(&[stretch("2026-10", 3_600_000), stretch("2026-11", 7_200_000)]);
        assert_eq!(text.lines().map(|line| line.matches('#').count()).collect::<Vec<_>>(), [15, 30]);
        assert!(when_text(&[stretch("2-17", 1)]).starts_with("Tue 17:00 "));
        assert!(what_text(&[]).starts_with("nothing") && when_text(&[]).starts_with("nothing"));
    }
}
