//! A nats-server of the test's own, with JetStream, that can be killed and lose its disk; and the contents of its
//! stream.

use super::{block_on, servers::skipped, wait_until};
use async_nats::jetstream::{self, message::StreamMessage};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

pub const STREAM: &str = "SEGNO_CHANGES";

pub struct Broker {
    folder: TempDir,
    program: Child,
    pub port: u16,
    /// The user and password required to sign in, if any.
    sign_in: Option<(&'static str, &'static str)>,
}

impl Broker {
    /// `None`, with a notice, if nats-server is not installed.
    pub fn start() -> Option<Broker> {
        Broker::start_for(None)
    }

    pub fn start_for(sign_in: Option<(&'static str, &'static str)>) -> Option<Broker> {
        if Command::new("nats-server").arg("--version").output().is_err() {
            skipped("nats-server");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let program = serve(&folder, port, sign_in);
        Some(Broker { folder, program, port, sign_in })
    }

    pub fn url(&self) -> String {
        match self.sign_in {
            Some((user, password)) => format!("nats://{user}:{password}@127.0.0.1:{}", self.port),
            None => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program.kill().expect("it ran");
        let _ = self.program.wait();
    }

    /// Deletes what it had on disk.
    pub fn wipe(&self) {
        fs::remove_dir_all(self.folder.path().join("jetstream")).expect("it had a disk");
    }

    pub fn start_again(&mut self) {
        self.program = serve(&self.folder, self.port, self.sign_in);
    }

    async fn client(&self) -> async_nats::Client {
        let options = async_nats::ConnectOptions::new();
        let options = match self.sign_in {
            Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options,
        };
        options.connect(format!("127.0.0.1:{}", self.port)).await.expect("it answers")
    }

    /// All messages of the stream, in order; none if there is no stream.
    pub fn messages(&self) -> Vec<StreamMessage> {
        block_on(async {
            let context = jetstream::new(self.client().await);
            let Ok(stream) = context.get_stream(STREAM).await else { return Vec::new() };
            let state = stream.cached_info().state.clone();
            let mut messages = Vec::new();
            for sequence in state.first_sequence.max(1)..=state.last_sequence {
                messages.push(stream.get_raw_message(sequence).await.expect("a message"));
            }
            messages
        })
    }

    /// The numbers of the entries in it.
    pub fn seqs(&self) -> Vec<i64> {
        let seq = |message: StreamMessage| {
            let body: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
            body["seq"].as_i64().expect("a number")
        };
        self.messages().into_iter().map(seq).collect()
    }

    pub fn delete_stream(&self) {
        block_on(async {
            jetstream::new(self.client().await).delete_stream(STREAM).await.expect("it was there");
        });
    }
}

fn serve(folder: &TempDir, port: u16, sign_in: Option<(&str, &str)>) -> Child {
    let log = fs::File::create(folder.path().join("log")).expect("a file");
    let mut command = Command::new("nats-server");
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"]);
    command.arg(folder.path());
    if let Some((user, password)) = sign_in {
        command.args(["--user", user, "--pass", password]);
    }
    let program = command.stdout(Stdio::null()).stderr(log).spawn().expect("nats-server runs");
    wait_until("nats-server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    program
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
