//! Where an export goes: stdout, a file, a folder of files, or a zip. Files are written under another name beside their
//! place and moved into it when complete.

use super::super::{CommandError, Exit};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Suffix of a file until it is complete.
const PART: &str = "segno-part";

pub(super) enum Out {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, to: PathBuf },
    Folder { folder: PathBuf, current: Option<(BufWriter<File>, PathBuf)>, written: Vec<PathBuf> },
    Zip { zip: Box<ZipWriter<BufWriter<File>>>, to: PathBuf },
}

impl Out {
    /// `name` is the name of a single file in a folder.
    pub(super) fn open(path: Option<&Path>, is_one_file: bool, name: &str) -> Result<Out, CommandError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            if !is_one_file {
                let message = "these are several lists: name a destination with --out FOLDER or --out FILE.zip";
                return Err(CommandError::new(Exit::Usage, message));
            }
            return Ok(Out::Stdout(BufWriter::new(io::stdout())));
        };
        let failed =
            |error: io::Error| CommandError::new(Exit::Failed, format!("cannot write to {}: {error}", path.display()));
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
            let file = File::create(part_of(path)).map_err(failed)?;
            return Ok(Out::Zip { zip: Box::new(ZipWriter::new(BufWriter::new(file))), to: path.to_owned() });
        }
        let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
        if is_one_file {
            let to = if is_folder { path.join(name) } else { path.to_owned() };
            if is_folder {
                fs::create_dir_all(path).map_err(failed)?;
            }
            let file = File::create(part_of(&to)).map_err(failed)?;
            return Ok(Out::File { file: BufWriter::new(file), to });
        }
        if path.exists() && !path.is_dir() {
            let message = format!("{} is not a folder, and these are several lists", path.display());
            return Err(CommandError::new(Exit::Usage, message));
        }
        fs::create_dir_all(path).map_err(failed)?;
        Ok(Out::Folder { folder: path.to_owned(), current: None, written: Vec::new() })
    }

    /// Begins a file of that name; if there is only one file, returns that.
    pub(super) fn file(&mut self, name: &str) -> io::Result<&mut (dyn Write + Send)> {
        match self {
            Out::Stdout(out) => Ok(out),
            Out::File { file, .. } => Ok(file),
            Out::Folder { folder, current, .. } => {
                let to = folder.join(name);
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                let file = BufWriter::new(File::create(part_of(&to))?);
                Ok(&mut current.insert((file, to)).0)
            }
            Out::Zip { zip, .. } => {
                zip.start_file(name, SimpleFileOptions::default()).map_err(io::Error::other)?;
                Ok(zip)
            }
        }
    }

    pub(super) fn end_file(&mut self) -> io::Result<()> {
        if let Out::Folder { current, written, .. } = self
            && let Some((mut file, to)) = current.take()
        {
            file.flush()?;
            written.push(to);
        }
        Ok(())
    }

    /// Moves everything into place. Returns where it is, unless on stdout.
    pub(super) fn finish(self) -> Result<Option<PathBuf>, CommandError> {
        self.put_in_place()
            .map_err(|error| CommandError::new(Exit::Failed, format!("cannot put the export in place: {error}")))
    }

    fn put_in_place(self) -> io::Result<Option<PathBuf>> {
        match self {
            Out::Stdout(mut out) => match out.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                Ok(()) | Err(_) => Ok(None),
            },
            Out::File { file, to } => {
                file.into_inner()?.sync_all()?;
                fs::rename(part_of(&to), &to)?;
                Ok(Some(to))
            }
            Out::Folder { folder, written, .. } => {
                written.iter().try_for_each(|to| fs::rename(part_of(to), to))?;
                Ok(Some(folder))
            }
            Out::Zip { zip, to } => {
                let file = zip.finish().map_err(io::Error::other)?;
                file.into_inner()?.sync_all()?;
                fs::rename(part_of(&to), &to)?;
                Ok(Some(to))
            }
        }
    }

    /// Removes everything half-written.
    pub(super) fn abandon(self) {
        let parts = match self {
            Out::Stdout(_) => Vec::new(),
            Out::File { to, .. } | Out::Zip { to, .. } => vec![to],
            Out::Folder { current, written, .. } => current.map(|(_, to)| to).into_iter().chain(written).collect(),
        };
        for to in parts {
            let _ = fs::remove_file(part_of(&to));
        }
    }
}

/// The name beside it under which a file is written.
fn part_of(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(PART);
    to.with_file_name(name)
}
