//! A small proxy in front of a service: it forwards requests below one path, with or without that path, and nothing
//! else.

use std::{
    io::{BufRead, BufReader, Read, Write, copy},
    net::{TcpListener, TcpStream},
    thread,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Kept,
    TakenAway,
}

/// Listens on a free port for as long as the test runs, and returns it. Each connection carries one request.
pub fn in_front_of(port: u16, base: &'static str, path: Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || hand_on(client, port, base, path));
        }
    });
    address.port()
}

fn hand_on(mut client: TcpStream, port: u16, base: &str, path: Path) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = Vec::new();
    while head.last().is_none_or(|line: &String| line != "\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        head.push(line);
    }
    let [method, target, version] = head[0].split_whitespace().collect::<Vec<_>>()[..] else { return None };
    let Some(rest) = target.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) else {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\nconnection: close\r\n\r\nnot us\n";
        return client.write_all(answer.as_bytes()).ok();
    };
    let target = match path {
        Path::Kept => target.to_owned(),
        Path::TakenAway if rest.starts_with('/') => rest.to_owned(),
        Path::TakenAway => format!("/{rest}"),
    };
    let mut service = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let kept = head[1..].iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = format!("{method} {target} {version}\r\nconnection: close\r\n{}", kept.cloned().collect::<String>());
    service.write_all(head.as_bytes()).ok()?;
    let mut answer = service.try_clone().ok()?;
    thread::spawn(move || copy(&mut answer, &mut client).map(|_| client.shutdown(std::net::Shutdown::Both)));
    copy(&mut reader.by_ref(), &mut service).ok()?;
    Some(())
}
