//! Layers between segno and its database that cannot support it are refused at opening, with advice.

use super::support::{Backend, Database, Pooler, Sandbox, Segno};
use std::{fs, process::Command};

/// The folder of the server's socket, according to the tests' URL.
fn socket_folder() -> Option<String> {
    let url = std::env::var("SEGNO_TEST_POSTGRES_URL").ok()?;
    let host = url.split_once('@')?.1.split('/').next()?;
    let folder = host.replace("%2F", "/");
    folder.starts_with('/').then_some(folder)
}

const KEEPING: &str = "pool_mode = session";

fn through_a_pooler(pool: &str, test: impl Fn(&Database, &Pooler, &dyn Fn(&[&str]) -> Segno)) {
    if !Backend::Postgres.is_available() {
        return;
    }
    let Some(folder) = socket_folder() else {
        eprintln!("SKIPPED: the tests' server is not reached by a socket");
        return;
    };
    let Some(pooler) = Pooler::start(&folder, pool) else { return };
    let (database, sandbox) = (Database::empty(Backend::Postgres), Sandbox::exact(330, 60, 60, 4, 60));
    let name = database.url().rsplit('/').next().expect("a name").split('?').next().expect("a name").to_owned();
    let segno = |args: &[&str]| Segno::on(&database, &sandbox, args).env("SEGNO_DATABASE_URL", &pooler.url(&name));
    test(&database, &pooler, &segno);
    if pool == KEEPING {
        sandbox.library().assert_held_by(&database);
    }
}

#[test]
fn a_pooler_that_mixes_sessions_is_refused_before_anything_is_made() {
    for pool in ["pool_mode = transaction", "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 3"] {
        through_a_pooler(pool, |database, _, segno| {
            for command in ["sync", "run", "status", "sync"] {
                let ended = segno(&[command]).run();
                ended.assert_refused(1, &["pooler", "pool_mode = session"]);
            }
            assert!(!database.has_tables(), "{pool}: something was made");
        });
    }
}

#[test]
fn a_pooler_that_keeps_sessions_apart_will_do() {
    through_a_pooler(KEEPING, |database, _, segno| {
        segno(&["sync"]).succeed();
        let again = segno(&["sync", "--json"]).succeed();
        assert_eq!(again.entity("tracks")["state"], "complete", "{}", again.told());
        assert!(database.num_batches() > 0);
    });
}

/// A preloaded library that imitates a file system without locks, in either of two ways.
#[test]
fn a_file_system_without_locks_is_refused() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let folder = database.folder.path();
    let refusing = "errno = 37; return -1;";
    let pretending = "return 0;";
    for (name, answer, reason) in [("refuses", refusing, "No locks"), ("pretends", pretending, "keeps nobody out")] {
        let source = folder.join(format!("{name}.c"));
        let library = folder.join(format!("{name}.so"));
        let code = format!(
            "#define _GNU_SOURCE\n#include <errno.h>\n#include <fcntl.h>\n#include <stdarg.h>\n#include <dlfcn.h>\n\
             static int is_lock(int c) {{ return c == F_SETLK || c == F_SETLKW || c == 37 || c == 38; }}\n\
             int flock(int fd, int op) {{ {answer} }}\n\
             static int pass(const char *name, int fd, int c, void *arg) {{\n\
               int (*real)(int, int, ...) = (int (*)(int, int, ...)) dlsym(RTLD_NEXT, name); return real(fd, c, arg); }}\n\
             int fcntl(int fd, int c, ...) {{ va_list l; va_start(l, c); void *arg = va_arg(l, void *); va_end(l);\n\
               if (is_lock(c)) {{ {answer} }} return pass(\"fcntl\", fd, c, arg); }}\n\
             int fcntl64(int fd, int c, ...) {{ va_list l; va_start(l, c); void *arg = va_arg(l, void *); va_end(l);\n\
               if (is_lock(c)) {{ {answer} }} return pass(\"fcntl64\", fd, c, arg); }}\n"
        );
        fs::write(&source, code).expect("a file");
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
        assert!(compiled.expect("a C compiler, which the build needs too").success());
        let ended = Segno::on(&database, &sandbox, &["sync"]).env("LD_PRELOAD", &library.display().to_string()).run();
        ended.assert_refused(2, &["does not keep locks", reason, "use PostgreSQL"]);
    }
    Segno::on(&database, &sandbox, &["sync"]).succeed();
}
