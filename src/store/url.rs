//! The database URL: which of the two databases, and where. A URL that parses can be opened, or fails for a reason that
//! lies with the database and not with the URL. Only its scheme, host, port and database are ever printed.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use tokio_postgres::config::{Host, SslMode};

#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(Box<PostgresUrl>),
}

#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Its `ssl_mode` is the one to use: the URL's own, or what fits the host.
    pub(super) config: tokio_postgres::Config,
    /// `host:port/database`, for messages.
    place: String,
    /// The URL says `sslmode=prefer`.
    prefers_tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    #[error("the database URL is empty; expected sqlite:PATH or postgres://USER@HOST/DATABASE")]
    Empty,
    #[error("the database URL has no scheme; expected sqlite:PATH or postgres://USER@HOST/DATABASE")]
    NoScheme,
    #[error("unknown database \"{scheme}:\"; expected sqlite:PATH or postgres://USER@HOST/DATABASE")]
    UnknownScheme { scheme: String },
    #[error("the database URL names no file; expected sqlite:PATH, for example sqlite:segno.db")]
    NoPath,
    #[error("an in-memory database forgets the library when segno stops; expected sqlite:PATH")]
    InMemory,
    #[error("a sqlite: URL takes no options after \"?\"; expected sqlite:PATH")]
    SqliteOptions,
    #[error("the database URL names no host; expected postgres://USER@HOST/DATABASE")]
    NoHost,
    #[error("the database URL names no database; expected postgres://USER@HOST/DATABASE")]
    NoDatabase,
    #[error("unknown sslmode; expected disable, prefer, require, verify-ca or verify-full")]
    UnknownSslMode,
    /// The URL is not repeated: a part that cannot be parsed may belong to the password.
    #[error(
        "the database URL cannot be read: its port, or an option after \"?\", is unknown or wrong, or a special character \
         is not written as %XX (@ is %40); expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    Invalid,
}

fn is_scheme(text: &str) -> bool {
    text.len() <= 20 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

impl DatabaseUrl {
    pub fn parse(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DatabaseUrlError::Empty);
        }
        let (scheme, rest) = text.split_once(':').ok_or(DatabaseUrlError::NoScheme)?;
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => PostgresUrl::parse(text).map(|url| DatabaseUrl::Postgres(Box::new(url))),
            scheme if is_scheme(scheme) && rest.starts_with("//") => {
                Err(DatabaseUrlError::UnknownScheme { scheme: scheme.to_owned() })
            }
            // The text before a colon may be anything, even a password.
            _ => Err(DatabaseUrlError::NoScheme),
        }
    }

    /// Advice for the person who wrote this URL.
    pub fn remark(&self) -> Option<&'static str> {
        match self {
            DatabaseUrl::Postgres(url) if url.prefers_tls && url.uses_tls() => Some(
                "sslmode=prefer is treated as sslmode=require: a password that was to be encrypted is not sent in plain text",
            ),
            DatabaseUrl::Postgres(_) | DatabaseUrl::Sqlite(_) => None,
        }
    }

    /// The URL of a SQLite file, whatever its path looks like.
    pub fn sqlite_file(path: impl AsRef<Path>) -> DatabaseUrl {
        DatabaseUrl::Sqlite(path.as_ref().to_owned())
    }
}

/// `sqlite:PATH` and, as others write it, `sqlite://PATH`.
fn sqlite(rest: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('\0') {
        return Err(DatabaseUrlError::NoPath);
    }
    if path.trim_start_matches("file:").starts_with(":memory:") {
        return Err(DatabaseUrlError::InMemory);
    }
    if path.contains('?') {
        return Err(DatabaseUrlError::SqliteOptions);
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

impl PostgresUrl {
    fn parse(text: &str) -> Result<PostgresUrl, DatabaseUrlError> {
        // A second one is part of a password that was not encoded; the text after the first would be taken for the
        // host.
        if text.matches('@').count() > 1 {
            return Err(DatabaseUrlError::Invalid);
        }
        let (text, ssl_mode) = without_ssl_mode(text)?;
        let mut config: tokio_postgres::Config = text.parse().map_err(|_| DatabaseUrlError::Invalid)?;
        let database = config.get_dbname().filter(|name| !name.is_empty()).ok_or(DatabaseUrlError::NoDatabase)?;
        let host = match config.get_hosts().first() {
            None => return Err(DatabaseUrlError::NoHost),
            Some(Host::Tcp(host)) if host.is_empty() => return Err(DatabaseUrlError::NoHost),
            Some(host) => host.clone(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let place = format!("{}:{port}/{database}", show(&host));
        let prefers_tls = ssl_mode == Some(SslMode::Prefer);
        // TLS does not exist on a Unix socket. Elsewhere the URL decides; if it does not say, one host outside the
        // machine is enough, since any of the hosts may be the one that is connected to.
        let leads_out =
            !config.get_hosts().iter().all(is_here) || !config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        let is_local = !config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_))) && !leads_out;
        let ssl_mode = match ssl_mode {
            _ if is_local => SslMode::Disable,
            // An attacker on the way could claim that there is no TLS, and read the password.
            Some(SslMode::Prefer) => SslMode::Require,
            Some(mode) => mode,
            None if leads_out => SslMode::Require,
            None => SslMode::Disable,
        };
        config.ssl_mode(ssl_mode);
        Ok(PostgresUrl { config, place, prefers_tls })
    }

    /// `host:port/database`.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.config.get_ssl_mode() != SslMode::Disable
    }
}

/// Takes `sslmode` out of the URL: libpq knows more modes than tokio-postgres. Certificates are always verified, so the
/// stricter modes are all `require`.
fn without_ssl_mode(text: &str) -> Result<(String, Option<SslMode>), DatabaseUrlError> {
    let Some((base, query)) = text.split_once('?') else { return Ok((text.to_owned(), None)) };
    let mut mode = None;
    let mut kept = Vec::new();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        mode = match option.strip_prefix("sslmode=") {
            None => {
                kept.push(option);
                continue;
            }
            Some("disable") => Some(SslMode::Disable),
            Some("prefer") => Some(SslMode::Prefer),
            Some("require" | "verify-ca" | "verify-full") => Some(SslMode::Require),
            Some(_) => return Err(DatabaseUrlError::UnknownSslMode),
        };
    }
    let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((text, mode))
}

fn show(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Whether the connection stays on this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) => write!(f, "postgres://{}", url.place),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_is_a_path() {
        for (text, path) in [
            ("sqlite:segno.db", "segno.db"),
            ("sqlite:/var/lib/segno.db", "/var/lib/segno.db"),
            ("sqlite:///var/lib/segno.db", "/var/lib/segno.db"),
            (" sqlite:a folder/100%.db\n", "a folder/100%.db"),
        ] {
            assert_eq!(DatabaseUrl::parse(text), Ok(DatabaseUrl::sqlite_file(path)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_what_can() {
        for (text, error) in [
            ("", DatabaseUrlError::Empty),
            ("segno.db", DatabaseUrlError::NoScheme),
            ("mysql://root@localhost/segno", DatabaseUrlError::UnknownScheme { scheme: "mysql".into() }),
            ("mira:hunter2@host/segno", DatabaseUrlError::NoScheme),
            ("hunter2@host:5432/segno", DatabaseUrlError::NoScheme),
            ("sqlite:", DatabaseUrlError::NoPath),
            ("sqlite://", DatabaseUrlError::NoPath),
            ("sqlite::memory:", DatabaseUrlError::InMemory),
            ("sqlite://:memory:", DatabaseUrlError::InMemory),
            ("sqlite:segno.db?mode=ro", DatabaseUrlError::SqliteOptions),
            ("postgres://", DatabaseUrlError::NoDatabase),
            ("postgres:///segno", DatabaseUrlError::NoHost),
            ("postgres://localhost", DatabaseUrlError::NoDatabase),
            ("postgres://localhost/", DatabaseUrlError::NoDatabase),
            ("postgres://localhost/segno?sslmode=maybe", DatabaseUrlError::UnknownSslMode),
        ] {
            let found = DatabaseUrl::parse(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(found.to_string().contains("expected "), "{found}");
        }
        for text in [
            "postgres://h:x/segno",
            "postgres://h/segno?pool=9",
            "postgres://h/segno?pasword=hunter2",
            "postgres://h/segno?connect_timeout=hunter2",
            "postgres://me:hun@ter2@h/segno",
            "postgres://me:hunter2/segno",
            "postgres://me:hun?ter2=@h/segno?ter2=3",
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(error == DatabaseUrlError::Invalid && !error.to_string().contains("ter2"), "{text}: {error}");
        }
    }

    #[test]
    fn tls_is_used_wherever_the_way_leads_out_of_the_machine() {
        for (text, uses_tls) in [
            ("postgres://segno@localhost/segno", false),
            ("postgres://segno@127.0.0.1:5433/segno", false),
            ("postgres://segno@[::1]/segno", false),
            ("postgres://segno@%2Frun%2Fpostgresql/segno", false),
            ("postgres://segno@%2Frun%2Fpostgresql/segno?sslmode=require", false),
            ("postgresql://segno@db.example.org/segno", true),
            ("postgres://segno@db.example.org/segno?sslmode=disable", false),
            ("postgres://segno@db.example.org/segno?connect_timeout=3&sslmode=verify-full", true),
            ("postgres://segno@localhost/segno?sslmode=require", true),
            ("postgres://segno@localhost,db.example.org/segno", true),
            ("postgres://segno@db.example.org,localhost/segno", true),
            ("postgres://segno@%2Frun%2Fpostgresql,db.example.org/segno", true),
            ("postgres://segno@%2Frun%2Fpostgresql,127.0.0.1/segno", false),
            ("postgres://segno@localhost,127.0.0.1/segno", false),
            ("postgres://segno@localhost/segno?hostaddr=192.0.2.7", true),
            ("postgres://segno@localhost/segno?hostaddr=127.0.0.1", false),
            ("postgres://segno@localhost/segno?host=db.example.org", true),
            ("postgres://segno@localhost/segno?%73slmode=disable&host=db.example.org", true),
            ("postgres://segno@localhost,db.example.org/segno?sslmode=disable", false),
        ] {
            let DatabaseUrl::Postgres(url) = DatabaseUrl::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(url.uses_tls(), uses_tls, "{text}");
            assert_eq!(url.config.get_ssl_mode() == SslMode::Require, uses_tls, "{text}");
        }
    }

    #[test]
    fn what_prefers_tls_requires_it_and_is_told_so() {
        for (text, requires) in [
            ("postgres://segno@db.example.org/segno?sslmode=prefer", true),
            ("postgres://segno@localhost/segno?sslmode=prefer", true),
            ("postgres://segno@%2Frun%2Fpostgresql/segno?sslmode=prefer", false),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.remark().is_some(), requires, "{text}");
            let DatabaseUrl::Postgres(url) = url else { panic!("{text}") };
            assert_eq!(url.config.get_ssl_mode() == SslMode::Require, requires, "{text}");
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let url = DatabaseUrl::parse("postgres://segno:hunter2@db.example.org:6432/library").unwrap();
        assert_eq!(url.to_string(), "postgres://db.example.org:6432/library");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
