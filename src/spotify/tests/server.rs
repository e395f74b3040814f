//! An HTTP/1.1 server that answers each request by its closure and then closes the connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use url::Url;

pub struct Server {
    pub url: Url,
    /// What happened, in order: `GET /v1/me a1`, `POST /api/token r1`.
    pub log: Log,
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

pub struct Request {
    /// Path and query.
    pub target: String,
    pub headers: HashMap<String, String>,
    pub form: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Closes the connection this many bytes before the end of the body.
    pub cut: usize,
    pub delay: Duration,
}

impl Log {
    pub fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Request {
    pub fn is_token(&self) -> bool {
        self.target == "/api/token"
    }

    /// The access token, or the refresh token, that came with it.
    pub fn token(&self) -> &str {
        let bearer = self.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or(self.form.get("refresh_token").map(String::as_str)).unwrap_or_default()
    }
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply::status(200, body)
    }

    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into(), cut: 0, delay: Duration::ZERO }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

impl Server {
    pub async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (log, answer) = (Log::default(), Arc::new(answer));
        let server = Server { url, log: log.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, answer) = (log.clone(), answer.clone());
                // A client that goes away early is part of some tests.
                tokio::spawn(async move { serve(stream, &log, &*answer).await.ok() });
            }
        });
        server
    }
}

async fn serve(stream: TcpStream, log: &Log, answer: &(dyn Fn(&Request) -> Reply + Sync)) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let request = Request { target, headers, form };
    log.push(format!("{method} {} {}", request.target, request.token()));
    let reply = answer(&request);
    tokio::time::sleep(reply.delay).await;
    let mut head =
        format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    stream.write_all(&reply.body[..reply.body.len() - reply.cut]).await?;
    stream.shutdown().await
}
