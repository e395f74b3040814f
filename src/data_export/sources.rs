//! Where documents come from: files, folders and zips, as given by a person.
//!
//! Nothing is extracted, so the names inside a zip lead nowhere; they are only shown. How much is searched, how large a
//! document may be and how many there may be is bounded.

use super::content::{Content, read_beginning, recognise};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::result::ZipError;

/// Most documents of one import. The export of a long life has some thirty.
const DOCUMENTS_MAX: usize = 5000;

/// Deepest folder that is searched.
const DEPTH_MAX: usize = 8;

/// Longest document. Spotify cuts its files at 13 MB.
pub const DOCUMENT_LEN_MAX: u64 = 512 << 20;

/// Why nothing can be read from a path.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: it cannot be read as a zip archive: {reason}; download it again", .path.display())]
    BrokenZip { path: PathBuf, reason: String },
    #[error("{}: there are more than {DOCUMENTS_MAX} files in it; name the folder or zip of the export itself", .path.display())]
    TooMany { path: PathBuf },
}

/// Something that may hold rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    path: PathBuf,
    /// Its number in the zip that `path` is.
    entry: Option<usize>,
    /// As shown: with the zip that contains it.
    pub name: String,
    pub content: Content,
    /// In bytes, unpacked, as far as it is declared.
    pub len: u64,
}

impl Document {
    /// The last part of its name.
    pub fn base_name(&self) -> &str {
        base_name(&self.name)
    }
}

/// Finds the documents, reading only their beginnings.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Document>, SourceError> {
    let mut found = Found::default();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if metadata.is_dir() {
            found.add_folder(path, path, 0)?;
        } else {
            found.add_file(path, path, true)?;
        }
    }
    Ok(found.documents)
}

#[derive(Default)]
struct Found {
    documents: Vec<Document>,
}

impl Found {
    fn add_folder(&mut self, root: &Path, folder: &Path, depth: usize) -> Result<(), SourceError> {
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(|error| unreadable(folder, error))?.path());
            if names.len() > DOCUMENTS_MAX {
                return Err(SourceError::TooMany { path: root.to_owned() });
            }
        }
        names.sort();
        for path in names {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_left_out(&name) {
                continue;
            }
            // A link may lead anywhere, also back: only what is here is searched.
            match fs::symlink_metadata(&path) {
                Ok(at) if at.is_dir() && depth < DEPTH_MAX => self.add_folder(root, &path, depth + 1)?,
                Ok(at) if at.is_file() && has_ending(&name, &[".json", ".zip"]) => self.add_file(root, &path, false)?,
                Ok(_) => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(())
    }

    /// `is_named`: the person named this very file.
    fn add_file(&mut self, root: &Path, path: &Path, is_named: bool) -> Result<(), SourceError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shown = if is_named { name.clone() } else { shown_in(root, path) };
        let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
        let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
        if !metadata.is_file() {
            return Err(unreadable(path, io::Error::other("it is neither a file nor a folder")));
        }
        let beginning = read_beginning(&mut file).map_err(|error| unreadable(path, error))?;
        if beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"PK\x05\x06") {
            return self.add_zip(root, path, &shown);
        }
        if has_ending(&name, &[".zip"]) {
            return Err(broken_zip(path, "it does not begin like one"));
        }
        let content = recognise(&name, &beginning);
        self.add(root, Document { path: path.to_owned(), entry: None, name: shown, content, len: metadata.len() })
    }

    fn add_zip(&mut self, root: &Path, path: &Path, shown: &str) -> Result<(), SourceError> {
        let mut archive = open_zip(path)?;
        for number in 0..archive.len() {
            let mut entry = match archive.by_index(number) {
                Ok(entry) => entry,
                Err(error) => return Err(broken_zip(path, &error.to_string())),
            };
            // It is only shown, and never a path.
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            let is_left_out = name.split(['/', '\\']).any(|part| !matches!(part, "." | "..") && is_left_out(part));
            if entry.is_dir() || is_left_out || !has_ending(&name, &[".json"]) {
                continue;
            }
            let content = match read_beginning(&mut entry) {
                Ok(beginning) => recognise(base_name(&name), &beginning),
                Err(_) => Content::Other("a damaged file; download the export again"),
            };
            let len = entry.size();
            let name = format!("{shown}/{name}");
            self.add(root, Document { path: path.to_owned(), entry: Some(number), name, content, len })?;
        }
        Ok(())
    }

    fn add(&mut self, root: &Path, document: Document) -> Result<(), SourceError> {
        if self.documents.len() >= DOCUMENTS_MAX {
            return Err(SourceError::TooMany { path: root.to_owned() });
        }
        self.documents.push(document);
        Ok(())
    }
}

/// Opens documents one after the other; a zip stays open for its documents.
#[derive(Default)]
pub struct Opener {
    zip: Option<(PathBuf, ZipArchive<BufReader<File>>)>,
}

impl Opener {
    /// Passes the text of a document to `read`, without a byte order mark. One from a zip is unpacked once before, to
    /// its end, where its checksum is compared: no row of a damaged one is used.
    pub fn with<T>(
        &mut self,
        document: &Document,
        read: impl FnOnce(BufReader<&mut dyn Read>) -> T,
    ) -> Result<T, String> {
        let told = |error: io::Error| error.to_string();
        match document.entry {
            None => {
                let mut file = File::open(&document.path).map_err(told)?;
                without_mark(&mut file, read).map_err(told)
            }
            Some(number) => {
                if self.zip.as_ref().is_none_or(|(path, _)| *path != document.path) {
                    let archive = open_zip(&document.path).map_err(|error| error.to_string())?;
                    self.zip = Some((document.path.clone(), archive));
                }
                let (_, archive) = self.zip.as_mut().expect("it was just opened");
                let checked = io::copy(&mut unpack(archive, number)?.take(DOCUMENT_LEN_MAX + 1), &mut io::sink());
                checked.map_err(|error| format!("it is damaged ({error}); download the export again"))?;
                without_mark(&mut unpack(archive, number)?, read).map_err(told)
            }
        }
    }
}

fn unpack(archive: &mut ZipArchive<BufReader<File>>, number: usize) -> Result<impl Read + '_, String> {
    archive.by_index(number).map_err(|error| match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => "it needs a password".to_owned(),
        error => error.to_string(),
    })
}

fn without_mark<T>(reader: &mut dyn Read, read: impl FnOnce(BufReader<&mut dyn Read>) -> T) -> io::Result<T> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let mut start = Vec::with_capacity(MARK.len());
    reader.take(MARK.len() as u64).read_to_end(&mut start)?;
    let start = if start == MARK { Vec::new() } else { start };
    let mut whole = io::Cursor::new(start).chain(reader.take(DOCUMENT_LEN_MAX));
    Ok(read(BufReader::with_capacity(64 * 1024, &mut whole)))
}

/// The directory of a zip is read whole, so its declared length is checked first.
fn open_zip(path: &Path) -> Result<ZipArchive<BufReader<File>>, SourceError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
    let num_entries = num_entries(&mut file).map_err(|error| unreadable(path, error))?;
    if num_entries.is_some_and(|number| number > DOCUMENTS_MAX as u64) {
        return Err(SourceError::TooMany { path: path.to_owned() });
    }
    ZipArchive::new(BufReader::new(file)).map_err(|error| broken_zip(path, &error.to_string()))
}

/// How many entries the end record of a zip declares; for zip64, the record that it points to.
fn num_entries(file: &mut File) -> io::Result<Option<u64>> {
    const LONGEST_COMMENT: u64 = 65_535 + 22 + 20;
    let len = file.seek(SeekFrom::End(0))?;
    let from = len.saturating_sub(LONGEST_COMMENT);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(LONGEST_COMMENT).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let Some(at) = (0..end.len().saturating_sub(21)).rev().find(|at| end[*at..].starts_with(b"PK\x05\x06")) else {
        return Ok(None);
    };
    let short = u16::from_le_bytes([end[at + 10], end[at + 11]]);
    if short != u16::MAX || at < 20 || !end[at - 20..].starts_with(b"PK\x06\x07") {
        return Ok(Some(short.into()));
    }
    let offset = u64::from_le_bytes(end[at - 12..at - 4].try_into().expect("eight bytes"));
    let mut record = [0; 56];
    file.seek(SeekFrom::Start(offset))?;
    let read = file.read_exact(&mut record);
    file.seek(SeekFrom::Start(0))?;
    Ok(read.ok().map(|()| u64::from_le_bytes(record[32..40].try_into().expect("eight bytes"))))
}

/// Files that macOS and others add.
fn is_left_out(name: &str) -> bool {
    name == "__MACOSX" || name.starts_with('.')
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn shown_in(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn unreadable(path: &Path, error: io::Error) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), error }
}

fn broken_zip(path: &Path, reason: &str) -> SourceError {
    SourceError::BrokenZip { path: path.to_owned(), reason: reason.to_owned() }
}
