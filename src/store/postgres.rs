//! Opening PostgreSQL: a small pool, TLS for every connection that leaves the machine, and errors that say what to
//! check.

use super::url::PostgresUrl;
use super::{StoreError, migrations};
use diesel::sql_types::{Bool, Text};
use diesel::{ConnectionError, ConnectionResult, QueryableByName, sql_query};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use rustls_platform_verifier::ConfigVerifierExt;
use std::error::Error;
use std::time::Duration;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// The writer, the gate's limits, the tokens and one reader: more would only wait in the server.
const MAX_CONNECTIONS: usize = 4;

/// Longest wait for a connection to be established. A database that takes longer counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent before it counts as lost: a server that vanishes does not close its connections.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Our transactions wait for nothing but the database, so milliseconds pass between two of their statements; a process
/// that is silent for longer was stopped, or sleeps with its machine. The server then ends its transaction, or the
/// locks would keep its successor out for as long as it is stopped. Keep-alives let the server notice a machine that is
/// gone.
const SETUP: &str = "SET idle_in_transaction_session_timeout = '10s'; SET tcp_keepalives_idle = 10; \
                     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// Nobody waits longer than this for a page.
const READER_SETUP: &str = "SET default_transaction_read_only = on; SET statement_timeout = '10s'; \
                            SET idle_in_transaction_session_timeout = '10s'";

/// For the status page.
const READERS_MAX: usize = 4;

/// The error with which the check for a pooler ends internally.
const OTHER_SESSION: &str = "segno is in another session";

/// A node that waits for longer than this sends its heartbeat again.
const BESIDE_SETUP: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
                            SET idle_in_transaction_session_timeout = '10s'; SET tcp_keepalives_idle = 10; \
                            SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// For the heartbeat. A connection that hangs must not stop the next one.
const BESIDE_MAX: usize = 2;

pub(super) async fn open(url: &PostgresUrl, label: &str) -> Result<Pool<AsyncPgConnection>, StoreError> {
    let url = named(url, label);
    refuse_mixed_sessions(&url).await?;
    let mut connection = connect(&url, SETUP).await?;
    refuse_unfit(&url, &mut connection).await?;
    migrations::run_on_postgres(connection).await?;
    Ok(pool(url, SETUP, MAX_CONNECTIONS))
}

/// Refuses a pooler that hands each transaction to another session of the server (pgbouncer with `pool_mode =
/// transaction`). Prepared statements and settings belong to a session; in the next one they are missing, or somebody
/// else's. The check: what one connection sets, it must see again while another one is in a transaction, and the other
/// must not. It uses no prepared statement, since those are what fails: diesel prepares some as soon as it connects.
async fn refuse_mixed_sessions(url: &PostgresUrl) -> Result<(), StoreError> {
    let mark = Uuid::new_v4().simple();
    let fails_where = |condition: &str| {
        format!(
            "DO $$ BEGIN IF current_setting('segno.session', true) {condition} '{mark}' THEN \
             RAISE EXCEPTION '{OTHER_SESSION}'; END IF; END $$"
        )
    };
    let one = within(url, plain(url)).await?;
    let looked = async {
        let other = plain(url).await?;
        let told = |error: tokio_postgres::Error| match error.as_db_error() {
            Some(told) if told.message() == OTHER_SESSION => StoreError::Refused {
                place: url.place().to_owned(),
                reason: "a pooler in between gives each transaction another session".into(),
                hint: "set pool_mode = session for this database in the pooler, or name the server itself in \
                       SEGNO_DATABASE_URL"
                    .into(),
            },
            _ => explain(url, &error),
        };
        one.batch_execute(&format!("SET segno.session = '{mark}'")).await.map_err(told)?;
        other.batch_execute("BEGIN").await.map_err(told)?;
        other.batch_execute(&fails_where("IS NOT DISTINCT FROM")).await.map_err(told)?;
        one.batch_execute(&fails_where("IS DISTINCT FROM")).await.map_err(told)?;
        other.batch_execute("ROLLBACK").await.map_err(told)?;
        // A pooler that alternates between its sessions returns the same one only every other time.
        for _ in 0..2 {
            one.batch_execute(&fails_where("IS DISTINCT FROM")).await.map_err(told)?;
        }
        one.batch_execute("RESET segno.session").await.map_err(told)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, looked).await.unwrap_or_else(|_| {
        let seconds = CONNECT_TIMEOUT.as_secs();
        Err(cannot_reach(url, &format!("no second connection within {seconds} s, and segno needs up to ten")))
    })
}

/// A connection without prepared statements, for the simple protocol. It closes when it is dropped.
async fn plain(url: &PostgresUrl) -> Result<tokio_postgres::Client, StoreError> {
    Ok(if url.uses_tls() {
        let (client, connection) = url.config.connect(tls(url)?).await.map_err(|error| explain(url, &error))?;
        tokio::spawn(connection);
        client
    } else {
        let (client, connection) = url.config.connect(NoTls).await.map_err(|error| explain(url, &error))?;
        tokio::spawn(connection);
        client
    })
}

#[derive(QueryableByName)]
struct Fitness {
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
    #[diesel(sql_type = Bool)]
    has_schema: bool,
    #[diesel(sql_type = Bool)]
    may_create: bool,
    #[diesel(sql_type = Bool)]
    has_tables: bool,
}

/// Refuses a database that could not hold the library, before anything is created in it. Since PostgreSQL 15 not
/// everybody may create tables in the schema `public`.
async fn refuse_unfit(url: &PostgresUrl, connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let looked = "SELECT current_setting('server_encoding') AS encoding, \
                  current_setting('transaction_read_only')::bool AS is_read_only, \
                  coalesce(current_schema() <> 'pg_catalog', false) AS has_schema, \
                  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, \
                  to_regclass('__diesel_schema_migrations') IS NOT NULL AS has_tables";
    let found: Fitness = sql_query(looked).get_result(connection).await?;
    let (place, database) = (url.place().to_owned(), url.config.get_dbname().unwrap_or_default());
    let user = url.config.get_user().map_or_else(|| "USER".to_owned(), role);
    let refused = |reason: String, hint: String| Err(StoreError::Refused { place, reason, hint });
    if found.encoding != "UTF8" {
        return refused(
            format!("its encoding is {}, which cannot hold every name", found.encoding),
            format!("make another one: createdb --encoding UTF8 --template template0 {database}_utf8"),
        );
    }
    if found.is_read_only {
        return refused(
            "it is read-only".into(),
            "a standby cannot be written to: name the primary; or reset default_transaction_read_only for this user and \
             this database"
                .into(),
        );
    }
    if found.has_tables {
        return Ok(());
    }
    if !found.has_schema {
        return refused(
            "the search_path of this user names no schema for tables".into(),
            format!("run: ALTER ROLE {user} IN DATABASE {database} SET search_path = public"),
        );
    }
    if !found.may_create {
        return refused(
            "this user may not make tables in its schema".into(),
            format!(
                "as its owner, run: GRANT CREATE ON SCHEMA public TO {user}; or make it with: createdb --owner {user} \
                 {database}"
            ),
        );
    }
    Ok(())
}

/// The name of a role, as SQL writes it.
fn role(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Connections for work that must not wait for one of the others.
pub(super) fn open_beside(url: &PostgresUrl, label: &str) -> Pool<AsyncPgConnection> {
    pool(named(url, label), BESIDE_SETUP, BESIDE_MAX)
}

/// Connections that only read, beside those that write.
pub(super) fn open_readers(url: &PostgresUrl, label: &str) -> Pool<AsyncPgConnection> {
    pool(named(url, label), READER_SETUP, READERS_MAX)
}

fn named(url: &PostgresUrl, label: &str) -> PostgresUrl {
    let mut url = url.clone();
    url.config.application_name(format!("segno {label}").trim_end());
    url.config.keepalives_idle(SILENCE_MAX);
    url.config.tcp_user_timeout(SILENCE_MAX);
    url
}

fn pool(url: PostgresUrl, setup: &'static str, max_size: usize) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |_| {
        let url = url.clone();
        async move { connect(&url, setup).await.map_err(|error| ConnectionError::BadConnection(error.to_string())) }
            .boxed()
    });
    let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", config)).max_size(max_size);
    pool.build().expect("a pool without timeouts needs no runtime")
}

pub(super) async fn connect(url: &PostgresUrl, setup: &str) -> Result<AsyncPgConnection, StoreError> {
    let connecting = async {
        let established: ConnectionResult<AsyncPgConnection> = if url.uses_tls() {
            let (client, connection) = url.config.connect(tls(url)?).await.map_err(|error| explain(url, &error))?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        } else {
            let (client, connection) = url.config.connect(NoTls).await.map_err(|error| explain(url, &error))?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        };
        let mut connection = established.map_err(|error| cannot_reach(url, &error.to_string()))?;
        connection.batch_execute(setup).await?;
        Ok(connection)
    };
    within(url, connecting).await
}

async fn within<T>(url: &PostgresUrl, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let silent = || cannot_reach(url, &format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()));
    tokio::time::timeout(CONNECT_TIMEOUT, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// Trusts what the operating system trusts; SSL_CERT_FILE adds to it.
fn tls(url: &PostgresUrl) -> Result<MakeRustlsConnect, StoreError> {
    crate::tls::install();
    let trusted = rustls::ClientConfig::with_platform_verifier();
    trusted.map(MakeRustlsConnect::new).map_err(|error| cannot_reach(url, &error.to_string()))
}

fn explain(url: &PostgresUrl, error: &tokio_postgres::Error) -> StoreError {
    let place = url.place().to_owned();
    let reason = words(error);
    let refused = |hint: String| StoreError::Refused { place: place.clone(), reason: reason.clone(), hint };
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            refused("check user and password in SEGNO_DATABASE_URL, and the server's pg_hba.conf".into())
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => {
            let database = url.config.get_dbname().unwrap_or_default();
            refused(format!("create it, for example with: createdb {database}"))
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS | &SqlState::CANNOT_CONNECT_NOW) => cannot_reach(url, &reason),
        // Somebody works on it, and has forbidden connections meanwhile.
        Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
            let hint = "wait, or allow connections to this database again".into();
            StoreError::Unreachable { place, reason, hint }
        }
        Some(_) => refused("check SEGNO_DATABASE_URL and the server's log".into()),
        None if reason.contains("password missing") => {
            refused("the server asks for a password: write it into SEGNO_DATABASE_URL".into())
        }
        None => cannot_reach(url, &reason),
    }
}

fn cannot_reach(url: &PostgresUrl, reason: &str) -> StoreError {
    let hint = if reason.contains("does not support TLS") {
        "if the network between is trusted, add ?sslmode=disable to SEGNO_DATABASE_URL"
    } else if reason.contains("not valid for name") {
        "name the server in SEGNO_DATABASE_URL as its certificate does"
    } else if reason.contains("certificate") {
        "if the server's certificate has an authority of its own, name it with SSL_CERT_FILE"
    } else {
        "check that the server runs and that host and port in SEGNO_DATABASE_URL are right"
    };
    StoreError::Unreachable { place: url.place().to_owned(), reason: reason.to_owned(), hint: hint.to_owned() }
}

/// The error and its causes in one line; tokio-postgres has the essence in the cause.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        return told.message().to_owned();
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
