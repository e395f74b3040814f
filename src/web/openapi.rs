//! The description of the API, generated from the code: `GET /api/v1/openapi.json`.

use super::{
    WebState, activity, controls, download, events, feed, health, history, library, listening, metrics, removals,
    sign_in, status,
};
use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{Data, ServiceConfig, get, resource},
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        RefOr, Required,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/openapi.json").route(get().to(openapi)));
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "segno",
        description = "What the service does, what it waits for, and the library it keeps. Times are UTC. Errors are \
                       problem documents (RFC 9457). Pages of lists go on after the last row \
                       of the page before, so rows that come in between are neither shown twice nor hide others.",
    ),
    paths(
        status::status,
        events::events,
        controls::sync,
        controls::pause,
        controls::resume,
        controls::reset,
        controls::confirm_removals,
        removals::removals,
        library::tracks,
        library::albums,
        library::artists,
        library::shows,
        library::episodes,
        library::audiobooks,
        library::playlists,
        library::playlist,
        library::playlist_items,
        library::playlist_versions,
        history::plays,
        listening::most,
        listening::when,
        listening::summary,
        listening::discovered,
        listening::one,
        listening::saved_unheard,
        listening::heard_unsaved,
        history::changes,
        feed::feed,
        download::list,
        download::playlist,
        history::batches,
        activity::activity,
        openapi,
        health::healthz,
        health::readyz,
        metrics::metrics,
        sign_in::sign_in,
        sign_in::sign_out,
    ),
    tags(
        (name = "status", description = "What happens now"),
        (name = "controls", description = "What the service can be ordered to do"),
        (name = "library", description = "What is, or was, in the library"),
        (name = "history", description = "What happened"),
        (name = "health", description = "Whether the service works"),
        (name = "session", description = "For browsers, where `SEGNO_WEB_TOKEN` is set"),
    ),
    security(("token" = []), ("session" = [])),
    modifiers(&Schemes)
)]
struct Api;

/// How a client authenticates, if `SEGNO_WEB_TOKEN` is set.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("SEGNO_WEB_TOKEN")).build();
        let session = ApiKeyValue::with_description(super::auth::COOKIE_NAME, "what a browser is given at the sign-in");
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
        // The body is optional and means everything if left out. If there is one, it is an object, never null.
        for control in ["sync", "pause", "resume"] {
            let operation = api.paths.paths.get_mut(&format!("/api/v1/{control}")).and_then(|path| path.post.as_mut());
            if let Some(RefOr::T(body)) = operation.and_then(|operation| operation.request_body.as_mut()) {
                body.required = Some(Required::False);
            }
        }
    }
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "status", responses((status = 200, body = Value)))]
async fn openapi(state: Data<WebState>) -> HttpResponse {
    static DESCRIPTION: LazyLock<Value> = LazyLock::new(described);
    let mut description = DESCRIPTION.clone();
    if !state.base.as_str().is_empty() {
        description["servers"] = json!([{ "url": state.base.as_str() }]);
    }
    HttpResponse::Ok().content_type(ContentType::json()).body(description.to_string())
}

/// The description, with what its macros cannot express.
fn described() -> Value {
    let mut api = serde_json::to_value(Api::openapi()).expect("a description has string keys only");
    // If no token is set, everybody is let in.
    if let Some(ways) = api["security"].as_array_mut() {
        ways.push(json!({}));
    }
    let operations = api["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = operations.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in operations {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let is_query = parameter["in"] == "query";
            if let Some(schema) = parameter["schema"].as_object_mut().filter(|_| is_query) {
                let_be_empty(schema);
            }
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        for response in responses.into_iter().flat_map(|responses| responses.values_mut()) {
            if response["description"].as_str().is_none_or(str::is_empty) {
                response["description"] = "What was asked for.".into();
            }
        }
    }
    for path in ["/api/v1/export/{what}", "/api/v1/playlists/{id}/export"] {
        let content = &mut api["paths"][path]["get"]["responses"]["200"]["content"];
        for media_type in download::MEDIA_TYPES {
            content[media_type] = json!({ "schema": {} });
        }
    }
    let stream = json!({ "schema": { "type": "string" } });
    api["paths"]["/api/v1/feed"]["get"]["responses"]["200"]["content"]["text/event-stream"] = stream;
    let event = json!({
        "type": "object",
        "properties": { "event": { "type": "string" }, "data": { "type": "string" } },
        "required": ["data"],
    });
    api["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"] = event;
    let problem = json!({ "schema": { "$ref": "#/components/schemas/ProblemDocument" } });
    api["paths"]["/sign-in"]["get"] = json!({
        "tags": ["session"],
        "summary": "The page to sign in on.",
        "operationId": "sign_in_page",
        "security": [],
        "responses": {
            "200": { "description": "the page", "content": { "text/html; charset=utf-8": {} } },
            "404": { "description": "there is no token to sign in with", "content": { "application/problem+json": problem } },
        },
    });
    api
}

/// An empty parameter counts as left out.
fn let_be_empty(schema: &mut Map<String, Value>) {
    if schema.get("type").is_some_and(|kind| kind == "string") {
        let pattern = schema.get("pattern").and_then(Value::as_str).and_then(|pattern| pattern.strip_suffix(")$"));
        if let Some(pattern) = pattern.map(|pattern| format!("{pattern})?$")) {
            schema.insert("pattern".into(), pattern.into());
        }
        if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            words.push("".into());
        }
        if schema.get("format").is_none_or(|format| format != "date-time") {
            return;
        }
    }
    let full = Value::Object(std::mem::take(schema));
    schema.insert("anyOf".into(), json!([full, { "type": "string", "maxLength": 0 }]));
}
