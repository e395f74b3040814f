//! A receiver of webhooks: a small HTTP server of the test's own, with set answers, that records the requests.

use super::free_port;
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The status of the answer; `None` if there was none.
    pub status: Option<u16>,
}

/// How one request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// After this delay.
    Slowly(Duration),
    /// Not at all, for as long as the test runs.
    Never,
    /// The connection is closed.
    Closed,
}

pub struct Receiver {
    pub port: u16,
    came: Arc<Mutex<Vec<Delivery>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    is_over: Arc<AtomicBool>,
}

impl Receiver {
    pub fn start() -> Receiver {
        Receiver::on(free_port())
    }

    /// On a port that was free before.
    pub fn on(port: u16) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let receiver = Receiver {
            port: listener.local_addr().expect("an address").port(),
            came: Arc::default(),
            answers: Arc::default(),
            is_over: Arc::default(),
        };
        let (came, answers, is_over) = (receiver.came.clone(), receiver.answers.clone(), receiver.is_over.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (came, answers) = (came.clone(), answers.clone());
                let is_over = is_over.clone();
                thread::spawn(move || serve(client, &came, &answers, &is_over));
            }
        });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next requests are answered like this, each once; all others with 204.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().expect("no panic").extend(answers);
    }

    pub fn came(&self) -> Vec<Delivery> {
        self.came.lock().expect("no panic").clone()
    }

    /// Requests that were answered with success.
    pub fn taken(&self) -> Vec<Delivery> {
        let mut came = self.came();
        came.retain(|delivery| delivery.status.is_some_and(|status| (200..300).contains(&status)));
        came
    }
}

/// From then on nothing listens there.
impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Delivery {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn serve(
    client: TcpStream,
    came: &Mutex<Vec<Delivery>>,
    answers: &Mutex<VecDeque<Answer>>,
    is_over: &AtomicBool,
) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut client = client;
    loop {
        let (target, headers) = head(&mut reader)?;
        let delivery = Delivery { target, headers, body: String::new(), status: None };
        let mut body = vec![0; delivery.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        if is_over.load(Ordering::SeqCst) {
            return None;
        }
        let body = String::from_utf8(body).expect("UTF-8");
        let at = {
            let mut came = came.lock().expect("no panic");
            came.push(Delivery { body, ..delivery });
            came.len() - 1
        };
        let answer = answers.lock().expect("no panic").pop_front();
        let status = match answer {
            None => 204,
            Some(Answer::Status(status)) => status,
            Some(Answer::Slowly(wait)) => {
                thread::sleep(wait);
                200
            }
            Some(Answer::Never) => loop {
                thread::park();
            },
            Some(Answer::Closed) => return None,
        };
        came.lock().expect("no panic")[at].status = Some(status);
        let place = if (300..400).contains(&status) { "location: http://127.0.0.1:9/\r\n" } else { "" };
        let length = if status == 204 { "" } else { "content-length: 0\r\n" };
        client.write_all(format!("HTTP/1.1 {status} x\r\n{place}{length}\r\n").as_bytes()).ok()?;
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<(String, String)>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let target = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Some((target, headers)),
        }
    }
}
