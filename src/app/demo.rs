//! `segno demo`: the whole thing against the sandbox, with nothing to set up.

use super::{
    CommandError, Exit,
    print,
    sync::{Finished, Job, is_complete},
};
use crate::{
    cli::{
        DemoArgs,
        numbers::{counted, grouped, span},
        progress::Display,
        report::SyncReport,
        voice::{complain, say},
    },
    config::{Config, Dirs},
    model::EntityType,
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

/// What the demo's database is called in the data folder.
const DATABASE_FILE: &str = "demo.db";

/// Longer than any pause the sandbox asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The log of a demo is for whoever asks for it.
pub fn log_filter() -> String {
    std::env::var("SEGNO_LOG").unwrap_or_else(|_| "warn".into())
}

pub async fn run(args: DemoArgs, display: Display) -> Result<Exit, CommandError> {
    let path = database_path(args.database)?;
    if args.fresh {
        remove(&path)?;
    }
    let is_first = !path.exists();
    let sandbox = start_sandbox(args.tracks, args.rate).await?;
    let config = config_for(&sandbox, args.rate)?;
    let url = DatabaseUrl::sqlite_file(&path);
    let label = super::process_label("demo");
    let store = Store::open(&url, &label).await?;
    let what = if is_first { "syncing a made-up library" } else { "syncing it again: an incremental run" };
    say(&format!("{what} from a stand-in server on {} into {}", sandbox.address(), path.display()));

    let job = Job {
        store: store.clone(),
        client: super::client(&config)?,
        label,
        entities: EntityType::ALL.to_vec(),
        longest_wait: LONGEST_WAIT,
        database: path.display().to_string(),
    };
    let Finished { report, exit, advice } = job.run(&config, &display).await?;
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
    print(&summary(&report, &counts, &path))?;
    Ok(exit)
}

fn database_path(asked: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    if let Some(path) = asked {
        return Ok(path);
    }
    let Some(folder) = Dirs::of_user().data else {
        return Err(CommandError::new(Exit::Usage, "there is no home folder to keep the demo in: use --database PATH"));
    };
    std::fs::create_dir_all(&folder).map_err(|error| {
        let folder = folder.display();
        CommandError::new(Exit::Usage, format!("cannot create the folder {folder}: {error}; use --database PATH"))
    })?;
    Ok(folder.join(DATABASE_FILE))
}

/// Removes the database of an earlier demo, and nothing that is not one.
fn remove(path: &Path) -> Result<(), CommandError> {
    let name = path.display();
    let refuse = |why: String| CommandError::new(Exit::Usage, format!("--fresh cannot remove {name}: {why}"));
    match std::fs::read(path).map(|bytes| bytes.is_empty() || bytes.starts_with(b"SQLite format 3\0")) {
        Ok(true) => {}
        Ok(false) => return Err(refuse("it is not a SQLite database".into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refuse(error.to_string())),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(refuse(error.to_string())),
        }
    }
    Ok(())
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

/// The default settings, with the sandbox for Spotify; whatever the environment says is left alone.
fn config_for(sandbox: &Sandbox, rate: u32) -> Result<Config, CommandError> {
    let url = |text: String| Url::parse(&text).expect("the sandbox gives valid addresses");
    let nothing: [(String, String); 0] = [];
    let dirs = Dirs { config: None, data: Some(PathBuf::from(".")) };
    let nowhere = Path::new("/nonexistent");
    let mut config = Config::load(None, nothing, nowhere, &dirs)?;
    config.spotify.api_url = url(sandbox.api_url());
    config.spotify.accounts_url = url(sandbox.accounts_url());
    config.spotify.client_id = Some(sandbox.client_id().to_owned());
    config.spotify.refresh_token = Some(SecretString::from(sandbox.refresh_token()));
    config.rate_limit.requests = Some(rate);
    Ok(config)
}

fn summary(report: &SyncReport, counts: &LibraryCounts, path: &Path) -> String {
    let mut out = String::new();
    let mut line = |what: &str, number: u64, more: String| {
        let _ = writeln!(out, "  {:>9}  {what}{more}", grouped(number));
    };
    let removed = |count: u32| if count == 0 { String::new() } else { format!(" ({} removed)", grouped(count.into())) };
    line("saved tracks", counts.saved_tracks.active.into(), removed(counts.saved_tracks.removed));
    line("saved albums", counts.saved_albums.active.into(), removed(counts.saved_albums.removed));
    line("followed artists", counts.followed_artists.active.into(), removed(counts.followed_artists.removed));
    let items = format!(" with {} items", grouped(counts.playlist_items));
    line("playlists", counts.playlists.active.into(), items + &removed(counts.playlists.removed));
    line("tracks, albums and artists in the catalogue", catalogue(counts), String::new());
    let requests = counted(report.num_requests, "request");
    let database = path.display();
    let _ = write!(
        out,
        "\nstored in {} with {requests}\ndatabase  {database}\n\nTry these, with: sqlite3 {}\n\n{QUERIES}\n\
         Run \"segno demo\" again: it asks only for what is new.\n",
        span(report.duration),
        quoted(&database.to_string()),
    );
    out
}

fn catalogue(counts: &LibraryCounts) -> u64 {
    counts.catalogue_tracks + counts.catalogue_albums + counts.catalogue_artists
}

/// For a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

const QUERIES: &str = "  -- what was saved last
  SELECT s.added_at, a.name AS artist, t.name AS track
  FROM saved_tracks s JOIN tracks t ON t.id = s.track_id
  JOIN track_artists ta ON ta.track_id = t.id AND ta.position = 0 JOIN artists a ON a.id = ta.artist_id
  WHERE s.removed_at IS NULL ORDER BY s.added_at DESC LIMIT 10;

  -- whose tracks were saved most
  SELECT a.name, count(*) AS tracks
  FROM saved_tracks s JOIN track_artists ta ON ta.track_id = s.track_id JOIN artists a ON a.id = ta.artist_id
  WHERE s.removed_at IS NULL GROUP BY a.id ORDER BY tracks DESC, a.name LIMIT 10;

  -- playlists, and what they hold
  SELECT p.name, p.owner_name, count(i.position) AS items, p.items_readable
  FROM library_playlists l JOIN playlists p ON p.id = l.playlist_id
  LEFT JOIN playlist_items i ON i.playlist_id = p.id
  WHERE l.removed_at IS NULL GROUP BY p.id, l.position ORDER BY l.position;
";
