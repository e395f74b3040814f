//! `GET /api/v1/export/...`: a list in any of the formats of `segno export`, as of one moment, streamed.
//!
//! One page of rows is in memory at a time, or one row group for Parquet, and rows are produced only as they are read.
//! A download holds a connection to the database for as long as it lasts, so only a few run at once.

use super::{Problem, WebState, params::Params, problem::ReadProblems};
use crate::{
    export::{
        Format, ListenTime, Shape, Source, What,
        names::{list_file, playlist_file},
    },
    model::AccountId,
    store::PlaylistLine,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_TYPE, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue},
    rt,
    web::{Bytes, Data, Path, ServiceConfig, get, resource},
};
use futures_util::stream::unfold;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, mpsc};

/// Downloads at once. There are four connections.
pub const DOWNLOADS_MAX: usize = 2;

/// Pieces between the database and the client.
const PIECES_AHEAD: usize = 2;

/// Smaller pieces wait for more.
const PIECE_LEN_MIN: usize = 32 * 1024;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/export/{what}").route(get().to(list)))
        .service(resource("/api/v1/playlists/{id}/export").route(get().to(playlist)));
}

const FORMATS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("jsonl", Format::Jsonl),
    ("parquet", Format::Parquet),
    ("exportify", Format::Exportify),
    ("exportify-net", Format::ExportifyNet),
    ("m3u8", Format::M3u8),
    ("jspf", Format::Jspf),
    ("xspf", Format::Xspf),
    ("listenbrainz", Format::Listenbrainz),
    ("spotify", Format::Spotify),
];

const FLAG: &[(&str, bool)] = &[("false", false), ("true", true)];

/// A whole list: `tracks`, `albums`, `artists`, `shows`, `episodes`, `audiobooks`, `playlists`, `listening` or
/// `changes`.
#[utoipa::path(
    get, path = "/api/v1/export/{what}", tag = "library",
    params(
        ("what" = String, Path, description = "the list"),
        ("format" = Option<String>, Query, description = "a format of `segno export` that holds the list; csv without it"),
        ("spreadsheet" = Option<bool>, Query, description = "an apostrophe before what a spreadsheet would take for a formula (csv)"),
        ("since" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "only what was saved, followed, heard or changed since"),
        ("account" = Option<i64>, Query, description = "the account; the first one without it"),
    ),
    responses((status = 200, description = "the list, as an attachment", body = String, content_type = "text/csv; charset=utf-8"), ReadProblems)
)]
pub async fn list(state: Data<WebState>, request: HttpRequest, what: Path<String>) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["format", "spreadsheet", "since", "account"])?;
    let known = What::ALL.into_iter().find(|known| known.word() == *what);
    let what = known.ok_or_else(|| Problem::not_found("there is no such list"))?;
    let shape = shape(&params)?;
    if !what.is_held_by(shape.format) {
        let detail =
            format!("{} does not hold {}: csv, jsonl and parquet hold everything", shape.format.word(), what.word());
        return Err(Problem::bad_request(detail));
    }
    let place = reserve(&state)?;
    let source = source(&state, &params, params.moment("since")?).await?;
    let name = list_file(what, shape.format);
    Ok(attachment(&name, shape.format, place, source, Wanted::List(what), shape))
}

/// The items of a playlist.
#[utoipa::path(
    get, path = "/api/v1/playlists/{id}/export", tag = "library",
    params(
        ("id" = String, Path, description = "the Spotify id of the playlist"),
        ("format" = Option<String>, Query, description = "a format of `segno export` that holds playlists; csv without it"),
        ("spreadsheet" = Option<bool>, Query, description = "an apostrophe before what a spreadsheet would take for a formula (csv)"),
        ("account" = Option<i64>, Query, description = "the account; the first one without it"),
    ),
    responses((status = 200, description = "its items, as an attachment", body = String, content_type = "text/csv; charset=utf-8"), ReadProblems)
)]
pub async fn playlist(state: Data<WebState>, request: HttpRequest, id: Path<String>) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["format", "spreadsheet", "account"])?;
    let shape = shape(&params)?;
    if !What::Playlists.is_held_by(shape.format) {
        return Err(Problem::bad_request(format!("{} does not hold playlists", shape.format.word())));
    }
    let place = reserve(&state)?;
    let mut source = source(&state, &params, None).await?;
    let found = source.playlists().await?.into_iter().find(|playlist| playlist.id == *id);
    let playlist = found.ok_or_else(|| Problem::not_found("there is no such playlist in this library"))?;
    let name = playlist_file(&playlist.name, shape.format);
    Ok(attachment(&name, shape.format, place, source, Wanted::Items(Box::new(playlist)), shape))
}

enum Wanted {
    List(What),
    Items(Box<PlaylistLine>),
}

fn shape(params: &Params) -> Result<Shape, Problem> {
    Ok(Shape {
        format: params.choice("format", FORMATS)?,
        is_for_spreadsheets: params.choice("spreadsheet", FLAG)?,
        time: ListenTime::default(),
    })
}

/// A slot among the few; given back when it is dropped.
type Place = tokio::sync::OwnedSemaphorePermit;

fn reserve(state: &WebState) -> Result<Place, Problem> {
    let downloads: Arc<Semaphore> = state.downloads.clone();
    downloads.try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!("{DOWNLOADS_MAX} downloads are under way; try again when one is done"))
    })
}

async fn source(
    state: &WebState,
    params: &Params,
    since: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<Source, Problem> {
    let AccountId(wanted) = state.account(params.account()?).await?;
    let accounts = state.store.accounts().await?;
    let account = accounts.into_iter().find(|account| account.id.0 == wanted);
    let account = account.ok_or_else(|| Problem::not_found(format!("there is no account {wanted}")))?;
    Ok(Source { export: state.store.export().await?, readers: state.store.clone(), account, since })
}

fn attachment(name: &str, format: Format, place: Place, source: Source, wanted: Wanted, shape: Shape) -> HttpResponse {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    rt::spawn(async move {
        let _place = place;
        send(source, wanted, shape, sender).await;
    });
    let stream = unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, media_type(format)));
    response.insert_header(disposition(name));
    response.streaming(stream)
}

/// A failure midway is visible to the client: the body does not end as it should.
async fn send(mut source: Source, wanted: Wanted, shape: Shape, sender: mpsc::Sender<io::Result<Bytes>>) {
    let piece = Piece::default();
    let paged = async |_| {
        let made = piece.take(PIECE_LEN_MIN);
        match made {
            Some(made) => sender.send(Ok(made)).await.map_err(|_| io::ErrorKind::BrokenPipe.into()),
            None => Ok(()),
        }
    };
    let written = match &wanted {
        Wanted::List(what) => source.write(*what, shape, piece.clone(), paged).await.map(|_| ()),
        Wanted::Items(playlist) => source.write_items(playlist, shape, piece.clone(), paged).await,
    };
    let ended = match written {
        Ok(()) => piece.take(0).map(Ok),
        Err(error) => Some(Err(io::Error::other(error))),
    };
    if let Some(ended) = ended {
        let _ = sender.send(ended).await;
    }
    let _ = source.export.finish().await;
}

/// What was written but not sent yet.
#[derive(Clone, Default)]
struct Piece(Arc<Mutex<Vec<u8>>>);

impl Piece {
    fn written(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it, if it is longer than that.
    fn take(&self, len_min: usize) -> Option<Bytes> {
        let mut written = self.written();
        (written.len() > len_min).then(|| Bytes::from(std::mem::take(&mut *written)))
    }
}

impl Write for Piece {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All media types.
pub const MEDIA_TYPES: [&str; 7] = [
    "text/csv; charset=utf-8",
    "application/jsonl",
    "application/vnd.apache.parquet",
    "application/json",
    "application/vnd.apple.mpegurl",
    "application/jspf+json",
    "application/xspf+xml",
];

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Csv | Format::Exportify | Format::ExportifyNet => "text/csv; charset=utf-8",
        Format::Jsonl | Format::Listenbrainz => "application/jsonl",
        Format::Parquet => "application/vnd.apache.parquet",
        Format::Spotify => "application/json",
        Format::M3u8 => "application/vnd.apple.mpegurl",
        Format::Jspf => "application/jspf+json",
        Format::Xspf => "application/xspf+xml",
    }
}

/// A browser saves it as a file, and never shows it as a page.
fn disposition(name: &str) -> ContentDisposition {
    let plain: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let value = ExtendedValue { charset: Charset::Ext("UTF-8".into()), language_tag: None, value: name.into() };
    let named = [DispositionParam::Filename(plain), DispositionParam::FilenameExt(value)];
    ContentDisposition { disposition: DispositionType::Attachment, parameters: named.into() }
}
