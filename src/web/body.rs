//! The body of a request, read whole before anything else looks at the request.
//!
//! A body that is too long, or does not arrive, gets an answer and ends its connection. The server below would keep
//! such a connection for as long as its client likes, waiting for the rest of a chunked body.

use super::Problem;
use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::Bytes,
};
use futures_util::{StreamExt, stream::once};
use std::{
    error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;

/// Largest body of a request: some words.
pub const BODY_MAX: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(3);

/// A body that was not read to its end, and why.
pub struct Unread {
    problem: Problem,
    payload: Payload,
}

/// Reads the body, and puts it back for the handler.
pub async fn read(request: &mut ServiceRequest) -> Result<(), Unread> {
    let mut payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return Ok(());
    }
    let read = timeout(BODY_WITHIN, collect(&mut payload)).await;
    match read.unwrap_or_else(|_| Err(Problem::unavailable("it took too long"))) {
        Ok(body) => {
            request.set_payload(Payload::Stream { payload: Box::pin(once(async { Ok(body) })) });
            Ok(())
        }
        Err(problem) => Err(Unread { problem, payload }),
    }
}

/// The middleware of a server that accepts no bodies at all.
pub async fn whole(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match read(&mut request).await {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(unread) => Ok(unread.refuse(request)),
    }
}

async fn collect(payload: &mut Payload) -> Result<Bytes, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body does not arrive whole"))?;
        if body.len() + chunk.len() > BODY_MAX {
            let detail = format!("the body is longer than {BODY_MAX} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

impl Unread {
    /// The answer, which ends the connection.
    pub fn refuse(self, request: ServiceRequest) -> ServiceResponse<BoxBody> {
        let Unread { problem, payload } = self;
        let response: HttpResponse = problem.error_response();
        request.into_response(response.map_body(|_, body| BoxBody::new(Last { body, _payload: payload })))
    }
}

/// The body of a last answer. The server closes a connection if the body of the request is still held when the answer
/// ends; if that was dropped before, it waits for the rest.
struct Last {
    body: BoxBody,
    _payload: Payload,
}

impl MessageBody for Last {
    type Error = Box<dyn error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
