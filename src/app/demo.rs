//! `segno demo`: the whole program against the sandbox, with nothing to set up.

mod page;

use super::{
    CommandError, Exit,
    database::create_folder,
    demo_file::{self, Found},
    print,
    sync::{Finished, Job, is_complete},
};
use crate::{
    cli::{
        DEMO_TRACKS, DemoArgs,
        numbers::{counted, grouped, span},
        progress::Display,
        report::SyncReport,
        stderr::{complain, say},
    },
    clock,
    config::{Config, Dirs},
    engine::run::Purpose,
    model::{EntityType, Family, Phase, status::EntityStatus},
    sandbox::{self, LibrarySpec, Limits, Sandbox},
    store::{DatabaseUrl, LibraryCounts, Store},
};
use secrecy::SecretString;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Name of the demo's database in the data folder.
const DATABASE_FILE: &str = "demo.db";

/// Longer than any pause the sandbox asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A demo logs only on request.
pub fn log_filter() -> String {
    std::env::var("SEGNO_LOG").unwrap_or_else(|_| "warn".into())
}

pub async fn run(args: DemoArgs, display: Display) -> Result<Exit, CommandError> {
    let path = database_path(args.database.clone())?;
    let sandbox = start_sandbox(args.tracks, args.rate).await?;
    let found = demo_file::look(&path, sandbox.client_id()).map_err(|why| not_ours(&path, &why))?;
    if args.fresh && found == Found::Demo {
        demo_file::remove(&path).map_err(|error| not_ours(&path, &format!("cannot be removed: {error}")))?;
    }
    let config = config_for(&sandbox, args.rate, &[])?;
    let owner = super::claim::this_process("demo");
    let store = Store::open(&DatabaseUrl::sqlite_file(&path), &owner.label).await?;
    let before = before(&store, &args, &path).await?;
    demo_file::note_size(&path, args.tracks).map_err(|error| unreadable(&path, &*error))?;
    forget_the_last_server(&store).await?;
    if args.page {
        drop(store);
        return page::run(&sandbox, args.rate, &path).await;
    }
    let what = match before {
        Before::Nothing => "syncing a made-up library",
        Before::Part => "carrying on with a made-up library",
        Before::Whole => "syncing a made-up library again, in an incremental run,",
    };
    say(&format!("{what} from a stand-in server on {} into {}", sandbox.address(), path.display()));

    let job = Job {
        account: None,
        store: store.clone(),
        client: super::client(&config)?,
        owner,
        entities: EntityType::ALL.to_vec(),
        are_all_meant: true,
        purpose: Purpose::Current,
        longest_wait: LONGEST_WAIT,
        confirms_removals: false,
        database: path.display().to_string(),
    };
    let Finished { mut reports, exit, advice } = job.run(&config, &display).await?;
    // The sandbox has one account.
    let Some(report) = reports.pop() else { return Ok(exit) };
    sandbox.stop().await;
    if exit != Exit::Done || !is_complete(&report) {
        print(&report.text())?;
        advice.iter().for_each(|advice| complain(advice));
        return Ok(exit);
    }
    let account = store.accounts().await?.into_iter().next();
    let counts = match account {
        Some(account) => store.library_counts(account.id).await?,
        None => LibraryCounts::default(),
    };
    print(&summary(&report, &counts, &args, &path, before))?;
    Ok(exit)
}

/// What the database contained when the demo began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A first sync that was interrupted.
    Part,
    Whole,
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> CommandError {
    CommandError::new(Exit::Failed, format!("{}: {error}", path.display()))
}

/// A library made in another size is another library: syncing it over this one would be a mass removal, and no demo.
async fn before(store: &Store, args: &DemoArgs, path: &Path) -> Result<Before, CommandError> {
    let entities = store.status(clock::now()).await?.accounts.into_iter().next().map(|account| account.entities);
    let entities = entities.unwrap_or_default();
    let tracks = entities.iter().find(|seen| seen.entity_type == EntityType::Tracks);
    let noted = demo_file::noted_size(path).map_err(|error| unreadable(path, &*error))?;
    let made_for = noted.or_else(|| tracks.and_then(|seen| seen.total));
    if let Some(size) = made_for.filter(|size| *size != args.tracks) {
        let path = path.display();
        let (held, asked) = (grouped(size.into()), grouped(args.tracks.into()));
        let message = format!(
            "{path} holds a made-up library of {held} tracks, not of {asked}; say --tracks {size} to go on with it, \
             --fresh to start over"
        );
        return Err(CommandError::new(Exit::Usage, message));
    }
    let is_read = |seen: &EntityStatus| seen.phase == Phase::IncrementalSync || seen.completed_at.is_some();
    Ok(match entities.len() {
        0 => Before::Nothing,
        num if num == EntityType::ALL.len() && entities.iter().all(is_read) => Before::Whole,
        _ => Before::Part,
    })
}

/// Each demo has a server of its own, which knows nothing of what was sent to the last one.
async fn forget_the_last_server(store: &Store) -> Result<(), CommandError> {
    store.forget_sent().await?;
    store.clear_pause(Family::Application).await?;
    store.forget_learned_rate().await?;
    Ok(())
}

fn not_ours(path: &Path, why: &str) -> CommandError {
    let path = path.display();
    CommandError::new(Exit::Usage, format!("{path} {why}; name another file with --database"))
}

fn database_path(asked: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    if let Some(path) = asked {
        return Ok(path);
    }
    let Some(folder) = Dirs::of_user().data else {
        return Err(CommandError::new(Exit::Usage, "there is no home folder to keep the demo in: use --database PATH"));
    };
    create_folder(&folder).map_err(|error| {
        let folder = folder.display();
        CommandError::new(Exit::Usage, format!("cannot create the folder {folder}: {error}; use --database PATH"))
    })?;
    Ok(folder.join(DATABASE_FILE))
}

async fn start_sandbox(tracks: u32, rate: u32) -> Result<Sandbox, CommandError> {
    let config = sandbox::Config {
        library: LibrarySpec { tracks: tracks as usize, ..LibrarySpec::default() },
        limits: Limits::rate(rate, Duration::from_secs(30)),
        control: false,
        ..sandbox::Config::default()
    };
    Sandbox::start(config)
        .await
        .map_err(|error| CommandError::new(Exit::Failed, format!("the stand-in server cannot start: {error}")))
}

/// The default settings, with the sandbox in place of Spotify; the environment is ignored.
fn config_for(sandbox: &Sandbox, rate: u32, settings: &[(&str, &str)]) -> Result<Config, CommandError> {
    let url = |text: String| Url::parse(&text).expect("the sandbox gives valid addresses");
    let dirs = Dirs { config: None, data: Some(PathBuf::from(".")) };
    let nowhere = Path::new("/nonexistent");
    let mut config = Config::load(None, settings.iter().copied(), nowhere, &dirs)?;
    config.spotify.api_url = url(sandbox.api_url());
    config.spotify.accounts_url = url(sandbox.accounts_url());
    config.spotify.client_id = Some(sandbox.client_id().to_owned());
    config.spotify.refresh_token = Some(SecretString::from(sandbox.refresh_token()));
    config.rate_limit.requests = Some(rate);
    Ok(config)
}

fn summary(report: &SyncReport, counts: &LibraryCounts, args: &DemoArgs, path: &Path, before: Before) -> String {
    let mut out = String::new();
    let mut line = |what: &str, number: u64, more: String| {
        let _ = writeln!(out, "  {:>9}  {what}{more}", grouped(number));
    };
    let removed = |count: u32| if count == 0 { String::new() } else { format!(" ({} removed)", grouped(count.into())) };
    for (entity, count) in counts.members.iter() {
        let items =
            if entity.has_items() { format!(" with {} items", grouped(counts.playlist_items)) } else { String::new() };
        line(entity.facts().members, count.active.into(), items + &removed(count.removed));
    }
    line("tracks, albums and artists in the catalogue", catalogue(counts), String::new());
    for remark in report.remarks() {
        let _ = writeln!(out, "{remark}");
    }
    let (requests, took) = (counted(report.num_requests, "request"), span(report.duration));
    let _ = match before {
        Before::Nothing | Before::Part => writeln!(out, "\nstored in {took} with {requests}"),
        Before::Whole => writeln!(out, "\nbrought up to date in {took} with {requests}: {}", changes(report)),
    };
    let database = path.display().to_string();
    let _ = write!(
        out,
        "database  {database}\n\nTry these, with: sqlite3 {}\n\n{QUERIES}\n\
         Run \"{}\" again: it asks only for what is new.\n",
        quoted(&database),
        command(args),
    );
    out
}

/// "12 new, 1 updated, 3 removed", over all entity types.
fn changes(report: &SyncReport) -> String {
    let sum = report.counts();
    let [new, updated, removed] = [sum.new, sum.updated, sum.removed].map(|count| grouped(count.into()));
    format!("{new} new, {updated} updated, {removed} removed")
}

/// The command that continues with this library.
fn command(args: &DemoArgs) -> String {
    let mut command = "segno demo".to_owned();
    if args.tracks != DEMO_TRACKS {
        let _ = write!(command, " --tracks {}", args.tracks);
    }
    if let Some(database) = &args.database {
        let _ = write!(command, " --database {}", quoted(&database.display().to_string()));
    }
    command
}

fn catalogue(counts: &LibraryCounts) -> u64 {
    counts.catalogue_tracks + counts.catalogue_albums + counts.catalogue_artists
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

const QUERIES: &str = "  -- what was saved last
  SELECT s.added_at, a.name AS artist, t.name AS track
  FROM saved_tracks s
  JOIN tracks t ON t.id = s.track_id
  JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0
  JOIN artists a ON a.id = ta.artist_id
  WHERE s.removed_at IS NULL ORDER BY s.added_at DESC LIMIT 10;

  -- whose tracks were saved most
  SELECT a.name, count(*) AS tracks
  FROM saved_tracks s
  JOIN track_artists ta ON ta.track_id = s.track_id
  JOIN artists a ON a.id = ta.artist_id
  WHERE s.removed_at IS NULL
  GROUP BY a.id ORDER BY tracks DESC, a.name LIMIT 10;

  -- playlists, and what they hold
  SELECT p.name, p.owner_name, count(i.position) AS items, p.items_readable
  FROM library_playlists l
  JOIN playlists p ON p.id = l.playlist_id
  LEFT JOIN playlist_items i ON i.playlist_id = p.id
  WHERE l.removed_at IS NULL
  GROUP BY p.id, l.position ORDER BY l.position;
";
