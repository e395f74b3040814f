//! A nats-server of the test's own, with JetStream, that can be killed and lose its disk, and the contents of its stream;
//! or three of them that keep one stream together.

use super::{authority::Authority, block_on, free_port, needs, wait_until};
use async_nats::jetstream::{self, message::StreamMessage, stream::Config};
use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

pub const STREAM: &str = "SEGNO_CHANGES";

/// Who may sign in: user and password.
pub type SignIn = (&'static str, &'static str);

/// The name in the certificate of a server that has one.
pub const HOST: &str = "localhost";

pub struct Broker {
    folder: TempDir,
    program: Child,
    pub port: u16,
    /// Arguments beside its address and its disk.
    args: Vec<String>,
    /// The user and password required to sign in, if any.
    sign_in: Option<SignIn>,
    /// The authority that signed its certificate, if it accepts TLS alone.
    authority: Option<PathBuf>,
}

impl Broker {
    /// `None`, with a notice, if nats-server is not installed.
    pub fn start() -> Option<Broker> {
        Broker::start_for(None)
    }

    pub fn start_for(sign_in: Option<SignIn>) -> Option<Broker> {
        needs::has("nats-server").then(|| Broker::start_with(&[], sign_in, None))
    }

    /// One that takes TLS alone, by a certificate for [`HOST`].
    pub fn start_with_tls(authority: &Authority, sign_in: SignIn) -> Option<Broker> {
        let files = authority.certify(HOST).map(|file| file.display().to_string());
        let [certificate, key] = &files;
        let args = ["--tls", "--tlscert", certificate, "--tlskey", key];
        needs::has("nats-server").then(|| Broker::start_with(&args, Some(sign_in), Some(authority.file())))
    }

    /// With more arguments; nats-server is there.
    fn start_with(args: &[&str], sign_in: Option<SignIn>, authority: Option<PathBuf>) -> Broker {
        Broker::start_at(free_port(), args, sign_in, authority)
    }

    fn start_at(port: u16, args: &[&str], sign_in: Option<SignIn>, authority: Option<PathBuf>) -> Broker {
        let folder = tempfile::tempdir().expect("a folder");
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let program = serve(&folder, port, &args, sign_in);
        Broker { folder, program, port, args, sign_in, authority }
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
        self.program = serve(&self.folder, self.port, &self.args, self.sign_in);
    }

    async fn context(&self) -> jetstream::Context {
        let options = async_nats::ConnectOptions::new();
        let options = match self.sign_in {
            Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options,
        };
        let options = match &self.authority {
            Some(file) => options.require_tls(true).add_root_certificates(file.clone()),
            None => options,
        };
        jetstream::new(options.connect(format!("{HOST}:{}", self.port)).await.expect("it answers"))
    }

    /// All messages of the stream that it returns, in order; none if there is no stream.
    pub fn messages(&self) -> Vec<StreamMessage> {
        block_on(async {
            let Ok(stream) = self.context().await.get_stream(STREAM).await else { return Vec::new() };
            let state = stream.cached_info().state.clone();
            let mut messages = Vec::new();
            for sequence in state.first_sequence.max(1)..=state.last_sequence {
                let Ok(message) = stream.get_raw_message(sequence).await else { break };
                messages.push(message);
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
        block_on(async { self.context().await.delete_stream(STREAM).await.expect("it was there") });
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Three servers of one system, and a stream that is on the disks of all of them.
pub struct Brokers {
    servers: Vec<Broker>,
    /// The one that is dead.
    dead: Option<usize>,
}

impl Brokers {
    /// `None`, and a word of it, where nats-server is not installed.
    pub fn start() -> Option<Brokers> {
        if !needs::has("nats-server") {
            return None;
        }
        let ports = [(); 6].map(|()| free_port());
        let (of_clients, of_servers) = ports.split_at(3);
        let routes: Vec<String> = of_servers.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let start = |at: usize| {
            let (name, all) = (at.to_string(), routes.join(","));
            let args = ["--name", &name, "--cluster_name", "three", "--cluster", &routes[at], "--routes", &all];
            Broker::start_at(of_clients[at], &args, None, None)
        };
        let brokers = Brokers { servers: (0..3).map(start).collect(), dead: None };
        // They take a moment to find a leader.
        wait_until("the stream is made", || block_on(brokers.make_stream()).is_ok());
        Some(brokers)
    }

    /// As a person would who wants it on three servers.
    async fn make_stream(&self) -> Result<(), String> {
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["segno.changes.*".to_owned()],
            num_replicas: 3,
            ..Config::default()
        };
        let made = self.servers[0].context().await.create_stream(config).await;
        made.map(|_| ()).map_err(|error| error.to_string())
    }

    pub fn url(&self) -> String {
        self.servers.iter().map(Broker::url).collect::<Vec<_>>().join(",")
    }

    fn living(&self) -> &Broker {
        &self.servers[usize::from(self.dead == Some(0))]
    }

    /// Which one leads the stream, where the others have agreed on one.
    pub fn leader(&self) -> Option<usize> {
        block_on(async {
            let stream = self.living().context().await.get_stream(STREAM).await.ok()?;
            let leader: usize = stream.cached_info().cluster.as_ref()?.leader.as_ref()?.parse().ok()?;
            Some(leader).filter(|leader| self.dead != Some(*leader))
        })
    }

    /// SIGKILL for the one that leads the stream.
    pub fn kill_leader(&mut self) -> usize {
        wait_until("one leads", || self.leader().is_some());
        let leader = self.leader().expect("just seen");
        self.servers[leader].kill();
        self.dead = Some(leader);
        leader
    }

    pub fn start_dead_again(&mut self) {
        let dead = self.dead.take().expect("one was killed");
        self.servers[dead].start_again();
    }

    /// The numbers of the entries in the stream.
    pub fn seqs(&self) -> Vec<i64> {
        self.living().seqs()
    }
}

fn serve(folder: &TempDir, port: u16, args: &[String], sign_in: Option<SignIn>) -> Child {
    let log = fs::File::create(folder.path().join("log")).expect("a file");
    let mut command = Command::new("nats-server");
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"]);
    command.arg(folder.path()).args(args);
    if let Some((user, password)) = sign_in {
        command.args(["--user", user, "--pass", password]);
    }
    let program = command.stdout(Stdio::null()).stderr(log).spawn().expect("nats-server runs");
    wait_until("nats-server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    program
}
