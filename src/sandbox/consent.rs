//! The part of the sign-in between an application and a person: where answers may be sent, the page that asks the
//! person, and what the person grants.

use crate::model::text::in_html;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::library::Account;

/// Redirect URIs that the application has registered unless told otherwise. Without a port, any port will do.
const REGISTERED: [&str; 2] = ["http://127.0.0.1/callback", "http://[::1]/callback"];

/// What happens when a browser comes to the consent page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It asks, and waits for the person to click.
    #[default]
    Page,
    /// The person agrees without being asked, as if they had agreed before.
    Agree,
    /// The person says no without being asked.
    Deny,
}

/// The settings of the sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    pub consent: Consent,
    /// The person who agrees without being asked.
    pub user: usize,
    /// Permissions that are granted if they are requested; `None` grants everything requested.
    pub granted_scopes: Option<String>,
    pub redirect_uris: Vec<String>,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            consent: Consent::default(),
            user: 0,
            granted_scopes: None,
            redirect_uris: REGISTERED.map(str::to_owned).to_vec(),
        }
    }
}

impl Manners {
    /// The granted part of `asked`.
    pub fn grant(&self, asked: &str) -> String {
        let may = |scope: &&str| {
            self.granted_scopes.as_ref().is_none_or(|granted| granted.split_whitespace().any(|known| known == *scope))
        };
        asked.split_whitespace().filter(may).collect::<Vec<_>>().join(" ")
    }

    /// The address for an answer: one that is registered exactly, except for the port of a loopback address that was
    /// registered without one.
    pub fn redirect(&self, uri: &str) -> Result<Url, &'static str> {
        let url = safe_redirect(uri)?;
        let matches = |registered: &String| {
            registered == uri
                || Url::parse(registered).is_ok_and(|registered| {
                    let mut portless = url.clone();
                    registered.port().is_none()
                        && registered.scheme() == "http"
                        && portless.set_port(None).is_ok()
                        && portless == registered
                })
        };
        if self.redirect_uris.iter().any(matches) { Ok(url) } else { Err("INVALID_CLIENT: Invalid redirect URI") }
    }
}

/// Redirects lead to HTTPS, or to a numeric loopback address.
fn safe_redirect(uri: &str) -> Result<Url, &'static str> {
    let url = Url::parse(uri).map_err(|_| "INVALID_CLIENT: Invalid redirect URI")?;
    let is_safe = match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(Host::Ipv6(ip))) => ip.is_loopback(),
        _ => false,
    };
    if is_safe && url.fragment().is_none() { Ok(url) } else { Err("INVALID_CLIENT: Insecure redirect URI") }
}

/// The page that asks. `query` is that of its own request: each way to answer is a link back with one more parameter.
pub fn page<'a>(query: &str, scopes: &str, accounts: impl Iterator<Item = &'a Account>) -> String {
    let query = in_html(query);
    let agree: String = accounts
        .enumerate()
        .map(|(user, account)| {
            let name = in_html(&account.display_name);
            format!(
                "<p><a id=\"agree-{user}\" href=\"/authorize?{query}&amp;sandbox_user={user}\">Agree as {name}</a>\n"
            )
        })
        .collect();
    let scopes: String = scopes.split_whitespace().map(|scope| format!("<li>{}\n", in_html(scope))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Sandbox consent</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<h1>An application asks for access</h1>\n\
         <p>This is the sandbox, not Spotify. It would grant:\n<ul>\n{scopes}</ul>\n{agree}\
         <p><a id=\"cancel\" href=\"/authorize?{query}&amp;sandbox_deny=1\">Cancel</a>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_redirects_are_allowed() {
        for good in ["https://segno.example/cb", "http://127.0.0.1:8888/cb", "http://[::1]/cb"] {
            assert!(safe_redirect(good).is_ok(), "{good}");
        }
        for bad in ["http://localhost:8888/cb", "http://10.0.0.1/cb", "segno://cb", "http://127.0.0.1/#x", "cb"] {
            assert!(safe_redirect(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_is_registered_to_the_letter_but_for_a_port_that_was_left_open() {
        let manners = Manners::default();
        for good in ["http://127.0.0.1/callback", "http://127.0.0.1:49152/callback", "http://[::1]:8080/callback"] {
            assert!(manners.redirect(good).is_ok(), "{good}");
        }
        for bad in [
            "http://127.0.0.1:49152/callback/",
            "http://127.0.0.1:49152/Callback",
            "http://127.0.0.1:49152/callback?x=1",
            "http://127.0.0.2/callback",
            "https://127.0.0.1/callback",
            "http://localhost/callback",
        ] {
            assert!(manners.redirect(bad).is_err(), "{bad}");
        }
        let fixed = Manners { redirect_uris: vec!["http://127.0.0.1:8888/callback".into()], ..manners };
        assert!(fixed.redirect("http://127.0.0.1:8888/callback").is_ok());
        assert!(fixed.redirect("http://127.0.0.1:8889/callback").is_err());
        assert!(fixed.redirect("http://127.0.0.1/callback").is_err());
    }

    #[test]
    fn less_may_be_granted_than_was_asked_for_and_never_more() {
        let manners = Manners { granted_scopes: Some("a c d".into()), ..Manners::default() };
        assert_eq!(manners.grant("a b c"), "a c");
        assert_eq!(Manners::default().grant("a b c"), "a b c");
    }

    #[test]
    fn the_page_shows_text_and_no_markup_of_others() {
        let account = Account { id: "x".into(), account_id: "y".into(), display_name: "<b>Mira</b>".into() };
        let html = page("state=\"><script>", "user-library-read", std::iter::once(&account));
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
        assert!(html.contains("id=\"agree-0\"") && html.contains("id=\"cancel\""), "{html}");
    }
}
