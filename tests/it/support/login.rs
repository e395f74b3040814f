//! A running `segno login`, and a person with a browser of a few lines.

use super::http;
use super::{Database, Ended, Running, Sandbox, Segno, block_on, wait_until};
use std::{os::unix::fs::PermissionsExt, path::PathBuf};

pub struct Login {
    pub running: Running,
    stderr: PathBuf,
    opened: PathBuf,
}

impl Login {
    /// Starts `segno login ARGS...` without the refresh token of the environment. The program that would open a browser
    /// writes down the address instead.
    pub fn start(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Login {
        Login::start_with(Segno::on(database, sandbox, &[&["login"], args].concat()), database)
    }

    pub fn start_with(segno: Segno, database: &Database) -> Login {
        let folder = database.folder.path();
        let (stderr, opened) = (folder.join("login.stderr"), folder.join("opened"));
        let _ = std::fs::remove_file(&opened);
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).expect("a folder");
        let opener = bin.join("xdg-open");
        let script = format!("#!/bin/sh\nprintf '%s' \"$1\" > '{}'\n", opened.display());
        // An earlier login may be running it at this moment: such a file cannot be written to, but it can be replaced.
        let draft = bin.join("draft");
        std::fs::write(&draft, script).expect("a file");
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        std::fs::rename(&draft, &opener).expect("one opener");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let segno = segno.env("PATH", &path).without_env("SEGNO_SPOTIFY_REFRESH_TOKEN");
        Login { running: segno.conversing(&stderr).spawn(), stderr, opened }
    }

    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The address of the consent page, once it is shown.
    pub fn url(&self) -> String {
        let url = || {
            let told = self.told();
            let at = told.lines().find_map(|line| line.find("/authorize?").map(|at| (line, at)));
            // In a JSON log it is between quotes.
            at.map(|(line, at)| {
                let begin = line[..at].rfind('"').map_or(0, |quote| quote + 1);
                line[begin..].split('"').next().unwrap_or_default().trim().to_owned()
            })
        };
        wait_until("the address is shown", || url().is_some());
        url().expect("just seen")
    }

    /// The address that a browser was opened at.
    pub fn opened(&self) -> String {
        let url = || std::fs::read_to_string(&self.opened).unwrap_or_default();
        wait_until("a browser is opened", || !url().is_empty());
        url()
    }

    /// Where the consent page sends a person who clicks there.
    pub fn answer_of(&self, click: &str) -> String {
        let url = format!("{}&{click}", self.url());
        let client = http::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        block_on(async {
            let response = client.get(url).send().await.expect("the sandbox answers");
            let status = response.status();
            let location = response.headers().get("location").map(|to| to.to_str().expect("text").to_owned());
            location.unwrap_or_else(|| panic!("{status} leads nowhere"))
        })
    }

    /// The person agrees, as the `user`th of the sandbox, and is sent back. Returns the final page.
    pub fn agree(&self, user: usize) -> (u16, String) {
        visit(&self.answer_of(&format!("sandbox_user={user}")))
    }

    /// The end of the command, with all its output.
    pub fn end(self) -> Ended {
        let ended = self.running.wait();
        let stderr = std::fs::read_to_string(&self.stderr).expect("a file");
        Ended { stderr, ..ended }
    }

    /// A whole successful sign-in.
    pub fn complete(database: &Database, sandbox: &Sandbox, user: usize) -> Ended {
        let login = Login::start(database, sandbox, &["--json"]);
        let (status, page) = login.agree(user);
        let ended = login.end();
        assert_eq!((ended.code, status), (Some(0), 200), "{}\n{page}", ended.told());
        ended
    }
}

/// Status and text of a page.
pub fn visit(url: &str) -> (u16, String) {
    visit_with(url, None)
}

pub fn visit_with(url: &str, host: Option<&str>) -> (u16, String) {
    block_on(async {
        let mut request = http::client().get(url);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        let (status, body) = (response.status().as_u16(), response.bytes().await.expect("a body"));
        (status, String::from_utf8_lossy(&body).into_owned())
    })
}
