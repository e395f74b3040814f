//! Where the browser starts and comes back to: a listener on the loopback address for the duration of a sign-in, with
//! the one page that it shows at the end.
//!
//! The browser starts here, since everybody on this machine can read the arguments of the program that opens it: the
//! address of the consent page contains the state of the sign-in, so only a browser of the same user is redirected
//! there.
//!
//! Anything on this machine can send requests here, and a page in the browser can make it do so. So nothing but the
//! answer to this very sign-in has an effect: other paths, other hosts (a DNS name pointed at this machine) and other
//! answers get a page and are forgotten. Nothing that was sent is shown.

use crate::{
    model::text::{in_html, seen},
    web::body,
};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::{KeepAlive, Method, StatusCode, header},
    middleware::from_fn,
    web::{Data, to},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use url::Url;

/// Where answers go. No hyphen: Spotify was seen to refuse one in the path of a loopback address.
pub(super) const PATH: &str = "/callback";

/// The page that redirects to the consent page.
const BEGIN: &str = "/sign-in";

/// A browser opens a few; further ones wait.
const CONNECTIONS_MAX: usize = 32;

/// Requests waiting to be handled; a browser sends one.
const ARRIVALS_MAX: usize = 16;

/// Time for the last page to reach the browser.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// The listener. It stops when told to, or with the process.
pub(super) struct Loopback {
    pub port: u16,
    pub arrivals: mpsc::Receiver<Arrival>,
    consent: Arc<OnceLock<Url>>,
    handle: ServerHandle,
}

/// The browser has come back, and waits for a page.
pub(super) struct Arrival {
    pub query: String,
    pub reply: oneshot::Sender<Farewell>,
}

/// What the browser shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Farewell {
    SignedIn {
        name: String,
        is_whole: bool,
    },
    Denied,
    Failed {
        why: String,
    },
    /// An answer, but to another sign-in.
    NotTheAnswer,
    /// Somebody came here without being sent.
    NotHere,
    /// The sign-in has ended already.
    Over,
}

impl Loopback {
    /// Starts listening; port 0 takes a free one.
    pub fn listen(port: u16) -> io::Result<Loopback> {
        let socket = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let port = socket.local_addr()?.port();
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let consent = Arc::<OnceLock<Url>>::default();
        let callback = Data::new(Callback { port, host: host(port), consent: consent.clone(), sender });
        let app = move || App::new().app_data(callback.clone()).wrap(from_fn(body::whole)).default_service(to(answer));
        let server = HttpServer::new(app)
            .workers(1)
            .max_connections(CONNECTIONS_MAX)
            .disable_signals()
            .keep_alive(KeepAlive::Disabled)
            .shutdown_timeout(FAREWELL_MAX.as_secs())
            .listen(socket)?
            .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Loopback { port, arrivals, consent, handle })
    }

    /// The address that leads a browser to the consent page.
    pub fn begin_at(&self, consent: Url) -> String {
        let _ = self.consent.set(consent);
        format!("http://{}{BEGIN}", host(self.port))
    }

    /// Stops listening once answers under way are sent.
    pub async fn stop(self) {
        drop(self.arrivals);
        let _ = tokio::time::timeout(FAREWELL_MAX, self.handle.stop(true)).await;
    }
}

/// The address that the browser is sent back to.
pub(super) fn redirect_uri(port: u16) -> Url {
    Url::parse(&format!("http://{}{PATH}", host(port))).expect("a plain address")
}

fn host(port: u16) -> String {
    match port {
        80 => Ipv4Addr::LOCALHOST.to_string(),
        port => SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
    }
}

/// The context of a request.
struct Callback {
    port: u16,
    host: String,
    consent: Arc<OnceLock<Url>>,
    sender: mpsc::Sender<Arrival>,
}

async fn answer(request: HttpRequest, callback: Data<Callback>) -> HttpResponse {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let is_ours = request.method() == Method::GET && host == Some(&callback.host);
    if is_ours && request.path() == BEGIN {
        let is_own = request.peer_addr().is_some_and(|peer| !is_of_another_user(peer.port(), callback.port));
        return match callback.consent.get().filter(|_| is_own) {
            Some(consent) => HttpResponse::SeeOther()
                .insert_header((header::LOCATION, consent.as_str()))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .insert_header((header::REFERRER_POLICY, "no-referrer"))
                .finish(),
            None => show(&Farewell::NotHere),
        };
    }
    if !is_ours || request.path() != PATH {
        return show(&Farewell::NotHere);
    }
    let (reply, page) = oneshot::channel();
    let arrival = Arrival { query: request.query_string().to_owned(), reply };
    let page = match callback.sender.send(arrival).await {
        Ok(()) => page.await.unwrap_or(Farewell::Over),
        Err(_) => Farewell::Over,
    };
    show(&page)
}

/// Whether the connection between these ports of the loopback address was certainly made by another user. Linux lists
/// all connections in a table; root may be anybody.
fn is_of_another_user(from_port: u16, to_port: u16) -> bool {
    #[cfg(target_os = "linux")]
    if let Ok(table) = std::fs::read_to_string("/proc/net/tcp")
        && let Some(uid) = uid_of_connection(&table, from_port, to_port)
    {
        return uid != 0 && uid != rustix::process::geteuid().as_raw();
    }
    let _ = (from_port, to_port);
    false
}

/// The user who made a connection, from lines such as `3: 0100007F:A3F2 0100007F:1F90 01 0:0 0:0 0 1000 0 48151`.
#[cfg(target_os = "linux")]
fn uid_of_connection(table: &str, from_port: u16, to_port: u16) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
        let is_it = (port()?, port()?) == (from_port, to_port);
        // State, queues, timer and retransmissions come in between.
        fields.nth(4).filter(|_| is_it)?.parse().ok()
    })
}

fn show(page: &Farewell) -> HttpResponse {
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

impl Farewell {
    fn status(&self) -> StatusCode {
        match self {
            Farewell::SignedIn { .. } => StatusCode::OK,
            Farewell::Denied => StatusCode::FORBIDDEN,
            Farewell::Failed { .. } => StatusCode::BAD_GATEWAY,
            Farewell::NotTheAnswer => StatusCode::BAD_REQUEST,
            Farewell::NotHere => StatusCode::NOT_FOUND,
            Farewell::Over => StatusCode::GONE,
        }
    }

    fn html(&self) -> String {
        let (title, text) = match self {
            Farewell::SignedIn { name, is_whole: true } => {
                (format!("Signed in as {name}"), "You can close this page.".to_owned())
            }
            Farewell::SignedIn { name, is_whole: false } => (
                format!("Signed in as {name}"),
                "Not all permissions were granted; segno says which, and what it cannot do without them. You can \
                 close this page."
                    .to_owned(),
            ),
            Farewell::Denied => (
                "Not signed in".to_owned(),
                "Access was not granted. Nothing was stored. To sign in after all, run \"segno login\" again."
                    .to_owned(),
            ),
            Farewell::Failed { why } => ("Not signed in".to_owned(), format!("{why}.")),
            Farewell::NotTheAnswer => (
                "Not this sign-in".to_owned(),
                "This is not the answer that segno is waiting for. Use the address that it shows now.".to_owned(),
            ),
            Farewell::NotHere => {
                ("Nothing here".to_owned(), "segno is waiting for a sign-in, and this is not part of it.".to_owned())
            }
            Farewell::Over => ("Over".to_owned(), "This sign-in has ended already. segno says how it went.".to_owned()),
        };
        let (title, text) = (in_html(&seen(&title)), in_html(&seen(&text)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_part_of_the_page() {
        let page = Farewell::SignedIn { name: "<script>alert('x')</script> & \"Co\"".into(), is_whole: true };
        let html = page.html();
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;Co&quot;"), "{html}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_table_of_connections_tells_who_made_one() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
                     1: 0100007F:1F90 0100007F:A3F2 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n   \
                     2: 0100007F:A3F2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 3 1\n";
        assert_eq!(uid_of_connection(table, 0xA3F2, 0x1F90), Some(1000));
        assert_eq!(uid_of_connection(table, 0xA3F3, 0x1F90), None);
        // A connection of our own process.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to_port = listener.local_addr().unwrap().port();
        let stream = std::net::TcpStream::connect(("127.0.0.1", to_port)).unwrap();
        let from_port = stream.local_addr().unwrap().port();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(uid_of_connection(&table, from_port, to_port), Some(rustix::process::geteuid().as_raw()));
        assert!(!is_of_another_user(from_port, to_port));
    }

    #[test]
    fn the_redirect_is_a_loopback_address_in_digits() {
        assert_eq!(redirect_uri(4711).as_str(), "http://127.0.0.1:4711/callback");
        assert_eq!(redirect_uri(80).as_str(), "http://127.0.0.1/callback");
    }
}
