//! Parses values, one function per kind. Each error contains what is allowed, to follow "is not".

use super::settings::Setting;
use crate::{
    model::{EntityType, EventKind, PlaylistChoice, zone::Zone},
    telemetry,
};
use secrecy::SecretString;
use std::{borrow::Cow, net::SocketAddr, ops::RangeInclusive, time::Duration};
use toml::de::DeValue;
use url::{Host, Url};

/// Longest client id; Spotify's have 32 characters.
const CLIENT_ID_LEN_MAX: usize = 128;

/// Longest host name in the DNS.
const HOST_LEN_MAX: usize = 253;

/// Shorter ones can be guessed; longer ones are a mistake.
const WEB_TOKEN_LEN_MIN: usize = 16;
const WEB_TOKEN_LEN_MAX: usize = 512;

/// Each has an actor of its own.
const WEBHOOKS_MAX: usize = 16;

/// What is allowed for the API's addresses.
const API_URL: &str = "an https URL (http only on a loopback address) without user, password, query or fragment";

/// How much of a value a message repeats.
const SHOWN_LEN_MAX: usize = 80;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// From the environment, where a number, a list and a text look the same.
    Untyped(String),
    Text(String),
    Integer(i64),
    List(Vec<Value>),
    /// A kind that no setting has; what messages call it.
    Other(String),
}

impl Value {
    pub fn from_toml(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other(number.to_string()),
            },
            DeValue::Float(number) => Value::Other(number.to_string()),
            DeValue::Boolean(truth) => Value::Other(truth.to_string()),
            DeValue::Datetime(datetime) => Value::Other(datetime.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| Value::from_toml(item.get_ref())).collect()),
            DeValue::Table(_) => Value::Other("a table".into()),
        }
    }

    /// For messages: on one line, not too long, without secrets.
    pub fn shown(&self, setting: Setting) -> String {
        let written = self.written();
        match (setting, self.text()) {
            (
                Setting::SpotifyRefreshToken
                | Setting::WebToken
                | Setting::NotifyWebhook
                | Setting::NotifySecret
                | Setting::FeedNatsUrl,
                _,
            ) => "the value".into(),
            // Without a scheme it is unknown which part is secret.
            (Setting::DatabaseUrl | Setting::SpotifyApiUrl | Setting::SpotifyAccountsUrl, _)
                if !written.contains("://") && written.contains(['@', '=']) =>
            {
                "the value".into()
            }
            (Setting::DatabaseUrl, None) if written.contains("://") => "the value".into(),
            (Setting::DatabaseUrl, Some(text)) => shorten(format!("{:?}", shown_url(text))),
            _ => shorten(written),
        }
    }

    fn written(&self) -> String {
        match self {
            Value::Untyped(text) | Value::Text(text) => format!("{:?}", without_password(text)),
            Value::Integer(number) => number.to_string(),
            Value::List(items) => format!("[{}]", items.iter().map(Value::written).collect::<Vec<_>>().join(", ")),
            Value::Other(written) => written.clone(),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Value::Untyped(text) | Value::Text(text) => Some(text),
            Value::Integer(_) | Value::List(_) | Value::Other(_) => None,
        }
    }

    /// The words of a list; in the environment they stand between commas.
    fn words(&self) -> Option<Vec<&str>> {
        match self {
            Value::Untyped(text) => Some(text.split(',').map(str::trim).collect()),
            Value::List(items) => items.iter().map(Value::text).collect(),
            Value::Text(_) | Value::Integer(_) | Value::Other(_) => None,
        }
    }
}

pub fn number(allowed: RangeInclusive<u32>) -> impl Fn(&Value) -> Result<u32, String> {
    move |value| {
        let number = match value {
            Value::Untyped(text) => text.parse().ok(),
            Value::Integer(number) => u32::try_from(*number).ok(),
            Value::Text(_) | Value::List(_) | Value::Other(_) => None,
        };
        number
            .filter(|number| allowed.contains(number))
            .ok_or_else(|| format!("a whole number from {} to {}", allowed.start(), allowed.end()))
    }
}

pub fn port(value: &Value) -> Result<u16, String> {
    let port = number(1..=u32::from(u16::MAX))(value)?;
    Ok(u16::try_from(port).expect("bounded by the largest port"))
}

pub fn duration(allowed: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, String> {
    move |value| {
        let duration = value.text().and_then(|text| humantime::parse_duration(text).ok());
        duration.filter(|duration| allowed.contains(duration)).ok_or_else(|| {
            let (min, max) = (in_units(*allowed.start()), in_units(*allowed.end()));
            format!("a duration from {min} to {max}, such as \"90s\", \"20m\" or \"6h\"")
        })
    }
}

pub fn entities(value: &Value) -> Result<Vec<EntityType>, String> {
    let entities: Option<Vec<EntityType>> =
        value.words().and_then(|words| words.into_iter().map(|word| word.parse().ok()).collect());
    entities
        .filter(|entities| !entities.is_empty() && is_each_once(entities))
        .ok_or_else(|| format!("a list of one or more entity types, each once, out of {}", EntityType::words()))
}

/// Tokens are sent there, so the connection is encrypted unless it stays on the machine.
pub fn api_url(value: &Value) -> Result<Url, String> {
    let is_loopback = |url: &Url| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_plain = |url: &Url| {
        (url.scheme() == "https" || url.scheme() == "http" && is_loopback(url))
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    // `Url` would silently drop spaces and line ends.
    let text = value.text().filter(|text| !text.contains(is_blank));
    text.and_then(|text| Url::parse(text).ok()).filter(is_plain).ok_or_else(|| API_URL.to_owned())
}

/// By its name, since a UTC offset has no daylight saving time.
pub fn time_zone(value: &Value) -> Result<Zone, String> {
    let zone = value.text().and_then(Zone::of_name);
    zone.ok_or_else(|| "the name of a time zone, such as \"Europe/Amsterdam\" or \"UTC\"".to_owned())
}

/// Checks the scheme; the store parses the rest.
pub fn database_url(value: &Value) -> Result<String, String> {
    let schemes = ["sqlite:", "postgres://", "postgresql://"];
    let is_known = |text: &&str| {
        schemes.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.trim().is_empty()))
            && !text.contains(char::is_control)
    };
    value
        .text()
        .filter(is_known)
        .map(str::to_owned)
        .ok_or_else(|| "a database URL, sqlite:PATH or postgres://USER@HOST/NAME".to_owned())
}

pub fn client_id(value: &Value) -> Result<String, String> {
    let is_id =
        |text: &&str| (1..=CLIENT_ID_LEN_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    value
        .text()
        .filter(is_id)
        .map(str::to_owned)
        .ok_or_else(|| format!("a client id: 1 to {CLIENT_ID_LEN_MAX} letters and digits without spaces"))
}

pub fn secret(value: &Value) -> Result<SecretString, String> {
    let is_token = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    value
        .text()
        .filter(is_token)
        .map(SecretString::from)
        .ok_or_else(|| "a refresh token: visible characters without spaces, at least one".to_owned())
}

/// `None` disables it.
pub fn address(value: &Value) -> Result<Option<SocketAddr>, String> {
    match value.text() {
        Some("off") => Ok(None),
        text => text.and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
            "an IP address and port, such as \"127.0.0.1:8370\" or \"[::1]:8370\", or \"off\"".to_owned()
        }),
    }
}

/// In lower case.
pub fn host_names(value: &Value) -> Result<Vec<String>, String> {
    let is_name = |word: &&str| {
        !word.is_empty()
            && word.len() <= HOST_LEN_MAX
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    let names: Option<Vec<String>> = value
        .words()
        .and_then(|words| words.iter().map(|word| Some(*word).filter(is_name).map(str::to_ascii_lowercase)).collect());
    names.ok_or_else(|| "a list of host names without ports, such as \"segno.example.org\"".to_owned())
}

pub fn playlists(value: &Value) -> Result<PlaylistChoice, String> {
    value.words().and_then(|words| PlaylistChoice::parse(&words)).ok_or_else(|| {
        "a list of names, ids, patterns with \"*\" and \"?\", or \"owned\"; \"!\" in front leaves out".to_owned()
    })
}

/// Addresses that are notified. They may contain secrets.
pub fn webhooks(value: &Value) -> Result<Vec<Url>, String> {
    let webhook = |word: &str| {
        let url = Url::parse(word).ok()?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        (is_http && !has_user && url.fragment().is_none()).then_some(url)
    };
    let urls: Option<Vec<Url>> = value.words().and_then(|words| words.into_iter().map(webhook).collect());
    urls.filter(|urls| urls.len() <= WEBHOOKS_MAX && is_each_once(urls)).ok_or_else(|| {
        format!("a list of up to {WEBHOOKS_MAX} http or https URLs, each once, without user and fragment")
    })
}

/// Kinds of entries of the feed, each once.
pub fn events(value: &Value) -> Result<Vec<EventKind>, String> {
    let kinds: Option<Vec<EventKind>> =
        value.words().and_then(|words| words.into_iter().map(EventKind::of_word).collect());
    kinds.filter(|kinds| !kinds.is_empty() && is_each_once(kinds)).ok_or_else(|| {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        format!("a list of one or more, each once, out of {known}")
    })
}

/// Servers of one NATS system. They may hold a password, or a token.
pub fn nats_servers(value: &Value) -> Result<Vec<Url>, String> {
    if !cfg!(feature = "nats") {
        return Err("for this build, which cannot publish to NATS; use one that was built with --features nats".into());
    }
    let server = |word: &str| {
        let url = Url::parse(word).ok()?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        (matches!(url.scheme(), "nats" | "tls") && url.has_host() && is_bare).then_some(url)
    };
    let servers: Option<Vec<Url>> = value.words().and_then(|words| words.into_iter().map(server).collect());
    servers.filter(|servers| !servers.is_empty() && servers.len() <= WEBHOOKS_MAX).ok_or_else(|| {
        format!("a list of one to {WEBHOOKS_MAX} URLs such as \"nats://host:4222\" or \"tls://user:password@host\"")
    })
}

/// The key that signs webhooks. Anyone who guesses it can forge notifications.
pub fn notify_secret(value: &Value) -> Result<SecretString, String> {
    unguessable(value).ok_or_else(|| {
        format!("a secret: {WEB_TOKEN_LEN_MIN} to {WEB_TOKEN_LEN_MAX} visible characters without spaces")
    })
}

/// Without a trailing slash.
pub fn base_path(value: &Value) -> Result<String, String> {
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
    };
    let is_path = |path: &&str| {
        path.len() <= HOST_LEN_MAX && path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment))
    };
    match value.text() {
        Some("/") => Ok(String::new()),
        text => {
            text.map(|text| text.strip_suffix('/').unwrap_or(text)).filter(is_path).map(str::to_owned).ok_or_else(
                || "a path such as \"/segno\", of letters, digits, \"-\", \".\", \"_\" and \"~\"".to_owned(),
            )
        }
    }
}

/// The token for the status page. Anyone who guesses it can read the library and stop the sync.
pub fn web_token(value: &Value) -> Result<SecretString, String> {
    unguessable(value).ok_or_else(|| {
        format!(
            "a token: {WEB_TOKEN_LEN_MIN} to {WEB_TOKEN_LEN_MAX} visible characters without spaces, such as \
             \"openssl rand -hex 32\" prints"
        )
    })
}

fn unguessable(value: &Value) -> Option<SecretString> {
    let is_long = |text: &&str| (WEB_TOKEN_LEN_MIN..=WEB_TOKEN_LEN_MAX).contains(&text.len());
    value.text().filter(is_long).filter(|text| text.chars().all(|c| c.is_ascii_graphic())).map(SecretString::from)
}

fn is_each_once<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().all(|(at, one)| !list[..at].contains(one))
}

pub fn log_filter(value: &Value) -> Result<String, String> {
    value
        .text()
        .filter(|text| telemetry::is_filter(text))
        .map(str::to_owned)
        .ok_or_else(|| telemetry::FILTER_SYNTAX.to_owned())
}

/// A URL with stars for its password. Text that is no such URL stays as it is.
fn without_password(text: &str) -> Cow<'_, str> {
    // The last `@`, because people forget to encode the ones in passwords.
    let (Some(start), Some(end)) = (text.find("://").map(|at| at + 3), text.rfind('@')) else { return text.into() };
    match text.get(start..end).and_then(|user| user.find(':')) {
        Some(colon) => format!("{}***{}", &text[..=start + colon], &text[end..]).into(),
        None => text.into(),
    }
}

/// The scheme, host and path of a URL with `://`, and nothing else: users, passwords and options may be secret, and
/// people forget to encode what separates them. If those cannot be told apart, the scheme alone. Other text as it is,
/// up to a question mark.
pub fn shown_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.split('?').next().unwrap_or_default().to_owned();
    };
    if scheme == "sqlite" {
        return format!("{scheme}://{}", rest.split('?').next().unwrap_or_default());
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest[..end].split_at(rest[..end].find('/').unwrap_or(end));
    let (user, address) = authority.rsplit_once('@').map_or((None, authority), |(user, address)| (Some(user), address));
    // Another one is part of a password that was not encoded.
    let num_ats = rest.matches('@').count();
    let host = match address.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => host,
        Some(_) if !address.ends_with(']') => return format!("{scheme}://..."),
        Some(_) | None => address,
    };
    if num_ats != usize::from(user.is_some()) { format!("{scheme}://...") } else { format!("{scheme}://{host}{path}") }
}

/// Whether a database URL seems to hold a password.
pub fn has_password(url: &str) -> bool {
    let credentials = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    credentials.is_some_and(|(credentials, _)| credentials.contains(':')) || url.contains("password=")
}

/// A name chosen by somebody else, on one line.
pub fn key(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if is_plain { shorten(name.to_owned()) } else { shorten(format!("{name:?}")) }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn shorten(text: String) -> String {
    match text.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// In the largest unit that divides it, as it would be written in the file.
pub fn in_units(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds > 86_400 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
