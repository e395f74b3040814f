//! The checks that every request passes on its way in, and every answer on its way out: the name it was sent to, the
//! page it comes from, who sent it, how long it may take; and the headers that make a browser strict.

use super::{
    Problem, WebState,
    assets::VIEWS,
    auth::{Denied, SLOWED_BY},
    body,
    problem::PROBLEM_JSON,
    sign_in::{SIGN_IN, SIGN_OUT},
};
use crate::clock;
use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longest time for an answer to begin once the request is read. A stream begins at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Everything is loaded from here, and nothing is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Headers of every answer, unless the answer sets its own.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With "no-referrer" a browser would send `Origin: null` with the form of the sign-in page.
    (REFERRER_POLICY, "same-origin"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// The middleware around every route.
pub async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = request.app_data::<Data<WebState>>().expect("every app has its state").clone();
    state.base.take_from(&mut request);
    let mut response = match body::read(&mut request).await {
        Err(unread) => unread.refuse(request),
        Ok(()) => match refusal(&request) {
            Some(Refusal::AtOnce(response)) => request.into_response(response),
            Some(Refusal::Slowly(response)) => {
                sleep(SLOWED_BY).await;
                request.into_response(response)
            }
            None => match timeout(ANSWER_WITHIN, next.call(request)).await {
                Ok(response) => with_problem(response?.map_into_boxed_body()),
                Err(_) => return Err(Problem::unavailable("it took too long").into()),
            },
        },
    };
    add_headers(response.headers_mut());
    Ok(response)
}

/// The answer to a refused request.
enum Refusal {
    AtOnce(HttpResponse),
    /// For somebody who guesses.
    Slowly(HttpResponse),
}

fn refusal(request: &ServiceRequest) -> Option<Refusal> {
    let state = request.app_data::<Data<WebState>>().expect("every app has its state");
    // As the router reads it: it takes `/%61pi/` for `/api/`.
    let (method, path, headers) = (request.method(), request.match_info().as_str(), request.headers());
    let is_document = is_document(path);
    let checked = state.hosts.check_host(headers).and_then(|()| state.hosts.check_origin(method, is_document, headers));
    if let Err(problem) = checked {
        return Some(Refusal::AtOnce(problem.error_response()));
    }
    if is_open(path) {
        return None;
    }
    let from = request.peer_addr().map(|peer| peer.ip());
    let unauthorized = |detail| Some(Refusal::AtOnce(Problem::new(StatusCode::UNAUTHORIZED, detail).error_response()));
    match state.keeper.check(headers, from, clock::instant()) {
        Ok(()) => None,
        Err(Denied::TooMany(wait)) => Some(Refusal::Slowly(Problem::too_many(wait).error_response())),
        Err(Denied::Unknown) if is_document && wants_page(request) => {
            Some(Refusal::AtOnce(HttpResponse::SeeOther().insert_header((LOCATION, state.base.of(SIGN_IN))).finish()))
        }
        Err(Denied::Unknown) => unauthorized("sign in, or send the token as \"Authorization: Bearer ...\""),
        Err(Denied::Wrong) => unauthorized("the token is wrong"),
    }
}

/// Paths that reveal nothing private, or serve to sign in.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | SIGN_IN | SIGN_OUT) || path.starts_with("/assets/")
}

/// Pages that a link on another site may lead to. They are the same for everybody.
fn is_document(path: &str) -> bool {
    path == SIGN_IN || VIEWS.contains(&path)
}

/// A person who has to be led to the sign-in.
fn wants_page(request: &ServiceRequest) -> bool {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    *request.method() == Method::GET && accepts.contains("text/html")
}

/// Errors from any layer are reported in one form.
fn with_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_told = kind == PROBLEM_JSON || kind.starts_with("text/html");
    if is_told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let told = response.response().error().map(ToString::to_string);
    let detail = told.unwrap_or_else(|| status.canonical_reason().unwrap_or("error").to_lowercase());
    let mut problem = Problem::new(status, detail).error_response();
    for (name, value) in response.headers() {
        if *name != CONTENT_TYPE {
            problem.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response.into_response(problem)
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in &HEADERS {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
    }
}
