//! A connection to the tests' PostgreSQL that can be cut: data sent meanwhile arrives later, as over a network that
//! recovers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

pub struct Link {
    port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Link {
    /// `None`, with a notice, if the server is not reached by a socket.
    pub fn to_server() -> Option<Link> {
        let Some(socket) = socket() else {
            eprintln!("SKIPPED: the tests' server is not reached by a socket");
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_cut = Arc::new(AtomicBool::new(false));
        let seen = is_cut.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                carry(&client, &server, &seen);
            }
        });
        Some(Link { port, is_cut })
    }

    /// The same database, through this connection.
    pub fn url(&self, database: &str) -> String {
        let name = database.rsplit('/').next().expect("a name").split('?').next().expect("a name");
        format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn socket() -> Option<PathBuf> {
    let url = std::env::var("SEGNO_TEST_POSTGRES_URL").ok()?;
    let folder = url.split_once('@')?.1.split('/').next()?.replace("%2F", "/");
    let socket = Path::new(&folder).join(".s.PGSQL.5432");
    (folder.starts_with('/') && socket.exists()).then_some(socket)
}

fn carry(client: &TcpStream, server: &UnixStream, is_cut: &Arc<AtomicBool>) {
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let (Ok(back), Ok(home)) = (server.try_clone(), client.try_clone()) else { return };
    let (there, here) = (is_cut.clone(), is_cut.clone());
    thread::spawn(move || {
        copy(from, &to, &there);
        let _ = to.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        copy(back, &home, &here);
        let _ = home.shutdown(Shutdown::Both);
    });
}

fn copy(mut from: impl Read, mut to: impl Write, is_cut: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        while is_cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        if to.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}
