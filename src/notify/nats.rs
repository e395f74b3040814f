//! The feed on a NATS JetStream stream: what is published, where, and what an answer means. A message carries the
//! number that the stream has to have reached before it: one that comes late, or from a node that has been replaced, is
//! refused.
//!
//! An address may hold a password: nothing here shows more of it than its host.

use crate::tls;
use async_nats::{
    ConnectOptions,
    header::NATS_MESSAGE_ID,
    jetstream::{
        ErrorCode,
        context::{Context, ContextBuilder, GetStreamErrorKind, PublishError, PublishErrorKind},
        message::PublishMessage,
        stream::{Config, LastRawMessageErrorKind},
    },
};
use rustls_platform_verifier::ConfigVerifierExt;
use std::{error::Error, fmt, time::Duration};
use url::{Url, form_urlencoded};

/// The stream, created if it is missing. An existing one keeps the settings that somebody gave it.
pub const STREAM: &str = "SEGNO_CHANGES";

/// Prefix of subjects; the account follows.
const SUBJECT: &str = "segno.changes.";

/// A server that takes longer counts as down.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long the server remembers ids: a repeat within this time is accepted once, whatever its number.
const KNOWS_IDS_FOR: Duration = Duration::from_secs(120);

/// One of the feed's entries, as a message.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    /// The Spotify id.
    pub account: String,
    pub body: String,
}

/// Where the stream ends: the number of the last message, and the id of the entry in it, if it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub last_sequence: u64,
    pub last_id: Option<String>,
}

/// How many messages were accepted, the number of the stream's last one after that, and what happened to the rest.
#[derive(Debug)]
pub struct Taken {
    pub num: usize,
    pub last_sequence: u64,
    pub refusal: Option<Refusal>,
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The stream has reached another number than expected, or does not exist.
    #[error("the stream has moved")]
    Moved,
    #[error("{0}")]
    Failed(String),
}

/// A connection, which maintains itself. Dropping it closes it.
pub struct Connection {
    context: Context,
    host: String,
}

impl Connection {
    pub async fn open(servers: &[Url]) -> Result<Connection, Refusal> {
        let host = host_of(servers);
        let failed = |error: &dyn Error| Refusal::Failed(format!("NATS at {host} cannot be reached: {}", cause(error)));
        tls::install();
        let tls = rustls::ClientConfig::with_platform_verifier().map_err(|error| failed(&error))?;
        let mut options = ConnectOptions::new().name("segno").tls_client_config(tls).connection_timeout(ANSWER_WITHIN);
        options = options.request_timeout(Some(ANSWER_WITHIN));
        // A broken one is given up soon: messages that it still holds must not reach a server that has lost its disk
        // meanwhile.
        options = options.max_reconnects(servers.len());
        if let Some(server) = servers.first().filter(|server| !server.username().is_empty()) {
            options = match (server.username(), server.password()) {
                (user, Some(password)) => options.user_and_password(decoded(user), decoded(password)),
                (token, None) => options.token(decoded(token)),
            };
        }
        let addresses: Vec<String> = servers.iter().map(address).collect();
        let client = options.connect(addresses).await.map_err(|error| failed(&error))?;
        let context = ContextBuilder::new().timeout(ANSWER_WITHIN).ack_timeout(ANSWER_WITHIN).build(client);
        Ok(Connection { context, host })
    }

    /// Finds the stream, or creates it, and returns where it ends. `keeps_for`: how long a stream created here keeps
    /// messages.
    pub async fn end(&self, keeps_for: Duration) -> Result<End, Refusal> {
        let failed = |error: &dyn Error| self.failed(error);
        let stream = match self.context.get_stream(STREAM).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                let config = Config {
                    name: STREAM.to_owned(),
                    subjects: vec![format!("{SUBJECT}*")],
                    max_age: keeps_for,
                    duplicate_window: KNOWS_IDS_FOR.min(keeps_for),
                    description: Some("what changes in the libraries that segno keeps".to_owned()),
                    ..Config::default()
                };
                self.context.create_stream(config).await.map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        let state = &stream.cached_info().state;
        let last_sequence = state.last_sequence;
        if state.messages == 0 {
            return Ok(End { last_sequence, last_id: None });
        }
        match stream.get_raw_message(last_sequence).await {
            Ok(last) => match last.headers.get(NATS_MESSAGE_ID) {
                Some(id) => Ok(End { last_sequence, last_id: Some(id.to_string()) }),
                None => Err(Refusal::Failed(format!(
                    "somebody else publishes in the stream {STREAM} at {}: its last message is none of segno's",
                    self.host
                ))),
            },
            // It was deleted by hand, or has just expired.
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                Ok(End { last_sequence, last_id: None })
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Publishes in order, the first one after the message with this number, without waiting for one before the next is
    /// sent. If one is refused, so are those after it.
    pub async fn publish(&self, messages: &[Message], behind: u64) -> Taken {
        let mut sent = Vec::with_capacity(messages.len());
        let mut refusal = None;
        for (message, behind) in messages.iter().zip(behind..) {
            let Message { id, account, body } = message;
            let publish = PublishMessage::build().payload(body.clone().into()).message_id(id);
            let publish = publish.expected_last_sequence(behind).expected_stream(STREAM);
            match self.context.send_publish(subject(account), publish).await {
                Ok(answer) => sent.push(answer),
                Err(error) => {
                    refusal = Some(self.refusal(&error));
                    break;
                }
            }
        }
        let (mut num, mut last_sequence) = (0, behind);
        let mut answers = sent.into_iter();
        for answer in answers.by_ref() {
            match answer.await {
                // It was there already under this id; the number of the last one stays.
                Ok(answer) if answer.duplicate => num += 1,
                Ok(answer) => (num, last_sequence) = (num + 1, answer.sequence),
                Err(error) => {
                    refusal = Some(self.refusal(&error));
                    break;
                }
            }
        }
        Taken { num, last_sequence, refusal }
    }

    fn refusal(&self, error: &PublishError) -> Refusal {
        match error.kind() {
            PublishErrorKind::WrongLastSequence | PublishErrorKind::StreamNotFound => Refusal::Moved,
            _ => self.failed(error),
        }
    }

    fn failed(&self, error: &dyn Error) -> Refusal {
        Refusal::Failed(format!("NATS at {}: {}", self.host, cause(error)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.host)
    }
}

/// The host of the first one.
pub fn host_of(servers: &[Url]) -> String {
    servers.first().and_then(Url::host_str).unwrap_or("a server").to_owned()
}

/// Without credentials.
fn address(server: &Url) -> String {
    let host = server.host_str().unwrap_or_default();
    format!("{}://{host}:{}", server.scheme(), server.port().unwrap_or(4222))
}

/// A part of a URL, percent-decoded.
fn decoded(part: &str) -> String {
    let query = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(query.as_bytes()).map(|(text, _)| text.into_owned()).collect()
}

/// The subject of an account: dots, stars and blanks have a special meaning there.
fn subject(account: &str) -> String {
    let mut subject = SUBJECT.to_owned();
    for byte in account.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => subject.push(byte.into()),
            other => subject.push_str(&format!("%{other:02X}")),
        }
    }
    subject
}

fn is_missing(error: &GetStreamErrorKind) -> bool {
    matches!(error, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The source of an error, with all its details.
fn cause(error: &dyn Error) -> String {
    let (mut words, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        let more = source.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_part_of_a_subject() {
        assert_eq!(subject("Ab-9_z"), "segno.changes.Ab-9_z");
        assert_eq!(subject("a.b *>%é"), "segno.changes.a%2Eb%20%2A%3E%25%C3%A9");
    }

    #[test]
    fn what_signs_in_is_taken_from_the_address_and_not_left_in_it() {
        let server: Url = "tls://us%40er:p%2Bq+r%26@h.example:1".parse().unwrap();
        assert_eq!(address(&server), "tls://h.example:1");
        assert_eq!(decoded(server.username()), "us@er");
        assert_eq!(decoded(server.password().unwrap()), "p+q+r&");
        assert_eq!(address(&"nats://[::1]".parse().unwrap()), "nats://[::1]:4222");
    }
}
