//! The redirect address that a person pastes, read from stdin: a terminal, or a pipe.

use std::{
    io::{self, BufRead, Read},
    thread,
};
use tokio::sync::mpsc;
use url::Url;

/// Longest line that is read. An answer has some 500 characters.
const LINE_LEN_MAX: u64 = 16 << 10;

/// Input from stdin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pasted {
    Line(String),
    /// Nothing more will come.
    End,
}

/// Reads lines on a thread of its own: a read of stdin cannot be cancelled, and must not delay the end.
pub(super) fn lines() -> mpsc::Receiver<Pasted> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let pasted = match stdin.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => Pasted::End,
                Ok(_) => Pasted::Line(String::from_utf8_lossy(&line).into_owned()),
            };
            let is_end = pasted == Pasted::End;
            if sender.blocking_send(pasted).is_err() || is_end {
                return;
            }
        }
    });
    lines
}

/// The query of a pasted address, which may be in quotes or have lost its beginning.
pub(super) fn query(line: &str) -> Option<String> {
    let text = line.trim().trim_matches(['"', '\'', '<', '>']).trim();
    if let Ok(url) = Url::parse(text)
        && matches!(url.scheme(), "http" | "https")
    {
        return url.query().map(str::to_owned);
    }
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let is_answer = |pair: &str| pair.starts_with("code=") || pair.starts_with("error=");
    query.split('&').any(is_answer).then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_however_it_was_copied() {
        let expected = Some("code=a%2Fb&state=s".to_owned());
        for pasted in [
            "http://127.0.0.1:4000/callback?code=a%2Fb&state=s",
            "  'http://127.0.0.1:4000/callback?code=a%2Fb&state=s'\r\n",
            "<http://127.0.0.1:4000/callback?code=a%2Fb&state=s#_=_>",
            "127.0.0.1:4000/callback?code=a%2Fb&state=s",
            "code=a%2Fb&state=s",
            "?code=a%2Fb&state=s",
        ] {
            assert_eq!(query(pasted), expected, "{pasted}");
        }
    }

    #[test]
    fn what_is_no_address_has_no_query() {
        for pasted in ["", "yes", "AQDcode", "http://127.0.0.1:4000/callback", "ftp://x/?y"] {
            assert_eq!(query(pasted), None, "{pasted}");
        }
    }
}
