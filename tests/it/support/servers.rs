//! Programs that a test starts for itself: a PostgreSQL cluster that it can stop abruptly, and a pooler in between.

use super::{
    free_port,
    island::{Island, NETWORK},
    needs, wait_until,
};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// The user for these programs, which refuse to run as root.
struct Nobody {
    uid: u32,
    gid: u32,
}

/// A PostgreSQL server of the test's own.
pub struct Cluster {
    folder: TempDir,
    server: Child,
    /// Where it listens, besides its socket.
    address: String,
}

/// A pgbouncer in front of the tests' server.
pub struct Pooler {
    _folder: TempDir,
    program: Child,
    port: u16,
}

impl Cluster {
    /// `None`, with a notice, if the programs are not installed.
    pub fn start() -> Option<Cluster> {
        Cluster::start_at(None)
    }

    /// The same, also listening on the address of an island's mainland.
    pub fn start_at(address: Option<&str>) -> Option<Cluster> {
        let Some(programs) = programs() else {
            needs::left_out("PostgreSQL's initdb is not installed");
            return None;
        };
        // A socket's path may have 107 bytes at most.
        let folder = tempfile::Builder::new().prefix("segno-pg-").tempdir_in("/tmp").expect("a folder");
        let data = folder.path().join("data");
        let user = nobody(folder.path());
        let initdb = as_user(&user, &programs.join("initdb"))
            .args(["-N", "-A", "trust", "--no-locale", "-E", "UTF8", "-U", "postgres", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(initdb.expect("initdb runs").success());
        let rule = format!("host all all {NETWORK} trust\n");
        let mut rules = fs::OpenOptions::new().append(true).open(data.join("pg_hba.conf")).expect("initdb made it");
        rules.write_all(rule.as_bytes()).expect("it is ours");
        let address = address.unwrap_or_default().to_owned();
        let server = serve(folder.path(), &programs, &user, &address);
        let cluster = Cluster { folder, server, address };
        cluster.expect_answer();
        Some(cluster)
    }

    fn expect_answer(&self) {
        let socket = self.folder.path().join(".s.PGSQL.5432");
        wait_until("the server answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
                && super::block_on(async { tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.is_ok() })
        });
    }

    /// Stops the server immediately: clients are cut off, and the next start recovers.
    pub fn stop_at_once(&mut self) {
        self.signal_all("QUIT");
        let _ = self.server.wait();
    }

    pub fn start_again(&mut self) {
        let user = nobody(self.folder.path());
        self.server = serve(self.folder.path(), &programs().expect("it ran before"), &user, &self.address);
        self.expect_answer();
    }

    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string();
        format!("postgres://postgres@{}/postgres", folder.replace('/', "%2F"))
    }

    /// Its URL, seen from an island.
    pub fn url_from(&self, island: &Island) -> String {
        format!("postgres://postgres@{}/postgres?sslmode=disable", island.mainland)
    }

    /// Stops the server and every process that serves its connections, like a frozen machine.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    fn signal_all(&self, signal: &str) {
        let server = self.server.id();
        let mut all = vec![server.to_string()];
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().map(str::to_owned));
        let _ = Command::new("kill").arg(format!("-{signal}")).args(all).status();
    }
}

fn serve(folder: &Path, programs: &Path, user: &Option<Nobody>, address: &str) -> Child {
    let log = fs::File::create(folder.join("log")).expect("a file");
    as_user(user, &programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", &format!("listen_addresses={address}"), "-c", "fsync=off", "-c", "max_connections=200"])
        .current_dir(folder)
        .stderr(log)
        .spawn()
        .expect("postgres runs")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.signal_all("CONT");
        self.signal_all("QUIT");
        let _ = self.server.wait();
    }
}

impl Pooler {
    /// `None`, with a notice, if it is not installed. `host` is the folder of the server's socket; `pool` are settings
    /// of the pool, one per line.
    pub fn start(host: &str, pool: &str) -> Option<Pooler> {
        if !needs::has("pgbouncer") {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("segno-pooler-").tempdir_in("/tmp").expect("a folder");
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host={host} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\n{pool}\nmax_client_conn = 50\ndefault_pool_size = 10\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("a file");
        let user = nobody(folder.path());
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let program = as_user(&user, Path::new("pgbouncer")).arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        let pooler = Pooler { _folder: folder, program: program.expect("it runs"), port };
        wait_until("the pooler listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(pooler)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The folder of the newest PostgreSQL programs that are installed.
fn programs() -> Option<PathBuf> {
    let of_env = std::env::var_os("PG_BIN").map(PathBuf::from);
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    installed.sort();
    of_env.into_iter().chain(installed.into_iter().rev()).find(|folder| folder.join("initdb").is_file())
}

/// Gives the folder to the user that will use it.
fn nobody(folder: &Path) -> Option<Nobody> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some(Nobody { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
    };
    let user = ids("postgres").or_else(|| ids("nobody"))?;
    chown(folder, Some(user.uid), Some(user.gid)).expect("root may");
    Some(user)
}

fn as_user(user: &Option<Nobody>, program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(Nobody { uid, gid }) = user {
        command.uid(*uid).gid(*gid);
    }
    command
}
