//! A real headless Chromium, driven through chromedriver by the few WebDriver calls that the tests need.

use super::http;
use super::{block_on, needs, wait_until};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, PoisonError},
};
use tempfile::TempDir;

/// No telemetry, no updates, no first-run pages, and nothing that a container lacks.
const SWITCHES: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--metrics-recording-only",
    "--window-size=1200,900",
];

/// The key under which WebDriver passes elements around (W3C WebDriver, 11.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Browsers that run at a time: each keeps a core busy while it loads a page, and tests wait for what it shows.
const BROWSERS_MAX: usize = 3;

static NUM_BROWSERS: Mutex<usize> = Mutex::new(0);
static ONE_LESS: Condvar = Condvar::new();

/// One of the browsers that may run.
struct Place;

pub struct Browser {
    driver: Child,
    /// URL of the session.
    base: String,
    _profile: TempDir,
    _place: Place,
}

/// Whether there is one.
pub fn is_available() -> bool {
    programs().is_some()
}

impl Browser {
    /// `None`, with a notice, if there is no Chromium; a failure if it is required.
    pub fn start() -> Option<Browser> {
        let Some((driver, chromium)) = programs() else {
            needs::left_out("there is no chromium with its chromedriver; tests/run installs both");
            return None;
        };
        let place = Place::take();
        let profile = tempfile::Builder::new().prefix("segno-chromium-").tempdir().expect("a temporary folder");
        // It looks for a free port for each family of addresses, and ends if another process has taken one meanwhile.
        let started = (0..3).find_map(|_| start_driver(&driver, profile.path()));
        let (driver, port) = started.expect("chromedriver starts and says its port");
        let root = format!("http://127.0.0.1:{port}");
        let mut args: Vec<String> = SWITCHES.iter().map(|switch| (*switch).to_owned()).collect();
        args.push(format!("--user-data-dir={}", profile.path().join("data").display()));
        let options = json!({ "binary": chromium, "args": args });
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Browser { driver, base: root.clone(), _profile: profile, _place: place };
        let session = browser.call("POST", "/session", &capabilities);
        browser.base = format!("{root}/session/{}", session["sessionId"].as_str().expect("a session"));
        // The tab that it begins with may still be loading, and take the place of the first page that is asked for.
        browser.go("about:blank");
        wait_until("the browser is ready", || browser.run("return document.readyState") == "complete");
        Some(browser)
    }

    pub fn go(&self, url: &str) {
        wait_until(&format!("it is at {url}"), || {
            self.call("POST", "/url", &json!({ "url": url }));
            self.url().starts_with("http") == url.starts_with("http")
        });
    }

    pub fn url(&self) -> String {
        self.call("GET", "/url", &Value::Null).as_str().expect("a URL").to_owned()
    }

    pub fn title(&self) -> String {
        self.call("GET", "/title", &Value::Null).as_str().expect("a title").to_owned()
    }

    /// Clicks on the element of a CSS selector.
    pub fn click(&self, selector: &str) {
        let id = self.find(selector);
        self.call("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// The visible text of the element of a CSS selector.
    pub fn text(&self, selector: &str) -> String {
        let id = self.find(selector);
        self.call("GET", &format!("/element/{id}/text"), &Value::Null).as_str().expect("text").to_owned()
    }

    /// Runs JavaScript in the page and returns its result.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs JavaScript that hands its result to a callback, `done`.
    pub fn run_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.call("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Runs JavaScript in each document opened from here on, before its own.
    pub fn run_in_every_document(&self, script: &str) {
        self.command("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Replaces the contents of a field.
    pub fn fill(&self, selector: &str, words: &str) {
        let id = self.find(selector);
        self.call("POST", &format!("/element/{id}/clear"), &json!({}));
        self.call("POST", &format!("/element/{id}/value"), &json!({ "text": words }));
    }

    pub fn reload(&self) {
        self.call("POST", "/refresh", &json!({}));
    }

    pub fn back(&self) {
        self.call("POST", "/back", &json!({}));
    }

    /// Sets the inner size of the window.
    pub fn resize(&self, (width, height): (u32, u32)) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &size);
        // As on a phone, where they take no space.
        self.command("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
    }

    /// The user's preferences: `("prefers-color-scheme", "dark")`.
    pub fn prefer(&self, preferences: &[(&str, &str)]) {
        let features = preferences.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let features: Vec<Value> = features.collect();
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    pub fn forget_cookies(&self) {
        self.command("Network.clearBrowserCookies", &json!({}));
    }

    /// Errors in the console since the last call.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().expect("entries").iter().filter(|entry| entry["level"] == "SEVERE");
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Writes a screenshot of the window into a PNG file.
    pub fn picture(&self, file: &Path) {
        let picture = self.command("Page.captureScreenshot", &json!({ "format": "png", "optimizeForSpeed": false }));
        let picture = STANDARD.decode(picture["data"].as_str().expect("base64")).expect("base64");
        std::fs::write(file, picture).expect("a file");
    }

    pub fn wait_for_title(&self, part: &str) {
        wait_until(&format!("the title holds \"{part}\""), || self.title().contains(part));
    }

    /// From here on, nothing that matches any of these arrives.
    pub fn block(&self, addresses: &[&str]) {
        self.command("Network.enable", &json!({}));
        self.command("Network.setBlockedURLs", &json!({ "urls": addresses }));
    }

    /// A command of the DevTools protocol.
    fn command(&self, name: &str, params: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({ "cmd": name, "params": params }))
    }

    fn find(&self, selector: &str) -> String {
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let (status, answer) = block_on(async {
            let client = http::builder().no_proxy().build().expect("a client");
            let request = if method == "GET" { client.get(&url) } else { client.post(&url).body(body.to_string()) };
            let request = request.header("content-type", "application/json");
            let response = request.send().await.expect("chromedriver answers");
            let (status, body) = (response.status(), response.bytes().await.expect("a body"));
            (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
        });
        assert!(status.is_success(), "{method} {path}: {}", answer["value"]);
        answer["value"].clone()
    }
}

impl Place {
    /// Waits for one.
    fn take() -> Place {
        let num = NUM_BROWSERS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut num = ONE_LESS.wait_while(num, |num| *num >= BROWSERS_MAX).unwrap_or_else(PoisonError::into_inner);
        *num += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *NUM_BROWSERS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ONE_LESS.notify_one();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ending the session ends Chromium, too; the driver alone would leave it behind.
        let url = self.base.clone();
        block_on(async {
            let _ = http::client().delete(url).timeout(std::time::Duration::from_secs(10)).send().await;
        });
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn start_driver(program: &Path, home: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(program)
        .args(["--port=0"])
        .env("HOME", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is there");
    let stdout = BufReader::new(driver.stdout.take().expect("piped"));
    let port = stdout.lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse::<u16>().ok()
    });
    if port.is_none() {
        let _ = driver.kill();
        let _ = driver.wait();
    }
    Some((driver, port?))
}

/// chromedriver and Chromium: those of `SEGNO_TEST_CHROMEDRIVER` and `SEGNO_TEST_CHROMIUM`, else those on the path.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let program = |variable: &str, names: &[&str]| {
        let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        named.or_else(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
            names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
        })
    };
    let driver = program("SEGNO_TEST_CHROMEDRIVER", &["chromedriver"])?;
    let chromium = program("SEGNO_TEST_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])?;
    Some((driver, chromium))
}
