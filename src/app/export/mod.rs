//! `export`: hands the library and the listening history on, from the database alone.

mod out;

use super::{
    CommandError, Exit, accounts, claim::this_process, database_url, maintenance::open_existing, signals::Signals,
};
use crate::{
    cli::{ExportArgs, What, numbers::counted, voice::say},
    clock,
    config::Config,
    export::{Format, Listens, Table, Tracks},
    model::{EntityType, text::seen},
    store::{Account, Export, PlaylistLine, SpokenLine, Store, StoreError, TrackLine, browse::ChangeEntry},
};
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use out::Out;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write},
    pin::pin,
    time::Duration,
};

/// Longest file name that is made of a playlist's name, in characters.
const NAME_LEN_MAX: usize = 80;

pub async fn run(args: ExportArgs, config: &Config) -> Result<Exit, CommandError> {
    let whats = whats(&args)?;
    let store = open_existing(config, "export").await?;
    let account = whose(&store, &args).await?;
    let is_one_file = matches!(whats[..], [one] if one != What::Playlists) || args.playlist.is_some();
    let name = file_name(match (&args.playlist, whats.first()) {
        (Some(playlist), _) => playlist,
        (None, Some(What::Tracks)) if args.format == Format::Exportify => "liked",
        (None, what) => what.map_or("export", |what| what.word()),
    });
    let mut out = Out::open(args.out.as_deref(), is_one_file, &format!("{name}.{}", args.format.extension()))?;
    let mut signals = Signals::to_stop()?;
    let mut job = Job {
        since: args.since.map(|since| since.moment(clock::now())),
        export: store.export().await?,
        progress: progress(),
        num_rows: 0,
        num_left_out: 0,
        account,
        // The store's own connection is busy with the export.
        readers: Store::open_readers(&database_url(config)?, &this_process("export").label)?,
        args,
    };
    let written = {
        let mut writing = pin!(job.write(&whats, &mut out));
        tokio::select! {
            written = &mut writing => Some(written),
            () = signals.stop() => None,
        }
    };
    job.progress.finish_and_clear();
    match written {
        None => {
            out.abandon();
            Err(CommandError::new(Exit::Interrupted, "stopped; nothing was left half-written"))
        }
        Some(Err(error)) => {
            out.abandon();
            // A reader that has seen enough is no reason to fail.
            if error.is_broken_pipe { Ok(Exit::Done) } else { Err(error.error) }
        }
        Some(Ok(())) => {
            let place = out.finish()?;
            job.export.finish().await?;
            if let Some(place) = place {
                say(&format!("wrote {} to {}", counted(job.num_rows, "row"), place.display()));
            }
            if job.num_left_out > 0 {
                let num = counted(job.num_left_out, "listen");
                say(&format!("{num} without a name or an artist left out: this format cannot hold them"));
            }
            Ok(Exit::Done)
        }
    }
}

/// What the format can hold of what was asked for.
fn whats(args: &ExportArgs) -> Result<Vec<What>, CommandError> {
    let format = args.format;
    let holds = |what: &What| match what {
        What::Tracks | What::Playlists => !format.is_of_listening(),
        What::Listening => format.is_general() || format.is_of_listening(),
        What::Albums | What::Artists | What::Shows | What::Episodes | What::Audiobooks | What::Changes => {
            format.is_general()
        }
        What::All => true,
    };
    let word = format.word();
    match args.what {
        _ if args.playlist.is_some() && !holds(&What::Playlists) => {
            Err(usage(format!("--format {word} holds no playlists: take csv, jsonl, exportify, m3u8, jspf or xspf")))
        }
        _ if args.playlist.is_some() => Ok(vec![What::Playlists]),
        None | Some(What::All) => Ok(What::ALL.into_iter().filter(holds).collect()),
        Some(what) if holds(&what) => Ok(vec![what]),
        Some(what) => {
            Err(usage(format!("--format {word} does not hold {}: csv and jsonl hold everything", what.word())))
        }
    }
}

async fn whose(store: &Store, args: &ExportArgs) -> Result<Account, CommandError> {
    let sign_ins = store.sign_ins().await?;
    match (&args.account.account, &sign_ins[..]) {
        (Some(wanted), _) => Ok(accounts::find(&sign_ins, wanted)?.account.clone()),
        (None, [one]) => Ok(one.account.clone()),
        (None, []) => Err(CommandError::new(
            Exit::Failed,
            "no account has been synced into this database yet: run \"segno sync\"",
        )),
        (None, _) => {
            Err(usage(format!("there are several accounts: name one with --account, {}", accounts::names(&sign_ins))))
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

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Failed { error: CommandError::new(Exit::Failed, format!("cannot write the export: {error}")), is_broken_pipe }
    }
}

struct Job {
    args: ExportArgs,
    readers: Store,
    account: Account,
    since: Option<DateTime<Utc>>,
    export: Export,
    progress: ProgressBar,
    num_rows: u64,
    num_left_out: u64,
}

impl Job {
    async fn write(&mut self, whats: &[What], out: &mut Out) -> Result<(), Failed> {
        for what in whats {
            let name = format!("{}.{}", what.word(), self.args.format.extension());
            match what {
                What::Tracks => self.tracks(out).await?,
                What::Albums => self.albums(out.file(&name)?).await?,
                What::Artists => self.artists(out.file(&name)?).await?,
                What::Shows | What::Episodes | What::Audiobooks => self.spoken(*what, out.file(&name)?).await?,
                What::Playlists => self.playlists(out).await?,
                What::Listening if self.args.format.is_of_listening() => self.listens(out).await?,
                What::Listening => self.plays(out.file(&name)?).await?,
                What::Changes => self.changes(out.file(&name)?).await?,
                What::All => {}
            }
            out.end_file()?;
        }
        Ok(())
    }

    fn table<'a>(&self, out: &'a mut dyn Write) -> Table<&'a mut dyn Write> {
        Table::new(self.args.format, out, self.args.spreadsheet)
    }

    fn count(&mut self, what: &str, num: usize) {
        self.num_rows += num as u64;
        self.progress.set_message(format!("{what}: {}", counted(self.num_rows, "row")));
        self.progress.tick();
    }

    async fn tracks(&mut self, out: &mut Out) -> Result<(), Failed> {
        let name = if self.args.format == Format::Exportify { "liked" } else { "tracks" };
        let file = out.file(&format!("{name}.{}", self.args.format.extension()))?;
        let Some(mut tracks) = Tracks::begin(self.args.format, file, "Liked Songs", self.args.spreadsheet)? else {
            return Ok(());
        };
        let mut page = self.export.tracks(self.account.id, self.since, None).await?;
        while let Some(last) = page.last() {
            page.iter().try_for_each(|line| tracks.write(line))?;
            self.count("tracks", page.len());
            page = self.export.tracks(self.account.id, self.since, Some(last)).await?;
        }
        tracks.finish()?;
        Ok(())
    }

    async fn albums(&mut self, file: &mut dyn Write) -> Result<(), Failed> {
        let mut table = self.table(file);
        let mut page = self.export.albums(self.account.id, self.since, None).await?;
        while let Some(last) = page.last() {
            page.iter().try_for_each(|line| table.album(line))?;
            self.count("albums", page.len());
            page = self.export.albums(self.account.id, self.since, Some(last)).await?;
        }
        table.finish()?;
        Ok(())
    }

    async fn artists(&mut self, file: &mut dyn Write) -> Result<(), Failed> {
        let mut table = self.table(file);
        let mut page = self.export.artists(self.account.id, self.since, None).await?;
        while let Some(last) = page.last() {
            page.iter().try_for_each(|line| table.artist(line))?;
            self.count("artists", page.len());
            page = self.export.artists(self.account.id, self.since, Some(last)).await?;
        }
        table.finish()?;
        Ok(())
    }

    async fn spoken(&mut self, what: What, file: &mut dyn Write) -> Result<(), Failed> {
        let mut table = self.table(file);
        let mut page: Vec<SpokenLine> = Vec::new();
        loop {
            let (account, since, after) = (self.account.id, self.since, page.last());
            page = match what {
                What::Shows => self.export.shows(account, since, after).await?,
                What::Episodes => self.export.episodes(account, since, after).await?,
                _ => self.export.audiobooks(account, since, after).await?,
            };
            if page.is_empty() {
                break;
            }
            page.iter().try_for_each(|line| table.spoken(line))?;
            self.count(what.word(), page.len());
        }
        table.finish()?;
        Ok(())
    }

    async fn plays(&mut self, file: &mut dyn Write) -> Result<(), Failed> {
        let mut table = self.table(file);
        let mut page = self.export.plays(self.account.id, self.since, None).await?;
        while let Some(last) = page.last() {
            page.iter().try_for_each(|line| table.play(line))?;
            self.count("listening", page.len());
            page = self.export.plays(self.account.id, self.since, Some(last)).await?;
        }
        table.finish()?;
        Ok(())
    }

    async fn listens(&mut self, out: &mut Out) -> Result<(), Failed> {
        // As Spotify calls them, so that what reads them knows them.
        let name = if self.args.format == Format::Spotify { "Streaming_History_Audio_0" } else { "listens" };
        let file = out.file(&format!("{name}.{}", self.args.format.extension()))?;
        let mut listens = Listens::begin(self.args.format, self.args.time, file)?;
        let mut page = self.export.plays(self.account.id, self.since, None).await?;
        while let Some(last) = page.last() {
            page.iter().try_for_each(|line| listens.write(line))?;
            self.count("listening", page.len());
            page = self.export.plays(self.account.id, self.since, Some(last)).await?;
        }
        self.num_left_out += listens.num_left_out;
        listens.finish()?;
        Ok(())
    }

    async fn changes(&mut self, file: &mut dyn Write) -> Result<(), Failed> {
        let mut table = self.table(file);
        let since = self.since.unwrap_or(DateTime::UNIX_EPOCH);
        let mut changes = self.readers.changes(&[self.account.id], EntityType::ALL, since);
        while let Some(change) = changes.next().await? {
            table.change(&ChangeEntry::new(change, &self.account.spotify_id))?;
            self.count("changes", 1);
        }
        table.finish()?;
        Ok(())
    }

    /// The list of playlists where the format can hold one, and a file for each.
    async fn playlists(&mut self, out: &mut Out) -> Result<(), Failed> {
        let all = self.export.playlists(self.account.id).await?;
        if let Some(wanted) = self.args.playlist.clone() {
            let found = find(&all, &wanted).map_err(|error| Failed { error, is_broken_pipe: false })?;
            return self.playlist(found, None, out).await;
        }
        if self.args.format.is_general() {
            let mut table = self.table(out.file(&format!("playlists.{}", self.args.format.extension()))?);
            all.iter().try_for_each(|line| table.playlist(line))?;
            table.finish()?;
            out.end_file()?;
            self.count("playlists", all.len());
        }
        let mut taken = BTreeSet::new();
        for playlist in &all {
            let name = unique(file_name(&playlist.name), &mut taken);
            let folder = if self.args.format.is_general() { "playlists/" } else { "" };
            let name = format!("{folder}{name}.{}", self.args.format.extension());
            self.playlist(playlist, Some(name), out).await?;
            out.end_file()?;
        }
        Ok(())
    }

    /// In a file of that name, or in the only one.
    async fn playlist(&mut self, playlist: &PlaylistLine, name: Option<String>, out: &mut Out) -> Result<(), Failed> {
        let name = name.unwrap_or_else(|| format!("{}.{}", file_name(&playlist.name), self.args.format.extension()));
        let file = out.file(&name)?;
        let Some(mut tracks) = Tracks::begin(self.args.format, file, &playlist.name, self.args.spreadsheet)? else {
            return Ok(());
        };
        let mut page = self.export.items(&playlist.id, None).await?;
        while let Some(TrackLine { position: last, .. }) = page.last() {
            page.iter().try_for_each(|line| tracks.write(line))?;
            let last = *last;
            self.count("playlists", page.len());
            page = self.export.items(&playlist.id, last).await?;
        }
        tracks.finish()?;
        Ok(())
    }
}

fn find<'a>(all: &'a [PlaylistLine], wanted: &str) -> Result<&'a PlaylistLine, CommandError> {
    let by_name = || all.iter().filter(|playlist| playlist.name == wanted);
    if let Some(playlist) = all.iter().find(|playlist| playlist.id == wanted) {
        return Ok(playlist);
    }
    match (by_name().next(), by_name().count()) {
        (Some(playlist), 1) => Ok(playlist),
        (None, _) => Err(usage(format!("there is no playlist called {:?} in this library", seen(wanted)))),
        (Some(_), num) => {
            let ids: Vec<&str> = by_name().map(|playlist| playlist.id.as_str()).collect();
            Err(usage(format!("{num} playlists are called {:?}: name one by its id, {}", seen(wanted), ids.join(", "))))
        }
    }
}

/// As Exportify makes it: in small letters, without what file systems or shells do not like.
fn file_name(name: &str) -> String {
    let mut made = String::new();
    for c in name.to_lowercase().chars().take(NAME_LEN_MAX) {
        let is_odd = c.is_control() || c.is_whitespace() || "/\\<>:;\"|=,.?*[]".contains(c);
        match c {
            _ if !is_odd => made.push(c),
            _ if !made.ends_with('_') => made.push('_'),
            _ => {}
        }
    }
    if made.is_empty() { "_".to_owned() } else { made }
}

/// Two playlists may have one name.
fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.expect("numbers do not end");
    taken.insert(free.clone());
    free
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_harmless_and_differ() {
        for (name, expected) in [
            ("Road Trip", "road_trip"),
            ("../../etc/passwd", "_etc_passwd"),
            ("a \u{1b}[2J. b", "a_2j_b"),
            ("", "_"),
            ("Ünïcödé 日本", "ünïcödé_日本"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        let mut taken = BTreeSet::new();
        let names: Vec<String> = ["a", "a", "a_2", "a"].map(|name| unique(name.into(), &mut taken)).into();
        assert_eq!(names, ["a", "a_2", "a_2_2", "a_3"]);
    }
}
