//! The database URL: which of the two databases, and where. What parses here can be opened, or fails for a reason that
//! lies with the database and not with the URL. A password never gets out of it by printing.

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
    /// Its `ssl_mode` is the one to use: what the URL says, or what fits the host.
    pub(super) config: tokio_postgres::Config,
    /// `host:port/database`, for messages.
    place: String,
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
    #[error("unknown sslmode \"{mode}\"; expected disable, prefer, require, verify-ca or verify-full")]
    UnknownSslMode { mode: String },
    #[error(
        "the database URL cannot be read: {reason}; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters as %XX"
    )]
    Invalid { reason: String },
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
            _ => Err(DatabaseUrlError::UnknownScheme { scheme: scheme.to_owned() }),
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
        let (text, ssl_mode) = without_ssl_mode(text)?;
        let mut config: tokio_postgres::Config =
            text.parse().map_err(|error| DatabaseUrlError::Invalid { reason: reason(&error) })?;
        let database = config.get_dbname().filter(|name| !name.is_empty()).ok_or(DatabaseUrlError::NoDatabase)?;
        let host = match config.get_hosts().first() {
            None => return Err(DatabaseUrlError::NoHost),
            Some(Host::Tcp(host)) if host.is_empty() => return Err(DatabaseUrlError::NoHost),
            Some(host) => host.clone(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let place = format!("{}:{port}/{database}", show(&host));
        // TLS does not exist on a Unix socket. Elsewhere the URL decides, and where it is silent the way there does.
        let ssl_mode = match (&host, ssl_mode) {
            (Host::Tcp(_), Some(mode)) => mode,
            (Host::Tcp(name), None) if !is_loopback(name) => SslMode::Require,
            (Host::Tcp(_), None) | (_, _) => SslMode::Disable,
        };
        config.ssl_mode(ssl_mode);
        Ok(PostgresUrl { config, place })
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
            Some(other) => return Err(DatabaseUrlError::UnknownSslMode { mode: other.to_owned() }),
        };
    }
    let text = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((text, mode))
}

/// tokio-postgres says what is wrong in the source of its error.
fn reason(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn show(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) => {
                f.write_str("postgres://")?;
                if let Some(user) = url.config.get_user() {
                    write!(f, "{user}@")?;
                }
                f.write_str(&url.place)
            }
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
            ("sqlite:", DatabaseUrlError::NoPath),
            ("sqlite://", DatabaseUrlError::NoPath),
            ("sqlite::memory:", DatabaseUrlError::InMemory),
            ("sqlite://:memory:", DatabaseUrlError::InMemory),
            ("sqlite:segno.db?mode=ro", DatabaseUrlError::SqliteOptions),
            ("postgres://", DatabaseUrlError::NoDatabase),
            ("postgres:///segno", DatabaseUrlError::NoHost),
            ("postgres://localhost", DatabaseUrlError::NoDatabase),
            ("postgres://localhost/", DatabaseUrlError::NoDatabase),
            ("postgres://localhost/segno?sslmode=maybe", DatabaseUrlError::UnknownSslMode { mode: "maybe".into() }),
        ] {
            let found = DatabaseUrl::parse(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(found.to_string().contains("expected "), "{found}");
        }
        assert!(matches!(DatabaseUrl::parse("postgres://h:x/segno"), Err(DatabaseUrlError::Invalid { .. })));
        assert!(matches!(DatabaseUrl::parse("postgres://h/segno?pool=9"), Err(DatabaseUrlError::Invalid { .. })));
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
        ] {
            let DatabaseUrl::Postgres(url) = DatabaseUrl::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(url.uses_tls(), uses_tls, "{text}");
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let url = DatabaseUrl::parse("postgres://segno:hunter2@db.example.org:6432/library").unwrap();
        assert_eq!(url.to_string(), "postgres://segno@db.example.org:6432/library");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
