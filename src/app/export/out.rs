//! Where an export goes: stdout, a file, a folder of files, or a zip. Files are moved into their place when complete.

use super::super::{CommandError, Exit};
use crate::{
    export::ExportError,
    parts::{Access, Part},
    store::{DatabaseUrl, refuse_to_replace},
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Dropping it removes everything that is not in its place.
pub(super) enum Out {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, part: Part, to: PathBuf },
    Folder { folder: PathBuf, database: DatabaseUrl, current: Option<(BufWriter<File>, Part)>, written: Vec<Part> },
    Zip { zip: Box<ZipWriter<BufWriter<File>>>, part: Part, to: PathBuf },
}

impl Out {
    /// `name` is the name of a single file in a folder. Nothing may take the place of `database`, which is open.
    pub(super) fn open(
        path: Option<&Path>,
        is_one_file: bool,
        name: &str,
        database: &DatabaseUrl,
    ) -> Result<Out, CommandError> {
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
            refuse_to_replace(database, path)?;
            let (part, file) = Part::create(path, Access::Usual).map_err(failed)?;
            return Ok(Out::Zip { zip: Box::new(ZipWriter::new(BufWriter::new(file))), part, to: path.to_owned() });
        }
        let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
        if is_one_file {
            let to = if is_folder { path.join(name) } else { path.to_owned() };
            if is_folder {
                fs::create_dir_all(path).map_err(failed)?;
            }
            refuse_to_replace(database, &to)?;
            let (part, file) = Part::create(&to, Access::Usual).map_err(failed)?;
            return Ok(Out::File { file: BufWriter::new(file), part, to });
        }
        refuse_to_replace(database, path)?;
        if path.exists() && !path.is_dir() {
            let message = format!("{} is not a folder, and these are several lists", path.display());
            return Err(CommandError::new(Exit::Usage, message));
        }
        fs::create_dir_all(path).map_err(failed)?;
        let (folder, database) = (path.to_owned(), database.clone());
        Ok(Out::Folder { folder, database, current: None, written: Vec::new() })
    }

    /// Begins a file of that name; if there is only one file, returns that.
    pub(super) fn file(&mut self, name: &str) -> Result<&mut (dyn Write + Send), ExportError> {
        match self {
            Out::Stdout(out) => Ok(out),
            Out::File { file, .. } => Ok(file),
            Out::Folder { folder, database, current, .. } => {
                let to = folder.join(name);
                refuse_to_replace(database, &to)?;
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                let (part, file) = Part::create(&to, Access::Usual)?;
                Ok(&mut current.insert((BufWriter::new(file), part)).0)
            }
            Out::Zip { zip, .. } => {
                zip.start_file(name, SimpleFileOptions::default()).map_err(io::Error::other)?;
                Ok(zip)
            }
        }
    }

    pub(super) fn end_file(&mut self) -> io::Result<()> {
        if let Out::Folder { current, written, .. } = self
            && let Some((mut file, part)) = current.take()
        {
            file.flush()?;
            written.push(part);
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
            Out::File { file, part, to } => {
                file.into_inner()?.sync_all()?;
                part.put_in_place()?;
                Ok(Some(to))
            }
            Out::Folder { folder, written, .. } => {
                written.into_iter().try_for_each(Part::put_in_place)?;
                Ok(Some(folder))
            }
            Out::Zip { zip, part, to } => {
                let file = zip.finish().map_err(io::Error::other)?;
                file.into_inner()?.sync_all()?;
                part.put_in_place()?;
                Ok(Some(to))
            }
        }
    }
}
