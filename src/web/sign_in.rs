//! `/sign-in` and `/sign-out`, if a token is set: exchanges the token for a session in a cookie.

use super::{
    Problem, WebState,
    auth::{COOKIE_NAME, Denied, SESSION_LASTS, SLOWED_BY},
    host::Hosts,
    problem::BodyProblems,
    problem::ProblemDocument,
};
use crate::clock;
use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ContentType, LOCATION, RETRY_AFTER, SET_COOKIE},
    },
    web::{Data, Form, ServiceConfig, get, post, resource},
};
use serde::Deserialize;
use tokio::time::sleep;
use tracing::info;
use utoipa::ToSchema;

pub const SIGN_IN: &str = "/sign-in";
pub const SIGN_OUT: &str = "/sign-out";

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource(SIGN_IN).route(get().to(show)).route(post().to(sign_in)))
        .service(resource(SIGN_OUT).route(post().to(sign_out)));
}

/// Never printed: it may contain the token.
#[derive(Deserialize, ToSchema)]
pub struct Shown {
    /// `SEGNO_WEB_TOKEN`
    token: String,
}

async fn show(state: Data<WebState>) -> HttpResponse {
    if !state.keeper.has_token() {
        return nothing_to_sign_in_to();
    }
    page(&state, StatusCode::OK, "")
}

/// Gives a browser a session for the token.
#[utoipa::path(
    post, path = "/sign-in", tag = "session", security(()),
    request_body(content = Shown, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "leads to the page, with a session in a cookie"),
        (status = 400, description = "the form has no token", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        (status = 401, description = "that is not the token", body = String, content_type = "text/html; charset=utf-8"),
        (status = 403, description = "it came from a page of another site", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        (status = 404, description = "no token is set", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        (status = 429, description = "too many wrong ones came from there; `Retry-After` says when to try again", body = String, content_type = "text/html; charset=utf-8"),
        BodyProblems,
    )
)]
pub async fn sign_in(state: Data<WebState>, request: HttpRequest, form: Form<Shown>) -> HttpResponse {
    if !state.keeper.has_token() {
        return nothing_to_sign_in_to();
    }
    let from = request.peer_addr().map(|peer| peer.ip());
    match state.keeper.sign_in(&form.token, from, clock::instant()) {
        Ok(session) => {
            info!(?from, "signed in to the status page");
            let max_age = SESSION_LASTS.as_secs();
            let cookie = cookie(&state, &request, &format!("{session}; Max-Age={max_age}"));
            HttpResponse::SeeOther()
                .insert_header((LOCATION, state.base.of("/")))
                .insert_header((SET_COOKIE, cookie))
                .finish()
        }
        Err(Denied::TooMany(wait)) => {
            sleep(SLOWED_BY).await;
            let problem = Problem::too_many(wait);
            let mut response = page(&state, problem.status(), &problem.to_string());
            let seconds = problem.error_response().headers().get(RETRY_AFTER).cloned();
            if let Some(seconds) = seconds {
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            response
        }
        Err(Denied::Wrong | Denied::Unknown) => page(&state, StatusCode::UNAUTHORIZED, "That is not the token."),
    }
}

/// Ends the session that the cookie names, and the streams that it opened.
#[utoipa::path(
    post, path = "/sign-out", tag = "session", security(()),
    responses(
        (status = 303, description = "leads to the sign-in, and takes the cookie back"),
        (status = 403, description = "it came from a page of another site", body = ProblemDocument<'static>, content_type = "application/problem+json"),
        (status = 404, description = "no token is set", body = ProblemDocument<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn sign_out(state: Data<WebState>, request: HttpRequest) -> HttpResponse {
    if !state.keeper.has_token() {
        return nothing_to_sign_in_to();
    }
    state.keeper.sign_out(request.headers());
    let cookie = cookie(&state, &request, "; Max-Age=0");
    HttpResponse::SeeOther()
        .insert_header((LOCATION, state.base.of(SIGN_IN)))
        .insert_header((SET_COOKIE, cookie))
        .finish()
}

/// For this site alone, and out of reach of scripts. If the browser came over TLS, the cookie is sent over TLS only.
fn cookie(state: &WebState, request: &HttpRequest, value: &str) -> String {
    let secure = if Hosts::is_over_tls(request.headers()) { "; Secure" } else { "" };
    let path = state.base.for_cookies();
    format!("{COOKIE_NAME}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}")
}

fn nothing_to_sign_in_to() -> HttpResponse {
    Problem::not_found("no token is set, so there is nothing to sign in to").error_response()
}

/// `said` is a text of ours, and needs no escaping.
fn page(state: &WebState, status: StatusCode, said: &str) -> HttpResponse {
    let said = if said.is_empty() { String::new() } else { format!("<p role=\"alert\" id=\"said\">{said}</p>") };
    HttpResponse::build(status)
        .content_type(ContentType::html())
        .body(state.base.in_document(include_str!("sign_in.html")).replace("{said}", &said))
}
