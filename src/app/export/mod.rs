//! `export`: exports the library and the listening history, from the database alone.

mod out;

use super::{
    CommandError, Exit, accounts,
    claim::this_process,
    database::{database_url, open_existing},
    signals::Signals,
};
use crate::{
    cli::{ExportArgs, numbers::counted, stderr::say},
    clock,
    config::Config,
    export::{
        ExportError, Format, Shape, Source, What,
        names::{Names, list_file, playlist_file},
    },
    model::text::seen,
    store::{PlaylistLine, Store, StoreError},
};
use indicatif::{ProgressBar, ProgressStyle};
use out::Out;
use std::{
    io::{self, IsTerminal},
    pin::pin,
    time::Duration,
};

pub async fn run(args: ExportArgs, config: &Config) -> Result<Exit, CommandError> {
    let whats = whats(&args)?;
    let (url, store) = (database_url(config)?, open_existing(config, "export").await?);
    let account = accounts::only(&store, args.account.account.as_deref(), "export").await?;
    let is_one_file = matches!(whats[..], [one] if one != What::Playlists) || args.playlist.is_some();
    let name = match (&args.playlist, whats.first()) {
        (Some(playlist), _) => playlist_file(playlist, args.format),
        (None, what) => list_file(what.copied().unwrap_or(What::All), args.format),
    };
    let mut out = Out::open(args.out.as_deref(), is_one_file, &name, &url)?;
    if args.format == Format::Parquet && matches!(out, Out::Stdout(_)) && io::stdout().is_terminal() {
        return Err(usage("parquet is not for a terminal: name a file with --out FILE, or pipe it".into()));
    }
    let mut signals = Signals::to_stop()?;
    // Readers keep less of the file in memory than writers.
    let readers = Store::open_readers(&url, &this_process("export").label)?;
    let mut job = Job {
        source: Source {
            export: readers.export().await?,
            readers,
            account,
            since: args.since.map(|since| since.moment(clock::now())),
        },
        shape: Shape { format: args.format, is_for_spreadsheets: args.spreadsheet, time: args.time },
        playlist: args.playlist,
        rows: Rows { progress: progress(), num: 0 },
        num_left_out: 0,
    };
    let written = {
        let mut writing = pin!(job.write(&whats, &mut out));
        tokio::select! {
            written = &mut writing => Some(written),
            () = signals.stop() => None,
        }
    };
    job.rows.progress.finish_and_clear();
    match written {
        None => {
            drop(out);
            Err(CommandError::new(Exit::Interrupted, "stopped; nothing was left half-written"))
        }
        Some(Err(error)) => {
            drop(out);
            // A reader that closes the pipe early is no reason to fail.
            if error.is_broken_pipe { Ok(Exit::Done) } else { Err(error.error) }
        }
        Some(Ok(())) => {
            let place = out.finish()?;
            job.source.export.finish().await?;
            if let Some(place) = place {
                say(&format!("wrote {} to {}", counted(job.rows.num, "row"), place.display()));
            }
            if job.num_left_out > 0 {
                let num = counted(job.num_left_out, "listen");
                say(&format!(
                    "{num} left out, as ListenBrainz requires: too short, private, not music, or without name or artist"
                ));
            }
            Ok(Exit::Done)
        }
    }
}

/// The requested lists that the format can hold.
fn whats(args: &ExportArgs) -> Result<Vec<What>, CommandError> {
    let format = args.format;
    let holds = |what: &What| what.is_held_by(format);
    let word = format.word();
    match args.what {
        _ if args.playlist.is_some() && !holds(&What::Playlists) => Err(usage(format!(
            "--format {word} holds no playlists: use csv, jsonl, parquet, exportify, m3u8, jspf or xspf"
        ))),
        _ if args.playlist.is_some() => Ok(vec![What::Playlists]),
        None | Some(What::All) => Ok(What::ALL.into_iter().filter(holds).collect()),
        Some(what) if holds(&what) => Ok(vec![what]),
        Some(what) => {
            Err(usage(format!("--format {word} does not hold {}: csv, jsonl and parquet hold everything", what.word())))
        }
    }
}

/// Why nothing was written.
struct Failed {
    error: CommandError,
    is_broken_pipe: bool,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed { error: error.into(), is_broken_pipe: false }
    }
}

impl From<ExportError> for Failed {
    fn from(error: ExportError) -> Failed {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Out(error) => error.into(),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Failed { error: CommandError::new(Exit::Failed, format!("cannot write the export: {error}")), is_broken_pipe }
    }
}

struct Job {
    source: Source,
    shape: Shape,
    /// The only playlist to export.
    playlist: Option<String>,
    rows: Rows,
    num_left_out: u64,
}

impl Job {
    async fn write(&mut self, whats: &[What], out: &mut Out) -> Result<(), Failed> {
        let mut names = Names::default();
        for what in whats {
            let name = list_file(*what, self.shape.format);
            names.reserve(&name);
            match what {
                What::Playlists => self.playlists(&mut names, out).await?,
                _ => self.list(*what, &name, out).await?,
            }
        }
        Ok(())
    }

    async fn list(&mut self, what: What, name: &str, out: &mut Out) -> Result<(), Failed> {
        let counted = self.rows.counter(what.word());
        self.num_left_out += self.source.write(what, self.shape, out.file(name)?, counted).await?;
        Ok(out.end_file()?)
    }

    /// The list of playlists if the format can hold one, and a file for each.
    async fn playlists(&mut self, names: &mut Names, out: &mut Out) -> Result<(), Failed> {
        let format = self.shape.format;
        let all = self.source.playlists().await?;
        if let Some(wanted) = &self.playlist {
            let found = find(&all, wanted).map_err(|error| Failed { error, is_broken_pipe: false })?;
            return self.items(found, &playlist_file(&found.name, format), out).await;
        }
        if format.is_general() {
            self.list(What::Playlists, &list_file(What::Playlists, format), out).await?;
        }
        for playlist in &all {
            let name = match format.is_general() {
                true => format!("playlists/{}", names.playlist_file(&playlist.name, format)),
                false => names.playlist_file(&playlist.name, format),
            };
            self.items(playlist, &name, out).await?;
        }
        Ok(())
    }

    async fn items(&mut self, playlist: &PlaylistLine, name: &str, out: &mut Out) -> Result<(), Failed> {
        let counted = self.rows.counter("playlists");
        self.source.write_items(playlist, self.shape, out.file(name)?, counted).await?;
        Ok(out.end_file()?)
    }
}

/// The number of rows so far.
struct Rows {
    progress: ProgressBar,
    num: u64,
}

impl Rows {
    fn counter(&mut self, what: &str) -> impl AsyncFnMut(usize) -> io::Result<()> {
        async move |num| {
            self.num += num as u64;
            self.progress.set_message(format!("{what}: {}", counted(self.num, "row")));
            self.progress.tick();
            Ok(())
        }
    }
}

fn find<'a>(all: &'a [PlaylistLine], wanted: &str) -> Result<&'a PlaylistLine, CommandError> {
    let by_name = || all.iter().filter(|playlist| playlist.name == wanted);
    if let Some(playlist) = all.iter().find(|playlist| playlist.id == wanted) {
        return Ok(playlist);
    }
    match (by_name().next(), by_name().count()) {
        (Some(playlist), 1) => Ok(playlist),
        (None, _) => Err(usage(format!(
            "there is no playlist called {:?} in this library; \"segno export playlists --format csv\" lists them",
            seen(wanted)
        ))),
        (Some(_), num) => {
            let ids: Vec<&str> = by_name().map(|playlist| playlist.id.as_str()).collect();
            Err(usage(format!("{num} playlists are called {:?}: name one by its id, {}", seen(wanted), ids.join(", "))))
        }
    }
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn usage(message: String) -> CommandError {
    CommandError::new(Exit::Usage, message)
}
