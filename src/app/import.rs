//! `import`: from the files of a data export into the database, without a request.
//!
//! One thread reads, this one writes, and a few thousand rows at most are queued between them. When all rows are there,
//! the streams around plays that the API reported are paired with them, some thousand plays at a time.

use super::{CommandError, Exit, accounts, database::open_existing, print, print_json};
use crate::{
    cli::{
        ImportArgs, Remove,
        import_report::{FileReport, ImportReport, Offsets, PlayedAt, Rows, imports_text, removed_json, removed_text},
        progress::{Display, ImportBar},
    },
    clock,
    config::Config,
    data_export::{Content, Export, FileRead, SourceError, Stopped},
    engine::matching::{self, Rule, Votes},
    model::stream::{StreamKind, ToldAt},
    store::{Account, ImportOutcome, RemovedImports, Store, StreamImport},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Batches between the thread that reads and the one that writes.
const BATCHES_AHEAD: usize = 2;

/// Plays that are paired at once.
const PLAYS_AT_ONCE: usize = 10_000;

/// Longest time without a stream within one export: people do not listen every day.
const SILENCE: TimeDelta = TimeDelta::days(7);

/// Numbers from here on are years in the names of an export's files.
const YEAR_MIN: u32 = 1_000;

/// How many kinds of wrong files a message names.
const WRONG_NAMED: usize = 4;

pub async fn run(args: ImportArgs, config: &Config, display: &Display) -> Result<Exit, CommandError> {
    let store = open_existing(config, "import").await?;
    let account = accounts::only(&store, args.account.account.as_deref(), "import").await?;
    match args.remove {
        Some(which) => remove(&store, &account, which, args.json).await,
        None => import(&store, &account, args, display).await,
    }
}

async fn import(store: &Store, account: &Account, args: ImportArgs, display: &Display) -> Result<Exit, CommandError> {
    let paths = args.paths.clone();
    let finding = tokio::task::spawn_blocking(move || Export::find(&paths)).await;
    let export = finding.map_err(|error| CommandError::failed(&error))?.map_err(|error| unreadable(&error))?;
    if !export.has_history() {
        return Err(nothing_to_read(&export));
    }
    let bar = ImportBar::new(display, export.num_bytes());
    let mut import = store.begin_import(account.id, args.dry_run, clock::now()).await?;
    let (rows, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let reading =
        tokio::task::spawn_blocking(move || export.read(|batch| rows.blocking_send(batch).map_err(|_| Stopped)));
    let mut report = empty_report(account, args.dry_run);
    let mut num_rows = 0;
    while let Some(batch) = batches.recv().await {
        for stream in &batch.streams {
            *report.rows.by_kind.entry(stream.kind.as_str()).or_default() += 1;
        }
        let added = import.add(&batch.streams).await?;
        num_rows += batch.streams.len() as u64;
        report.new += added.num_new;
        report.known += added.num_known;
        report.covered += added.num_covered;
        bar.read(batch.num_bytes_done, num_rows);
    }
    let files = reading.await.map_err(|error| CommandError::failed(&error))?;
    let files = files.map_err(|Stopped| CommandError::new(Exit::Failed, "reading ended prematurely"))?;

    bar.say("comparing with what Spotify reported");
    if report.new > 0 {
        report.replaced = import.replace_account_data().await?;
    }
    let (rule, votes) = vote(&mut import).await?;
    let mut offsets = Offsets::default();
    report.matched = pair(&mut import, &rule, &mut offsets).await?;
    report.offsets = offsets.bins();
    let has_votes = votes.num_ends + votes.num_starts + report.matched > 0;
    report.played_at = has_votes.then_some(PlayedAt {
        meaning: rule.meaning,
        near_ends: votes.num_ends,
        near_starts: votes.num_starts,
    });

    bar.say("writing the rest");
    report.rows.total = files.iter().map(|file| file.num_rows).sum();
    report.rows.bad = files.iter().map(|file| file.num_bad).sum();
    let all: Vec<(DateTime<Utc>, DateTime<Utc>)> = files.iter().filter_map(|file| file.span).collect();
    report.first = all.iter().map(|(first, _)| *first).min();
    report.last = all.iter().map(|(_, last)| *last).max();
    let outcome = ImportOutcome {
        num_files: files.iter().filter(|file| file.num_rows > 0).count() as u64,
        num_rows: report.rows.total,
        num_new: report.new,
        num_pairs: report.matched,
        meaning: report.played_at.map(|played_at| played_at.meaning),
        spans: spans(&files),
        whole: report.first.zip(report.last),
    };
    let finished = import.finish(&outcome).await?;
    bar.finish();
    report.plays_pending = finished.num_plays;
    report.gaps_closed = finished.num_gaps_closed;
    report.hours = finished.ms_played as f64 / 3_600_000.0;
    report.files = files.into_iter().map(FileReport::from).collect();
    if args.json {
        print_json(&report.json())?;
    } else {
        print(&report.text())?;
    }
    Ok(Exit::Done)
}

fn empty_report(account: &Account, dry_run: bool) -> ImportReport {
    ImportReport {
        account: account.spotify_id.clone(),
        dry_run,
        rows: Rows { by_kind: StreamKind::ALL.iter().map(|kind| (kind.as_str(), 0)).collect(), ..Rows::default() },
        ..ImportReport::default()
    }
}

/// Decides what the API's moment means, from all unpaired plays.
async fn vote(import: &mut StreamImport) -> Result<(Rule, Votes), CommandError> {
    let mut votes = Votes::default();
    let mut after = DateTime::UNIX_EPOCH;
    while let Some(told) = next_plays(import, &mut after).await? {
        let heard = import.heard_around(&told).await?;
        votes.count(&heard, &told);
    }
    Ok((votes.rule(), votes))
}

async fn pair(import: &mut StreamImport, rule: &Rule, offsets: &mut Offsets) -> Result<u64, CommandError> {
    let (mut num_pairs, mut after) = (0, DateTime::UNIX_EPOCH);
    while let Some(told) = next_plays(import, &mut after).await? {
        let heard = import.heard_around(&told).await?;
        let pairs = matching::pair(&heard, &told, rule);
        num_pairs += import.pair(&pairs).await?;
        offsets.count(&pairs);
    }
    Ok(num_pairs)
}

/// The plays after the last ones returned.
async fn next_plays(import: &mut StreamImport, after: &mut DateTime<Utc>) -> Result<Option<Vec<ToldAt>>, CommandError> {
    let told = import.told_after(*after, PLAYS_AT_ONCE).await?;
    let Some(last) = told.last() else { return Ok(None) };
    *after = last.key.0;
    Ok(Some(told))
}

/// The periods that the export covers completely. Files follow each other in time; where one is missing, nothing is
/// known. Videos are separate, and their spans are covered by other files.
fn spans(files: &[FileRead]) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let told = || files.iter().filter(|file| !file.is_video);
    if told().any(|file| file.content.is_history() && file.broken.is_some()) || lacks_a_number(files) {
        return Vec::new();
    }
    let mut all: Vec<(DateTime<Utc>, DateTime<Utc>)> = told().filter_map(|file| file.span).collect();
    all.sort_unstable();
    let mut spans: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for (first, last) in all {
        match spans.last_mut() {
            Some((_, end)) if first <= *end + SILENCE => *end = last.max(*end),
            _ => spans.push((first, last)),
        }
    }
    spans
}

/// Whether a file between two others is missing or has no rows: what it should hold is unknown. Videos are numbered
/// along with the rest.
fn lacks_a_number(files: &[FileRead]) -> bool {
    let mut numbers: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let told = files.iter().filter(|file| file.span.is_some() || file.is_video);
    for (series, number) in told.filter_map(|file| number_in(&file.name)) {
        numbers.entry(series).or_default().insert(number);
    }
    let is_broken = |(one, next): (&u32, &u32)| next - one > 1;
    numbers.values().any(|numbers| numbers.iter().zip(numbers.iter().skip(1)).any(is_broken))
}

/// The number at the end of a name, such as "Streaming_History_Audio_2019-2020_3.json", and the series that it counts:
/// what stands before all digits. A year is no such number.
fn number_in(name: &str) -> Option<(String, u32)> {
    let name = name.trim_end_matches(".json");
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number: u32 = name[name.len() - digits..].parse().ok().filter(|number| *number < YEAR_MIN)?;
    let is_counted = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_');
    Some((name.trim_end_matches(is_counted).replace("Video", "Audio"), number))
}

async fn remove(store: &Store, account: &Account, which: Remove, json: bool) -> Result<Exit, CommandError> {
    let imports = store.imports(account.id).await?;
    let which = match (which, &imports[..]) {
        (Remove::Only, [only]) => RemovedImports::One(only.id),
        (Remove::Number(number), _) if imports.iter().any(|import| import.id == number) => RemovedImports::One(number),
        (Remove::All, [_, ..]) => RemovedImports::All,
        (_, []) => {
            let message = format!("nothing was imported for {}: there is nothing to remove", account.spotify_id);
            return Err(CommandError::new(Exit::Failed, message));
        }
        (Remove::Only | Remove::Number(_), _) => {
            let known = imports_text(&imports);
            let message = format!("import: --remove=NUMBER removes one of them, --remove=all all of them: {known}");
            return Err(CommandError::new(Exit::Usage, message));
        }
    };
    let removed = store.remove_imports(account.id, which).await?;
    if json {
        print_json(&removed_json(&account.spotify_id, &removed))?;
    } else {
        print(&removed_text(&account.spotify_id, &removed))?;
    }
    Ok(Exit::Done)
}

fn unreadable(error: &SourceError) -> CommandError {
    CommandError::new(Exit::Usage, format!("import: {error}"))
}

/// Reports what the files are instead, and where to get the right ones.
fn nothing_to_read(export: &Export) -> CommandError {
    let what = |content: &Content| match content {
        Content::Other(what) => Some(*what),
        Content::Empty => Some("an empty list"),
        Content::Library | Content::Playlists => Some("your library and playlists, which segno reads from the API"),
        Content::Extended | Content::Account => None,
    };
    let kinds: BTreeSet<&str> = export.documents().iter().filter_map(|document| what(&document.content)).collect();
    let found = if kinds.is_empty() {
        "there is no JSON file".to_owned()
    } else {
        let named: Vec<&str> = kinds.into_iter().take(WRONG_NAMED).collect();
        format!("this is {}", named.join("; "))
    };
    CommandError::new(
        Exit::Failed,
        format!(
            "no listening history was found: {found}. Ask for \"Extended streaming history\" at \
             spotify.com/account/privacy and give the zip that comes"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(first: &str, last: &str, name: &str) -> FileRead {
        FileRead {
            name: name.into(),
            content: Content::Extended,
            num_rows: 1,
            num_bad: 0,
            broken: None,
            span: Some((first.parse().expect("a moment"), last.parse().expect("a moment"))),
            is_video: name.contains("video"),
        }
    }

    #[test]
    fn a_missing_file_leaves_a_hole_and_a_video_file_closes_none() {
        let files = [
            file("2019-01-05T00:00:00Z", "2020-01-01T00:00:00Z", "b"),
            file("2018-01-01T00:00:00Z", "2019-01-01T00:00:00Z", "a"),
            file("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z", "d"),
            file("2018-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "video"),
        ];
        let years: Vec<String> =
            spans(&files).iter().map(|(from, to)| format!("{}-{}", from.format("%Y"), to.format("%Y"))).collect();
        assert_eq!(years, ["2018-2020", "2022-2023"]);
        let broken = FileRead { broken: Some("cut off".into()), ..files[0].clone() };
        assert_eq!(spans(&[broken]), []);
    }

    #[test]
    fn a_file_that_is_missing_or_broken_between_two_others_closes_nothing() {
        let numbered = |years: &str, number: u32, day: u32| {
            let at = |hour: u32| format!("2020-01-{day:02}T{hour:02}:00:00Z");
            file(&at(1), &at(23), &format!("my.zip, Streaming_History_Audio_{years}_{number}.json"))
        };
        let whole = [numbered("2019-2020", 0, 1), numbered("2020", 1, 2), numbered("2020-2021", 2, 3)];
        assert_eq!(spans(&whole).len(), 1);
        let [first, middle, last] = whole.clone();
        assert_eq!(spans(&[first.clone(), last.clone()]), []);
        let empty = FileRead { content: Content::Empty, num_rows: 0, span: None, ..middle.clone() };
        assert_eq!(spans(&[first.clone(), empty, last.clone()]), []);
        let broken = FileRead { broken: Some("cut off".into()), ..middle.clone() };
        assert_eq!(spans(&[first.clone(), broken, last.clone()]), []);
        let video = FileRead { is_video: true, name: middle.name.replace("Audio", "Video"), ..middle.clone() };
        assert_eq!(spans(&[first.clone(), video, last]).len(), 1);
        let of_years =
            [2018, 2020].map(|year| FileRead { name: format!("Streaming_History_Audio_{year}.json"), ..first.clone() });
        assert_eq!(spans(&of_years).len(), 1);
        assert_eq!(spans(&[first, middle]).len(), 1);
        let podcasts =
            FileRead { span: None, ..file("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "podcast_0.json") };
        assert_eq!(spans(&[podcasts]), []);
    }
}
