//! Reads the files that Spotify gives a person on request: the extended streaming history and the account data.
//!
//! Everything here comes from a file that anybody may have made. It is read from front to back, a row at a time, in
//! constant memory: [`elements`] bounds the cost of a row, [`sources`] that of a document. A row that makes no sense costs
//! that row, a truncated document what follows the break, and both are counted. A zip knows the checksum of each document:
//! one that is damaged costs all its rows, since any of them may be wrong.

mod content;
mod elements;
mod names;
mod rows;
mod sources;
#[cfg(test)]
mod tests;

pub use content::{Content, TECHNICAL_LOG};
pub use sources::{Document, SourceError};

use crate::model::stream::Stream;
use chrono::{DateTime, Utc};
use elements::{Element, Elements};
use names::Names;
use rows::{AccountWire, BadRow, ExtendedWire};
use sources::{DOCUMENT_LEN_MAX, Opener};
use std::io::BufRead;
use std::path::PathBuf;

/// Streams passed on at once.
const BATCH_LEN: usize = 1000;

/// Documents of an export, found and not yet read.
#[derive(Debug)]
pub struct Export {
    documents: Vec<Document>,
}

/// What was read of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRead {
    pub name: String,
    pub content: Content,
    pub num_rows: u64,
    /// Rows without a usable stream.
    pub num_bad: u64,
    /// Why it was not read to its end.
    pub broken: Option<String>,
    /// When its streams were logged.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Videos span years that the other files of the same export need not cover.
    pub is_video: bool,
}

/// Rows on their way to the database.
#[derive(Debug)]
pub struct Batch {
    pub streams: Vec<Stream>,
    /// Over all documents, in bytes.
    pub num_bytes_done: u64,
}

/// The rows are no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Export {
    /// Finds the documents.
    pub fn find(paths: &[PathBuf]) -> Result<Export, SourceError> {
        let mut documents = sources::find(paths)?;
        // Names first, then rows with ids, then rows with names only: if both cover a day, ids are better.
        documents.sort_by_key(|document| match document.content {
            Content::Library | Content::Playlists => 0,
            Content::Extended => 1,
            Content::Account => 2,
            Content::Empty | Content::Other(_) => 3,
        });
        Ok(Export { documents })
    }

    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub fn has_history(&self) -> bool {
        self.documents.iter().any(|document| document.content.is_history())
    }

    /// Size of everything to be read, as far as it is known.
    pub fn num_bytes(&self) -> u64 {
        self.documents.iter().map(len).sum()
    }

    /// Reads all of it, in this thread.
    pub fn read(&self, mut take: impl FnMut(Batch) -> Result<(), Stopped>) -> Result<Vec<FileRead>, Stopped> {
        let mut reading = Reading { names: Names::default(), streams: Vec::new(), num_bytes_done: 0, take: &mut take };
        let mut opener = Opener::default();
        let mut files = Vec::new();
        for document in &self.documents {
            let before = reading.num_bytes_done;
            let mut file = FileRead {
                name: document.name.clone(),
                content: document.content,
                num_rows: 0,
                num_bad: 0,
                broken: None,
                span: None,
                is_video: is_video(document.base_name()),
            };
            if len(document) > 0 {
                match opener.with(document, |reader| reading.read(reader, &mut file)) {
                    Ok(outcome) => outcome?,
                    Err(reason) => file.broken = Some(reason),
                }
            }
            reading.num_bytes_done = before + len(document);
            files.push(file);
        }
        reading.hand_on()?;
        Ok(files)
    }
}

/// Bytes that reading it takes.
fn len(document: &Document) -> u64 {
    match document.content {
        Content::Extended | Content::Account | Content::Library | Content::Playlists => {
            document.len.min(DOCUMENT_LEN_MAX)
        }
        Content::Empty | Content::Other(_) => 0,
    }
}

fn is_video(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("video")
}

struct Reading<'a> {
    names: Names,
    streams: Vec<Stream>,
    num_bytes_done: u64,
    take: &'a mut dyn FnMut(Batch) -> Result<(), Stopped>,
}

impl Reading<'_> {
    fn read(&mut self, reader: impl BufRead, file: &mut FileRead) -> Result<(), Stopped> {
        let before = self.num_bytes_done;
        let depth = match file.content {
            Content::Library => 2,
            Content::Playlists => 4,
            Content::Extended | Content::Account | Content::Empty | Content::Other(_) => 1,
        };
        let mut elements = Elements::new(reader, depth);
        loop {
            let object = match elements.next() {
                Ok(Some(Element::Object(object))) => object,
                Ok(Some(Element::Odd)) => {
                    file.num_rows += u64::from(file.content.is_history());
                    file.num_bad += u64::from(file.content.is_history());
                    continue;
                }
                Ok(None) => return Ok(()),
                Err(broken) => {
                    let position = elements.position();
                    file.broken = Some(if position >= DOCUMENT_LEN_MAX {
                        format!("it is longer than {} MiB; the rest was not read", DOCUMENT_LEN_MAX >> 20)
                    } else {
                        broken.to_string()
                    });
                    return Ok(());
                }
            };
            let stream = match file.content {
                Content::Library => {
                    self.names.learn_saved(object);
                    continue;
                }
                Content::Playlists => {
                    self.names.learn_item(object);
                    continue;
                }
                Content::Extended => ExtendedWire::read(object).and_then(ExtendedWire::stream),
                Content::Account => {
                    let names = &self.names;
                    let uri_of = |title: &str, artist: &str| names.uri(title, artist);
                    AccountWire::read(object).and_then(|wire| wire.stream(uri_of))
                }
                Content::Empty | Content::Other(_) => return Ok(()),
            };
            file.num_rows += 1;
            match stream {
                Ok(stream) => {
                    let (first, last) = file.span.unwrap_or((stream.logged_at, stream.logged_at));
                    file.span = Some((first.min(stream.logged_at), last.max(stream.logged_at)));
                    self.streams.push(stream);
                }
                Err(BadRow) => file.num_bad += 1,
            }
            if self.streams.len() >= BATCH_LEN {
                self.num_bytes_done = before + elements.position();
                self.hand_on()?;
            }
        }
    }

    fn hand_on(&mut self) -> Result<(), Stopped> {
        if self.streams.is_empty() {
            return Ok(());
        }
        let streams = std::mem::replace(&mut self.streams, Vec::with_capacity(BATCH_LEN));
        (self.take)(Batch { streams, num_bytes_done: self.num_bytes_done })
    }
}
