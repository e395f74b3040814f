//! The real binary, as a user starts it.

use super::{Database, Sandbox, wait_until};
use serde_json::Value;
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A `segno` command about to be run, in an environment without the caller's settings.
pub struct Segno {
    command: Command,
    /// Where its stderr goes, unless to a pipe.
    log: Option<PathBuf>,
}

/// A finished command.
#[derive(Debug, Clone)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// A command under way.
/// Lines of a process that are shown where its test fails.
const LAST_LINES: usize = 80;

pub struct Running {
    child: Child,
    log: Option<PathBuf>,
    began: Instant,
}

impl Segno {
    /// `segno ARGS...` with a home folder of its own.
    pub fn new(home: &std::path::Path, args: &[&str]) -> Segno {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segno"));
        let inherited = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("SEGNO_"));
        inherited.for_each(|name| {
            command.env_remove(name);
        });
        command.args(args).current_dir(home).env("HOME", home).env("NO_COLOR", "1");
        command.env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Segno { command, log: None }
    }

    /// The same against a sandbox and a database, with a gate that does not slow the test down and no status page:
    /// tests run concurrently, and there is one port.
    pub fn on(database: &Database, sandbox: &Sandbox, args: &[&str]) -> Segno {
        let mut segno = Segno::new(database.folder.path(), args).env("SEGNO_DATABASE_URL", &database.url());
        for (name, value) in &sandbox.env {
            segno = segno.env(name, value);
        }
        segno
            .env("SEGNO_RATE_LIMIT_REQUESTS", "100000")
            .env("SEGNO_RATE_LIMIT_WINDOW", "1s")
            .env("SEGNO_SYNC_REMOVAL_WAIT", "0s")
            .env("SEGNO_WEB_LISTEN", "off")
    }

    /// `segno run`, with a run every two seconds, and a look at the feed many times a second.
    pub fn hasty(database: &Database, sandbox: &Sandbox) -> Segno {
        Segno::on(database, sandbox, &["run"])
            .env("SEGNO_SYNC_INTERVAL", "1m")
            .env("SEGNO_SYNC_ARTISTS_EVERY", "1m")
            .env("SEGNO_FAULT_HASTE", "30")
    }

    pub fn env(mut self, name: &str, value: &str) -> Segno {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Segno {
        self.command.env_remove(name);
        self
    }

    /// Runs it through a shell: `script` says what `bash` does with `"$@"`, the command and its arguments.
    pub fn through(self, script: &str) -> Segno {
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash"]).arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(self.command.get_current_dir().expect("a working directory"));
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Segno { command, log: None }
    }

    /// For a dialogue: stdin is a pipe, and stderr goes to a file, where it can be read while the command runs.
    pub fn conversing(mut self, stderr: &std::path::Path) -> Segno {
        self.log = Some(stderr.to_owned());
        let stderr = std::fs::File::create(stderr).expect("a file");
        self.command.stdin(Stdio::piped()).stderr(stderr);
        self
    }

    pub fn spawn(mut self) -> Running {
        Running { child: self.command.spawn().expect("the binary starts"), log: self.log, began: Instant::now() }
    }

    /// Runs to the end.
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }

    /// Runs to the end and expects success.
    pub fn succeed(self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        ended
    }
}

/// A failing test leaves nothing running, and prints the last output.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut said = self.log.take().and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
            if let Some(mut stderr) = self.child.stderr.take() {
                let _ = stderr.read_to_end(&mut said);
            }
            let said = String::from_utf8_lossy(&said);
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
        }
    }
}

impl Running {
    /// SIGKILL: no clean-up of any kind.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal by its name, for example `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill is there");
        assert!(status.success(), "kill -{name} {pid}");
    }

    /// Writes to its stdin, if that is a pipe.
    pub fn tell(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads");
    }

    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether SIGTERM is handled already, instead of ending the process.
    pub fn catches_sigterm(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        caught & (1 << (15 - 1)) != 0
    }

    /// SIGTERM, once it is handled.
    pub fn terminate(&self) {
        wait_until("it listens for signals", || self.catches_sigterm());
        self.signal("TERM");
    }

    /// SIGTERM, as systemd sends it; expects a clean end.
    pub fn stop(self) -> Ended {
        self.terminate();
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.told());
        ended
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end; a command that takes longer than two minutes from here on has hung.
    pub fn wait(mut self) -> Ended {
        let called_at = Instant::now();
        // Both pipes are drained while it runs, or it would block at a full one.
        let drain = |pipe: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    pipe.read_to_end(&mut bytes).expect("a pipe");
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = drain(self.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let stderr = drain(self.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status.code();
            }
            if called_at.elapsed() > Duration::from_secs(120) {
                let _ = self.child.kill();
                panic!("the command hangs; stderr: {}", stderr.join().expect("a thread"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let (stdout, stderr) = (stdout.join().expect("a thread"), stderr.join().expect("a thread"));
        Ended { code, stdout, stderr, took: self.began.elapsed() }
    }
}

impl Ended {
    /// All its output, for a failing test.
    pub fn told(&self) -> String {
        format!("exit {:?} after {:?}\nstdout:\n{}\nstderr:\n{}", self.code, self.took, self.stdout, self.stderr)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{}", self.told()))
    }

    /// Asserts that it was refused: this exit code, nothing on stdout, and one clear line on stderr with these parts.
    pub fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.told());
        assert_eq!(self.stdout, "", "{}", self.told());
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.told());
        assert!(self.stderr.starts_with("segno: "), "{}", self.told());
        self.assert_calm();
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.told());
        }
    }

    /// Asserts that nothing in it looks like a crash to the person who reads it.
    pub fn assert_calm(&self) {
        for scare in ["panicked", "RUST_BACKTRACE", "unwrap", "stack backtrace", "src/"] {
            assert!(!self.stderr.contains(scare) && !self.stdout.contains(scare), "{scare}: {}", self.told());
        }
    }

    /// The entry of an entity type in `sync --json`.
    pub fn entity(&self, entity_type: &str) -> Value {
        let report = self.json();
        let entities = report["entities"].as_array().expect("entities").clone();
        entities.into_iter().find(|entity| entity["entity_type"] == entity_type).expect("the entity type")
    }
}
