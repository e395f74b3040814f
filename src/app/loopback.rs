//! Where the browser comes back to: a listener on the loopback address for as long as a sign-in lasts, and the one page
//! that it shows at the end.
//!
//! Anything on this machine can send requests here, and a page in the browser can make it do so. So nothing but the
//! answer to this very sign-in has an effect: other paths, other hosts (a name that somebody points at this machine) and
//! other answers get a page and are forgotten. Nothing that was sent is shown.

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::{KeepAlive, Method, StatusCode, header},
    web::{Data, to},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use url::Url;

/// Where answers go. No hyphen: Spotify was seen to refuse one in the path of a loopback address.
pub(super) const PATH: &str = "/callback";

/// Requests that wait to be looked at; a browser sends one.
const ARRIVALS_MAX: usize = 16;

/// Time for the last page to reach the browser.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// The listener. It stops when told to, or with the process.
pub(super) struct Loopback {
    pub port: u16,
    pub arrivals: mpsc::Receiver<Arrival>,
    handle: ServerHandle,
}

/// The browser is back, and waits for a page.
pub(super) struct Arrival {
    pub query: String,
    pub reply: oneshot::Sender<Page>,
}

/// What the browser shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    SignedIn {
        name: String,
        is_whole: bool,
    },
    Denied,
    Failed {
        why: String,
    },
    /// An answer, but to something else.
    NotTheAnswer,
    /// Somebody got here who was not sent.
    NotHere,
    /// The sign-in has ended already.
    Over,
}

impl Loopback {
    /// Begins to listen; port 0 takes a free one.
    pub fn listen(port: u16) -> io::Result<Loopback> {
        let socket = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let port = socket.local_addr()?.port();
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let door = Data::new(Door { host: host(port), sender });
        let server = HttpServer::new(move || App::new().app_data(door.clone()).default_service(to(answer)))
            .workers(1)
            .disable_signals()
            .keep_alive(KeepAlive::Disabled)
            .shutdown_timeout(FAREWELL_MAX.as_secs())
            .listen(socket)?
            .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Loopback { port, arrivals, handle })
    }

    /// Stops listening once what is being answered is answered.
    pub async fn stop(self) {
        drop(self.arrivals);
        let _ = tokio::time::timeout(FAREWELL_MAX, self.handle.stop(true)).await;
    }
}

/// Where the browser is sent back to.
pub(super) fn redirect_uri(port: u16) -> Url {
    Url::parse(&format!("http://{}{PATH}", host(port))).expect("a plain address")
}

fn host(port: u16) -> String {
    match port {
        80 => Ipv4Addr::LOCALHOST.to_string(),
        port => SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
    }
}

/// What a request needs to know.
struct Door {
    host: String,
    sender: mpsc::Sender<Arrival>,
}

async fn answer(request: HttpRequest, door: Data<Door>) -> HttpResponse {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let is_here = request.method() == Method::GET && request.path() == PATH && host == Some(&door.host);
    if !is_here {
        return show(&Page::NotHere);
    }
    let (reply, page) = oneshot::channel();
    let arrival = Arrival { query: request.query_string().to_owned(), reply };
    let page = match door.sender.send(arrival).await {
        Ok(()) => page.await.unwrap_or(Page::Over),
        Err(_) => Page::Over,
    };
    show(&page)
}

fn show(page: &Page) -> HttpResponse {
    HttpResponse::build(page.status())
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
        ))
        .body(page.html())
}

impl Page {
    fn status(&self) -> StatusCode {
        match self {
            Page::SignedIn { .. } => StatusCode::OK,
            Page::Denied => StatusCode::FORBIDDEN,
            Page::Failed { .. } => StatusCode::BAD_GATEWAY,
            Page::NotTheAnswer => StatusCode::BAD_REQUEST,
            Page::NotHere => StatusCode::NOT_FOUND,
            Page::Over => StatusCode::GONE,
        }
    }

    fn html(&self) -> String {
        let (title, text) = match self {
            Page::SignedIn { name, is_whole: true } => {
                (format!("Signed in as {name}"), "You can close this page.".to_owned())
            }
            Page::SignedIn { name, is_whole: false } => (
                format!("Signed in as {name}"),
                "Not all permissions were granted; segno says which, and what it cannot do without them. You can \
                 close this page."
                    .to_owned(),
            ),
            Page::Denied => (
                "Not signed in".to_owned(),
                "Access was not granted. Nothing was stored. To sign in after all, run \"segno login\" again."
                    .to_owned(),
            ),
            Page::Failed { why } => ("Not signed in".to_owned(), format!("{why}.")),
            Page::NotTheAnswer => (
                "Not this sign-in".to_owned(),
                "This is not the answer that segno waits for. Use the address that it shows now.".to_owned(),
            ),
            Page::NotHere => ("Nothing here".to_owned(), "segno waits for a sign-in, which is not this.".to_owned()),
            Page::Over => ("Over".to_owned(), "This sign-in has ended already. segno says how it went.".to_owned()),
        };
        let (title, text) = (escaped(&title), escaped(&text));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} - segno</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto 0;padding:0 1rem;\
             color-scheme:light dark}}h1{{font-size:1.5rem}}</style>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
        )
    }
}

/// Text that a page can hold: names come from people.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_part_of_the_page() {
        let page = Page::SignedIn { name: "<script>alert('x')</script> & \"Co\"".into(), is_whole: true };
        let html = page.html();
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;Co&quot;"), "{html}");
    }

    #[test]
    fn the_redirect_is_a_loopback_address_in_digits() {
        assert_eq!(redirect_uri(4711).as_str(), "http://127.0.0.1:4711/callback");
        assert_eq!(redirect_uri(80).as_str(), "http://127.0.0.1/callback");
    }
}
