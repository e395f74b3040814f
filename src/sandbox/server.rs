//! The shell around the service: turns what actix-web receives into a [`Request`] and a [`Reply`] into what it sends,
//! and does the waiting. It decides nothing.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Server;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::web::{Bytes, Data, PayloadConfig, to};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use flate2::{Compression, write::GzEncoder};
use tokio::time::Sleep;

use super::control;
use super::http::{Delivery, Moment, Reply, Request};
use super::routes::Route;
use super::service::Service;

/// Largest request body: a whole library for the control API.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// How long a connection may be idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a truncated answer has to reach the client before the connection closes.
const CUT_AFTER: Duration = Duration::from_millis(20);

/// The service, shared by the server's worker and the [`Sandbox`](super::Sandbox).
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Service>>);

impl Shared {
    /// Wraps a service for sharing.
    pub fn new(service: Service) -> Shared {
        Shared(Arc::new(Mutex::new(service)))
    }

    /// Locks the service, for as long as it takes to look or to answer.
    pub fn lock(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds the address and starts listening. The server runs while its future is polled.
pub fn listen(address: SocketAddr, shared: Shared) -> io::Result<(Server, SocketAddr)> {
    let data = Data::new(shared);
    let server = HttpServer::new(move || {
        App::new().app_data(data.clone()).app_data(PayloadConfig::new(BODY_MAX)).default_service(to(serve))
    })
    .workers(1)
    .disable_signals()
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    // Clients open connections in advance; those must not be closed for being idle.
    .client_request_timeout(KEEP_ALIVE)
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

async fn serve(incoming: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse<BoxBody> {
    let authorization = incoming.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let request = Request {
        method: incoming.method().as_str(),
        path: incoming.path(),
        query: incoming.query_string(),
        authorization,
        body: &body,
    };
    let reply = answer(&mut shared.lock(), &request, Moment::now());
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    send(reply).await
}

/// One step of the service: the API's, the sign-in's, or the control API's if that is served.
fn answer(service: &mut Service, request: &Request<'_>, now: Moment) -> Reply {
    let reply = match Route::of(request.path) {
        Route::Control(path) if service.has_control => control::answer(service, path, request, now),
        _ => service.answer(request, now),
    };
    service.spread();
    reply
}

async fn send(reply: Reply) -> HttpResponse<BoxBody> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if !reply.body.is_empty()
        && let Ok(value) = HeaderValue::from_str(&reply.content_type)
    {
        response.insert_header((header::CONTENT_TYPE, value));
    }
    for (name, value) in reply.headers {
        response.insert_header((name.as_ref(), value));
    }
    match reply.delivery {
        Delivery::Whole if reply.is_compressed => {
            response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip(&reply.body))
        }
        Delivery::Whole => response.body(reply.body),
        Delivery::Cut { bytes } => response.body(CutBody::new(Bytes::from(reply.body), bytes)),
        Delivery::Never => std::future::pending().await,
    }
}

/// Compressed with gzip.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("memory takes whatever is written")
}

/// A body that promises its whole length, sends the beginning, and fails.
struct CutBody {
    size: u64,
    beginning: Option<Bytes>,
    rest: Pin<Box<Sleep>>,
}

impl CutBody {
    fn new(body: Bytes, bytes: usize) -> CutBody {
        let size = body.len() as u64;
        let beginning = Some(body.slice(..bytes)).filter(|bytes| !bytes.is_empty());
        CutBody { size, beginning, rest: Box::pin(tokio::time::sleep(CUT_AFTER)) }
    }
}

impl MessageBody for CutBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size)
    }

    /// The pause before the end lets actix-web flush the beginning: it drops what is unsent when a body fails.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        if let Some(bytes) = self.beginning.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        ready!(self.rest.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted))))
    }
}
