//! The page itself: the files served to a browser. They are part of the binary, and nothing is loaded from elsewhere.
//!
//! One document serves every view; the script reads the view from the address. A browser caches the files and asks each
//! time whether they are still current (`ETag`), so that a page never mixes two versions of the program.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, EntityTag, Header, IfNoneMatch},
    web::{self, Data, Path, ServiceConfig},
};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, sync::LazyLock};

use super::{Problem, WebState, base::BasePath};

/// Paths of the views, each of which is the document.
pub const VIEWS: [&str; 5] = ["/", "/changes", "/library", "/listening", "/activity"];

const HTML: &str = "text/html; charset=utf-8";

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file as it is served.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    body: Cow<'static, str>,
    tag: EntityTag,
}

macro_rules! assets {
    ($($name:literal: $media_type:expr,)+) => {
        [$(Asset::new($name, $media_type, include_str!(concat!("assets/", $name)))),+]
    };
}

/// The document of every view, as served here.
pub struct Document(Asset);

impl Document {
    pub fn new(base: &BasePath, has_token: bool) -> Document {
        // For people who have signed in, and want to sign out.
        let sign_out = if has_token { SIGN_OUT } else { "" };
        let html = include_str!("assets/index.html").replace("{sign_out}", sign_out);
        Document(Asset::new("index.html", HTML, base.in_document(&html)))
    }
}

/// A form, so that it works without the script, too.
const SIGN_OUT: &str = "<form class=\"out\" method=\"post\" action=\"/sign-out\"><button>Sign out</button></form>";

/// The files that the document loads, from `/assets/`.
static ASSETS: LazyLock<[Asset; 29]> = LazyLock::new(|| {
    assets! {
        "account.js": JS,
        "activity.js": JS,
        "api.js": JS,
        "app.js": JS,
        "changes.js": JS,
        "chart.js": JS,
        "controls.js": JS,
        "dom.js": JS,
        "download.js": JS,
        "entity.js": JS,
        "filters.js": JS,
        "gate.js": JS,
        "heard_charts.js": JS,
        "heard_one.js": JS,
        "icon.svg": SVG,
        "library.js": JS,
        "list.js": JS,
        "listening.js": JS,
        "live.js": JS,
        "nodes.js": JS,
        "now.js": JS,
        "playlist.js": JS,
        "rows.js": JS,
        "spans.js": JS,
        "start.js": JS,
        "style.css": CSS,
        "time.js": JS,
        "webhooks.js": JS,
        "words.js": JS,
    }
});

impl Asset {
    fn new(name: &'static str, media_type: &'static str, body: impl Into<Cow<'static, str>>) -> Asset {
        let body = body.into();
        let digest = Sha256::digest(body.as_bytes());
        let tag = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Asset { name, media_type, body, tag: EntityTag::new_strong(tag) }
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let is_known = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        };
        let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response.insert_header(header::ETag(self.tag.clone()));
        response.insert_header((header::CACHE_CONTROL, "no-cache"));
        if is_known {
            return response.finish();
        }
        response.insert_header((header::CONTENT_TYPE, self.media_type));
        response.body(self.body.clone())
    }
}

pub fn routes(cfg: &mut ServiceConfig) {
    for path in VIEWS {
        cfg.service(web::resource(path).route(web::get().to(document)).route(web::head().to(document)));
    }
    let assets = web::resource("/assets/{name}");
    cfg.service(assets.route(web::get().to(asset)).route(web::head().to(asset)));
}

async fn document(state: Data<WebState>, request: HttpRequest) -> HttpResponse {
    state.document.0.answer(&request)
}

async fn asset(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == *name);
    found.map(|asset| asset.answer(&request)).ok_or_else(|| Problem::not_found("there is no such asset"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityType;
    use std::{collections::BTreeSet, fs};

    fn document(has_token: bool) -> Asset {
        Document::new(&BasePath::default(), has_token).0
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_loaded() {
        let document = document(false);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/assets");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = files.filter(|name| name != "index.html").collect();
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        assert_eq!(served, files);
        let unloaded: Vec<_> =
            files.iter().filter(|name| !document.body.contains(&format!("/assets/{name}\""))).collect();
        assert!(unloaded.is_empty(), "the document does not load {unloaded:?}");
    }

    #[test]
    fn the_page_is_small() {
        let size: usize = ASSETS.iter().chain([&document(true)]).map(|asset| asset.body.len()).sum();
        assert!(size <= 150_000, "{size} bytes");
    }

    #[test]
    fn every_entity_type_has_its_words_and_its_tab() {
        let script = |name: &str| &ASSETS.iter().find(|asset| asset.name == name).unwrap().body;
        for entity in EntityType::ALL {
            let words = format!("\n  {entity}: {{ noun: \"{}\" }},", entity.noun());
            assert!(script("words.js").contains(&words), "words.js: {words}");
            let tab = format!("\n  {entity}: {{ ");
            assert!(script("library.js").contains(&tab), "library.js: {tab}");
        }
    }

    /// Whatever the content security policy would refuse, or would parse a string as markup.
    #[test]
    fn nothing_is_inline_nothing_is_foreign_and_no_string_becomes_markup() {
        let inline = ["<style", "style=\"", "onclick=\"", "onload=\"", "javascript:"];
        let markup =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser"];
        let [open, closed] = [false, true].map(document);
        for asset in ASSETS.iter().chain([&open, &closed]) {
            for part in inline.iter().chain(&markup) {
                assert!(!asset.body.contains(part), "{} in {}", part, asset.name);
            }
            for (at, _) in asset.body.match_indices("://") {
                let line = asset.body[..at].rsplit('\n').next().unwrap_or_default();
                let is_name = asset.body[at..].starts_with("://www.w3.org/2000/svg");
                // A link that a person may follow.
                let is_link = asset.body[at..].starts_with("://open.spotify.com\"") && asset.name == "rows.js";
                assert!(is_name || is_link, "{}: {line}", asset.name);
            }
        }
        let scripts = open.body.matches("<script").count();
        assert_eq!((scripts, open.body.matches("<script type=\"module\" src=").count()), (2, 2));
    }
}
