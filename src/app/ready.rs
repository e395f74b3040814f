//! `ready`: asks the service with these settings whether it works. For health checks in places without a shell and
//! curl.

use super::{CommandError, Exit, print};
use crate::config::Config;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The service answers from a check that it makes once a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Most bytes of the answer that are read.
const HEAD_LEN_MAX: u64 = 4096;

pub(super) async fn run(config: &Config) -> Result<Exit, CommandError> {
    let Some(listen) = config.web.listen else {
        return Err(CommandError::new(Exit::Usage, "web.listen is \"off\": a service without a page cannot be asked"));
    };
    let address = reachable(listen);
    match timeout(ANSWER_WITHIN, ask(address)).await {
        Ok(Ok(answer)) => match status_of(&answer) {
            Some(200) => {
                print("it works\n")?;
                Ok(Exit::Done)
            }
            Some(503) => {
                let detail = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
                Err(CommandError::new(Exit::Failed, format!("it does not work: {detail}")))
            }
            _ => Err(CommandError::new(Exit::Failed, format!("{address} does not answer like segno"))),
        },
        Ok(Err(error)) => Err(CommandError::new(Exit::Failed, format!("no service answers at {address}: {error}"))),
        Err(_) => {
            let seconds = ANSWER_WITHIN.as_secs();
            Err(CommandError::new(Exit::Failed, format!("the service at {address} has not answered for {seconds} s")))
        }
    }
}

/// As an address reachable from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// By hand: an HTTP client would load certificates and take longer than the request.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(HEAD_LEN_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status_of(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_here() {
        for (listen, expected) in [
            ("0.0.0.0:8370", "127.0.0.1:8370"),
            ("[::]:80", "[::1]:80"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("192.0.2.1:2", "192.0.2.1:2"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
        assert_eq!(status_of("HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status_of("SSH-2.0-x"), None);
    }
}
