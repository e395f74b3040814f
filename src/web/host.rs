//! Which page a request comes from, and under what name it reached us.
//!
//! A name in somebody else's DNS may point to this machine (DNS rebinding), and somebody else's page may send requests
//! here. The browser reports both: `Host` is the name that it looked up, `Origin` and `Sec-Fetch-Site` the requesting
//! page.

use super::Problem;
use actix_web::http::{
    Method, StatusCode,
    header::{HOST, HeaderMap, HeaderName, ORIGIN},
};
use std::net::{IpAddr, SocketAddr};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that are ours.
#[derive(Debug, Clone)]
pub struct Hosts {
    listen: SocketAddr,
    /// Names of a proxy, in lower case.
    names: Vec<String>,
}

impl Hosts {
    pub fn new(listen: SocketAddr, names: Vec<String>) -> Hosts {
        Hosts { listen, names }
    }

    /// Refuses requests sent to a name that is not ours.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = text(headers, &HOST).unwrap_or_default();
        if self.is_ours(host_name(host)) {
            return Ok(());
        }
        let detail = format!(
            "this service does not answer to the name {:?}; if it is that of a proxy in front of it, add it to web.hosts",
            host_name(host)
        );
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
    }

    /// Refuses requests from pages of another site: changes always, and reads of anything but a document, which a link
    /// may lead to. A client other than a browser sends neither header; it has to know the token instead, if there is
    /// one.
    pub fn check_origin(&self, method: &Method, is_document: bool, headers: &HeaderMap) -> Result<(), Problem> {
        let is_change = !method.is_safe();
        if !is_change && is_document {
            return Ok(());
        }
        let is_foreign = |site: &str| !matches!(site, "same-origin" | "none");
        let is_from_elsewhere = text(headers, &SEC_FETCH_SITE).is_some_and(is_foreign)
            || (is_change && headers.contains_key(&ORIGIN) && !self.is_own_origin(headers));
        if is_from_elsewhere {
            return Err(Problem::forbidden("this came from a page of another site"));
        }
        Ok(())
    }

    /// Whether the browser came over TLS, according to its own headers. A proxy may not report it.
    pub fn is_over_tls(headers: &HeaderMap) -> bool {
        text(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
            || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
    }

    /// The origin names the host that the request was sent to. A proxy may have put another name into `Host`.
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = text(headers, &ORIGIN) else { return false };
        let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
            return false;
        };
        let is_host = text(headers, &HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority));
        is_host || self.names.iter().any(|name| name.eq_ignore_ascii_case(host_name(authority)))
    }

    fn is_ours(&self, name: &str) -> bool {
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match address.parse::<IpAddr>() {
            // DNS was not involved, so nobody can have forged the name.
            Ok(ip) => ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified(),
            Err(_) => {
                name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// An authority without its port.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        Some(_) | None => authority,
    }
}

/// A header that was sent once, and as text. Anything else counts as empty, which matches nothing.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    Some(if values.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, names: &[&str]) -> Hosts {
        Hosts::new(listen.parse().unwrap(), names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| headers.append(name.clone(), value.parse().unwrap()));
        headers
    }

    #[test]
    fn it_answers_to_its_own_names_and_no_others() {
        let local = hosts("127.0.0.1:8370", &["segno.example.org"]);
        let everywhere = hosts("0.0.0.0:8370", &[]);
        let one = hosts("[2001:db8::1]:8370", &[]);
        for (hosts, host, is_ours) in [
            (&local, "localhost:8370", true),
            (&local, "LOCALHOST", true),
            (&local, "127.0.0.1:9000", true),
            (&local, "[::1]:8370", true),
            (&local, "segno.example.org", true),
            (&local, "Segno.Example.org:443", true),
            (&local, "192.168.1.7:8370", false),
            (&local, "evil.example.com:8370", false),
            (&local, "localhost.evil.example.com", false),
            (&local, "127.0.0.1.evil.example.com", false),
            (&local, "localhost:8370.evil.example.com", false),
            (&local, "", false),
            (&everywhere, "192.168.1.7:8370", true),
            (&everywhere, "segno.example.org", false),
            (&one, "[2001:db8::1]:8370", true),
            (&one, "[2001:db8::2]:8370", false),
        ] {
            assert_eq!(hosts.check_host(&headers(&[(HOST, host)])).is_ok(), is_ours, "{host}");
        }
        assert!(local.check_host(&headers(&[])).is_err(), "no name at all");
        assert!(local.check_host(&headers(&[(HOST, "localhost"), (HOST, "evil.example.com")])).is_err(), "two names");
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_and_does_not_read_the_api() {
        let hosts = hosts("127.0.0.1:8370", &["segno.example.org"]);
        let host = (HOST, "127.0.0.1:8370");
        // The headers, whether the request may change something, and whether it may read.
        type Case<'a> = (&'a [(HeaderName, &'a str)], bool, bool);
        let cases: &[Case<'_>] = &[
            (&[], true, true),
            (&[(ORIGIN, "http://127.0.0.1:8370")], true, true),
            (&[(ORIGIN, "https://segno.example.org")], true, true),
            (&[(ORIGIN, "http://127.0.0.1:9999")], false, true),
            (&[(ORIGIN, "https://evil.example.com")], false, true),
            (&[(ORIGIN, "null")], false, true),
            (&[(ORIGIN, "http://127.0.0.1:8370"), (ORIGIN, "https://evil.example.com")], false, true),
            (&[(SEC_FETCH_SITE, "same-origin")], true, true),
            (&[(SEC_FETCH_SITE, "none")], true, true),
            (&[(SEC_FETCH_SITE, "same-site")], false, false),
            (&[(SEC_FETCH_SITE, "cross-site")], false, false),
            (&[(SEC_FETCH_SITE, "cross-site"), (ORIGIN, "http://127.0.0.1:8370")], false, false),
        ];
        for (sent, may_change, may_look) in cases {
            let headers = headers(&[&[host.clone()][..], sent].concat());
            let may = |method: Method, is_document| hosts.check_origin(&method, is_document, &headers).is_ok();
            assert_eq!([true, false].map(|is_document| may(Method::POST, is_document)), [*may_change; 2], "{sent:?}");
            assert_eq!(may(Method::GET, false), *may_look, "{sent:?}");
            assert!(may(Method::GET, true), "a link may lead here");
        }
    }
}
