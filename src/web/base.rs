//! The path of a proxy below which the page is (`web.base_path`). Some proxies strip it before they forward a request,
//! and some do not: both work. Links and redirects include it.

use actix_web::{
    dev::ServiceRequest,
    http::{Uri, uri::PathAndQuery},
};

/// `/segno`; empty for the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Begins with a slash and ends with none; or is empty.
    pub fn new(path: String) -> BasePath {
        debug_assert!(path.is_empty() || (path.starts_with('/') && !path.ends_with('/')));
        BasePath(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of one of our paths, for a browser.
    pub fn of(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The path for which a browser sends a cookie back.
    pub fn for_cookies(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// A document in which links begin with a slash, or contain `{base}`.
    pub fn in_document(&self, html: &str) -> String {
        html.replace("=\"/", &format!("=\"{}/", self.0)).replace("{base}", &self.0)
    }

    /// Strips it from a request, if the proxy did not.
    pub fn take_from(&self, request: &mut ServiceRequest) {
        let Some(uri) = self.without(request.uri()) else { return };
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }

    fn without(&self, uri: &Uri) -> Option<Uri> {
        if self.0.is_empty() {
            return None;
        }
        let rest = uri.path().strip_prefix(&self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let path = if rest.is_empty() { "/" } else { rest };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_taken_away_once_and_only_where_it_is_whole() {
        let base = BasePath::new("/tools/segno".into());
        for (uri, expected) in [
            ("/tools/segno", Some("/")),
            ("/tools/segno/", Some("/")),
            ("/tools/segno?a=b", Some("/?a=b")),
            ("/tools/segno/library?tab=albums", Some("/library?tab=albums")),
            ("/tools/segno/tools/segno/x", Some("/tools/segno/x")),
            ("/tools/segnor", None),
            ("/tools", None),
            ("/library", None),
            ("/", None),
        ] {
            let found = base.without(&uri.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
        assert_eq!(BasePath::default().without(&"/library".parse().unwrap()), None);
    }

    #[test]
    fn every_link_of_a_document_leads_below_it() {
        let document = r##"<html data-base="{base}"><a href="/">x</a><use href="#i"/><script src="/assets/app.js">"##;
        assert_eq!(
            BasePath::new("/segno".into()).in_document(document),
            r##"<html data-base="/segno"><a href="/segno/">x</a><use href="#i"/><script src="/segno/assets/app.js">"##
        );
        assert_eq!(BasePath::default().in_document(document), document.replace("{base}", ""));
    }
}
