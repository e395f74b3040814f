//! Behind a proxy that serves the page below a path (`web.base_path`): the page in a browser, with a token, and no
//! links outside that path.

use super::{Page, Service};
use crate::support::{
    Backend, Database, Sandbox,
    browser::Browser,
    free_port,
    proxy::{self, Path},
    wait_until,
};

const TOKEN: &str = "the-token-of-this-test";
const BASE: &str = "/tools/segno";

/// The page through the proxy, and its port.
fn behind(path: Path) -> Option<(Page, u16)> {
    let browser = Browser::start()?;
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 20, 20, 2, 20));
    let port = free_port();
    let segno = Service::command(&database, &sandbox, port);
    // A trailing slash does no harm.
    let segno = segno.env("SEGNO_WEB_TOKEN", TOKEN).env("SEGNO_WEB_BASE_PATH", "/tools/segno/");
    let service = Service::spawn(segno, port);
    let proxy = proxy::in_front_of(port, BASE, path);
    Some((Page { browser, database, sandbox, service, port: proxy }, port))
}

fn walk_through(path: Path) {
    let Some((page, port)) = behind(path) else { return };
    let at = |view: &str| page.browser.url() == format!("http://127.0.0.1:{}{BASE}{view}", page.port);
    page.browser.go(&page.url(&format!("{BASE}/library?tab=albums")));
    page.wait_for("label", "Token");
    assert!(at("/sign-in"), "{}", page.browser.url());
    page.browser.fill("#token", TOKEN);
    page.browser.click("button");
    page.wait_for("#link", "Live");
    page.wait_for_sentence("Everything is current");
    assert!(at("/"), "{}", page.browser.url());

    page.browser.click(".top nav a[href$=library]");
    page.wait_for(".rows .name", "");
    assert!(at("/library"), "{}", page.browser.url());
    assert_eq!(page.texts(".top nav a[aria-current=page]"), ["Library"]);
    page.browser.click("a[href*='tab=playlists']");
    wait_until("playlists are shown", || !page.listed().is_empty());
    page.browser.click(".rows a.name");
    wait_until("a playlist is shown", || page.browser.url().contains("playlist="));
    page.browser.reload();
    page.wait_for(".rows .name", "");
    page.browser.click(".brand");
    page.browser.click(".entity[data-type=tracks] .pause");
    page.wait_for(".entity[data-type=tracks]", "Paused by hand");
    let asked = page
        .browser
        .run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)");
    let beside: Vec<&str> = asked.as_array().expect("paths").iter().filter_map(|path| path.as_str()).collect();
    assert!(beside.len() > 20 && beside.iter().all(|path| path.starts_with("/tools/segno/")), "{beside:?}");
    page.assert_silent(&["401"]);

    page.browser.click(".out button");
    wait_until("it asks for the token", || at("/sign-in"));
    // Without the proxy the same page works.
    page.browser.go(&format!("http://127.0.0.1:{port}/activity"));
    page.wait_for("label", "Token");
    assert!(page.browser.url().ends_with("/tools/segno/sign-in"), "{}", page.browser.url());
    page.browser.fill("#token", TOKEN);
    page.browser.click("button");
    page.wait_for("#link", "Live");
    page.service.stop();
}

#[test]
fn the_page_is_whole_below_a_path_that_the_proxy_keeps() {
    walk_through(Path::Kept);
}

#[test]
fn the_page_is_whole_below_a_path_that_the_proxy_takes_away() {
    walk_through(Path::TakenAway);
}
