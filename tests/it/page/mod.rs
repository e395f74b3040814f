//! The status page in a real browser: the page of the real binary, beside the sandbox.

mod below;
mod library;
mod listening;
mod now;
mod sign_in_page;
mod views;

use super::support::{Backend, Database, Running, Sandbox, Segno, browser::Browser, free_port, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

/// A service with its page open in a browser.
struct Page {
    browser: Browser,
    database: Database,
    sandbox: Sandbox,
    service: Service,
    port: u16,
}

/// Ended with the test, even one that fails.
struct Service(Option<Running>);

impl Page {
    /// `None` if there is no browser.
    fn open(backend: Backend, sandbox: Sandbox, path: &str) -> Option<Page> {
        Page::open_on(Database::new(backend), sandbox, path)
    }

    fn open_on(database: Database, sandbox: Sandbox, path: &str) -> Option<Page> {
        Page::open_with(|segno| segno, database, sandbox, path)
    }

    /// The same with other settings.
    fn open_with(set: impl Fn(Segno) -> Segno, database: Database, sandbox: Sandbox, path: &str) -> Option<Page> {
        let browser = Browser::start()?;
        let port = free_port();
        let service = Service::spawn(set(Service::command(&database, &sandbox, port)), port);
        let page = Page { browser, database, sandbox, service, port };
        page.browser.go(&page.url(path));
        Some(page)
    }

    /// The same, once everything has been read.
    fn settled(backend: Backend, sandbox: Sandbox, path: &str) -> Option<Page> {
        let page = Page::open(backend, sandbox, "/")?;
        page.wait_for_sentence("Everything is current");
        if path != "/" {
            page.browser.go(&page.url(path));
        }
        Some(page)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn has(&self, selector: &str) -> bool {
        self.browser.run(&format!("return document.querySelector({}) !== null", json!(selector))) == true
    }

    /// The visible text of everything that a selector matches, a line each.
    fn texts(&self, selector: &str) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll({})].filter((node) => node.checkVisibility()).map((node) => node.innerText)",
            json!(selector)
        );
        let found = self.browser.run(&script);
        let found = found.as_array().expect("texts").iter();
        found.map(|text| text.as_str().expect("text").to_owned()).collect()
    }

    /// The names in a list, including rows that are out of sight.
    fn listed(&self) -> Vec<String> {
        let names =
            self.browser.run("return [...document.querySelectorAll('.rows .name')].map((node) => node.textContent)");
        serde_json::from_value(names).expect("names")
    }

    fn shows(&self, selector: &str, part: &str) -> bool {
        self.texts(selector).iter().any(|text| text.contains(part))
    }

    fn wait_for(&self, selector: &str, part: &str) {
        let (began, mut opened) = (Instant::now(), Instant::now());
        while !self.shows(selector, part) {
            let told = || (self.texts(selector), self.browser.url(), self.browser.complaints());
            assert!(began.elapsed().as_secs() < 30, "{selector} does not show \"{part}\" but {:?}", told());
            // On a busy machine the browser may give up a connection, and with it one of the page's modules. The page
            // then loads itself again, unless the script that does so is what is missing: then a person reloads.
            if opened.elapsed().as_secs() >= 8 && self.has("#view > noscript") {
                let complaints = self.browser.complaints();
                eprintln!("the view was not opened: {complaints:?}");
                assert!(complaints.iter().all(|line| line.contains("net::ERR_")), "{complaints:?}");
                self.browser.reload();
                opened = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_sentence(&self, part: &str) {
        self.wait_for(".sentence", part);
    }

    /// Whether nothing overflows horizontally.
    fn fits(&self) -> bool {
        let wide = self.browser.run("return [document.documentElement.scrollWidth, window.innerWidth]");
        wide[0].as_u64() <= wide[1].as_u64()
    }

    /// Asserts that nothing has gone wrong in the page so far, except for what is expected.
    fn assert_silent(&self, expected: &[&str]) {
        let complaints = self.browser.complaints();
        let unexpected = complaints.iter().filter(|line| !expected.iter().any(|part| line.contains(part)));
        assert_eq!(unexpected.collect::<Vec<_>>(), [""; 0]);
    }
}

impl Service {
    fn command(database: &Database, sandbox: &Sandbox, port: u16) -> Segno {
        Segno::on(database, sandbox, &["run"]).env("SEGNO_WEB_LISTEN", &format!("127.0.0.1:{port}"))
    }

    fn spawn(segno: Segno, port: u16) -> Service {
        let service = Service(Some(segno.spawn()));
        let address = format!("127.0.0.1:{port}");
        wait_until("the page is served", || std::net::TcpStream::connect(&address).is_ok());
        service
    }

    /// Stops it as systemd would.
    fn stop(mut self) {
        self.0.take().expect("it runs").stop().assert_calm();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.kill();
        }
    }
}
