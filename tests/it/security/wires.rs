//! A man in the middle who claims to have no TLS, hoping for the password.

use super::{Backend, Database, Segno};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::Duration,
};

const PASSWORD: &str = "hunter2secret";

/// How a client asks for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What `segno status` with this URL sends to the server first, and what it sends after the answer that there is no
/// TLS. The URL has `PORT` for its port.
fn sent(url: &str) -> (Vec<u8>, Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = url.replace("PORT", &listener.local_addr().expect("an address").port().to_string());
    let (heard, hears) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut first = [0; 8];
        stream.read_exact(&mut first).expect("it asks");
        stream.write_all(b"N").expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        heard.send((first.to_vec(), rest)).expect("the test waits");
    });
    let home = tempfile::tempdir().expect("a folder");
    let ended = Segno::new(home.path(), &["status"]).env("SEGNO_DATABASE_URL", &url).run();
    assert_eq!(ended.code, Some(1), "{}", ended.told());
    assert!(!ended.told().contains(PASSWORD), "{}", ended.told());
    let (first, rest) = hears.recv_timeout(Duration::from_secs(5)).expect("it was asked");
    (first, rest, ended.stderr)
}

#[test]
fn one_host_that_is_elsewhere_is_enough_for_tls_to_all() {
    let user = format!("postgres://me:{PASSWORD}@");
    for url in [
        format!("{user}127.0.0.1:PORT,db.example.org:1/db?hostaddr=127.0.0.1,127.0.0.1"),
        format!("{user}db.example.org:PORT/db?hostaddr=127.0.0.1"),
        format!("{user}127.0.0.1:PORT,127.0.0.1:1/db?hostaddr=127.0.0.1,192.0.2.1&connect_timeout=1"),
        format!("{user}127.0.0.1:PORT/db?sslmode=require"),
    ] {
        let (first, rest, told) = sent(&url);
        assert_eq!((first.as_slice(), rest.as_slice()), (&SSL_REQUEST[..], &[][..]), "{url}: {told}");
    }
    // It is of no use on a machine that talks to itself.
    let (first, ..) = sent(&format!("{user}127.0.0.1:PORT,localhost:1/db?connect_timeout=1"));
    assert_ne!(first, SSL_REQUEST);
}

#[test]
fn what_prefers_tls_sends_nothing_without_it_and_says_so() {
    let (first, rest, told) = sent(&format!("postgres://me:{PASSWORD}@127.0.0.1:PORT/db?sslmode=prefer"));
    assert_eq!((first.as_slice(), rest.as_slice()), (&SSL_REQUEST[..], &[][..]), "{told}");
    assert!(told.contains("sslmode=prefer is treated as sslmode=require"), "{told}");
    assert!(told.contains("does not support TLS"), "{told}");
}

#[test]
fn nothing_of_a_url_is_told_but_where_it_leads() {
    let home = tempfile::tempdir().expect("a folder");
    for url in [
        "postgres://me:a-hunter2secret@b-hunter2secret@127.0.0.1:1/db",
        "postgres://me:a/hunter2secret@127.0.0.1:1/db",
        "postgres://me:hunter2secret/db",
        "postgres://me:x@127.0.0.1:1/db?pasword=hunter2secret",
        "postgres://me:x@127.0.0.1:1/db?connect_timeout=hunter2secret",
        "postgres://me:x@127.0.0.1:1/db?sslmode=hunter2secret",
        "postgres://me:x@127.0.0.1:1/db?application_name=hunter2secret&hostaddr=hunter2secret",
        "mysql://me:hunter2secret@127.0.0.1/db",
        "postgres:me:hunter2secret@127.0.0.1/db",
    ] {
        for command in ["status", "sync"] {
            let segno = Segno::new(home.path(), &[command]).env("SEGNO_DATABASE_URL", url).env("SEGNO_LOG", "trace");
            let segno = segno.env("SEGNO_SPOTIFY_CLIENT_ID", "someone");
            let ended = segno.env("SEGNO_SPOTIFY_REFRESH_TOKEN", "a-refresh-token-0123456789").run();
            assert!(ended.code != Some(0) && !ended.told().contains("hunter2"), "{url}: {}", ended.told());
        }
    }
}

/// Made, and removed, by the server's owner.
struct Fixture<'a>(&'a Database, Vec<String>);

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        self.1.iter().for_each(|sql| self.0.execute(sql));
    }
}

#[test]
fn a_server_that_could_not_hold_the_library_is_refused_with_what_to_do() {
    if !Backend::Postgres.is_available() {
        return;
    }
    let database = Database::empty(Backend::Postgres);
    let url = database.url();
    let (server, name) = url.rsplit_once('/').expect("a database");
    let name = name.split('?').next().expect("a name");
    let status = |url: &str| Segno::new(database.folder.path(), &["status"]).env("SEGNO_DATABASE_URL", url).run();

    let ascii = format!("{name}_ascii");
    database.execute(&format!(
        "CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    ));
    let _gone = Fixture(&database, vec![format!("DROP DATABASE {ascii} WITH (FORCE)")]);
    let told = ["its encoding is SQL_ASCII", &format!("createdb --encoding UTF8 --template template0 {ascii}_utf8")];
    status(&format!("{server}/{ascii}")).assert_refused(1, &told);

    let Some((before, after)) = url.split_once("//postgres@") else {
        eprintln!("SKIPPED: the server's user is not postgres without a password");
        return;
    };
    let role = format!("{name}_role");
    database.execute(&format!("CREATE ROLE {role} LOGIN"));
    let _gone = Fixture(&database, vec![format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")]);
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let theirs = format!("{before}//{role}@{after}");
    status(&theirs).assert_refused(1, &["may not make tables in its schema", "GRANT CREATE ON SCHEMA public"]);
    database.execute(&format!("GRANT CREATE ON SCHEMA public TO {role}"));
    for (setting, value, told) in [
        ("default_transaction_read_only", "on", ["it is read-only", "name the primary"]),
        ("search_path", "pg_catalog", ["names no schema for tables", "SET search_path = public"]),
        ("search_path", "nowhere", ["names no schema for tables", "SET search_path = public"]),
    ] {
        database.execute(&format!("ALTER ROLE {role} SET {setting} = {value}"));
        status(&theirs).assert_refused(1, &told);
        database.execute(&format!("ALTER ROLE {role} RESET {setting}"));
    }
    assert_eq!(status(&theirs).code, Some(0));
}
