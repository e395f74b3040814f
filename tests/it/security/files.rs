//! Files left by somebody else: settings that would send the tokens elsewhere, pipes that would block everything, a
//! database that another user could change.

use super::{Backend, Database, Ended, Login, Sandbox, Segno, is_root, visit, wait_until};
use crate::support::needs;
use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// A user that these tests never run as.
const STRANGER: u32 = 65_534;

/// A home folder, which is also the working directory, and a server that waits for tokens.
struct House {
    folder: TempDir,
    trap: TcpListener,
}

impl House {
    fn new() -> House {
        let folder = tempfile::Builder::new().prefix("segno-it-").tempdir().expect("a temporary folder");
        let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
        trap.set_nonblocking(true).expect("a mode");
        House { folder, trap }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Settings that send everything to that server.
    fn settings(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        let trap = self.trap.local_addr().expect("an address");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, format!("[spotify]\napi_url = \"http://{trap}/v1\"\naccounts_url = \"http://{trap}\"\n"))
            .expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    fn is_visited(&self) -> bool {
        match self.trap.accept() {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn status(&self) -> Ended {
        Segno::new(self.folder.path(), &["status"]).run()
    }

    /// A sync with the address of an API that is not there.
    fn sync(&self) -> Segno {
        let segno = Segno::new(self.folder.path(), &["sync"]).env("SEGNO_SPOTIFY_CLIENT_ID", "someone");
        segno.env("SEGNO_SPOTIFY_REFRESH_TOKEN", "something")
    }
}

#[test]
fn settings_of_a_stranger_in_the_working_directory_do_not_count_and_that_is_said() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let file = house.settings("segno.toml", 0o644);
    chown(&file, Some(STRANGER), None).expect("root may");
    let ended = house.status();
    let told = ["segno.toml in the working directory belongs to another user (uid 65534)", "is ignored", "--config"];
    assert!(told.iter().all(|told| ended.stderr.contains(told)), "{}", ended.told());
    assert!(ended.stderr.contains("there is no database at"), "{}", ended.told());
    // A link created by another user, to a file of ours.
    fs::rename(&file, house.path("other.toml")).expect("root may");
    chown(house.path("other.toml"), Some(0), None).expect("root may");
    symlink("other.toml", &file).expect("a link");
    std::os::unix::fs::lchown(&file, Some(STRANGER), None).expect("root may");
    assert!(house.status().stderr.contains("belongs to another user"));
    // The same file, given by name.
    let asked = Segno::new(house.folder.path(), &["--config", "segno.toml", "status"]).run();
    assert!(!asked.stderr.contains("is ignored"), "{}", asked.told());
    assert!(!house.is_visited());
}

#[test]
fn settings_that_may_not_be_read_are_skipped_with_a_warning_unless_they_were_named() {
    let house = House::new();
    house.settings("segno.toml", 0o000);
    // Root may read everything, unless it gives that up.
    let script = match is_root() {
        true => "exec setpriv --bounding-set=-dac_override,-dac_read_search \"$@\"",
        false => "exec \"$@\"",
    };
    let ended = Segno::new(house.folder.path(), &["status"]).through(script).run();
    let told = ["the file segno.toml may not be read by this user", "is ignored", "there is no database at"];
    assert!(told.iter().all(|told| ended.stderr.contains(told)), "{}", ended.told());
    let named = Segno::new(house.folder.path(), &["--config", "segno.toml", "status"]).through(script).run();
    named.assert_refused(2, &["cannot read the configuration file segno.toml"]);
    assert!(!house.is_visited());
}

#[test]
fn settings_that_others_may_write_are_refused_and_send_no_token_anywhere() {
    for name in ["segno.toml", ".config/segno/segno.toml"] {
        for mode in [0o666, 0o664, 0o646] {
            let house = House::new();
            house.settings(name, mode);
            for ended in [house.status(), house.sync().run()] {
                ended.assert_refused(2, &["segno.toml can be written by others", "chmod go-w"]);
            }
            assert!(!house.is_visited());
        }
        let house = House::new();
        house.settings(name, 0o600);
        let _syncing = house.sync().spawn();
        wait_until("one's own settings count", || house.is_visited());
    }
}

#[test]
fn settings_of_a_stranger_in_the_configuration_folder_are_refused() {
    if !is_root() {
        return;
    }
    let house = House::new();
    chown(house.settings(".config/segno/segno.toml", 0o644), Some(STRANGER), None).expect("root may");
    house.status().assert_refused(2, &["belongs to another user (uid 65534)", "--config"]);
}

#[test]
fn a_pipe_or_a_device_of_that_name_holds_nothing_up() {
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    let device = |path: &Path| symlink("/dev/zero", path).expect("a link");
    for make in [&pipe as &dyn Fn(&Path), &device] {
        let house = House::new();
        make(&house.path("segno.toml"));
        let ended = house.status();
        assert!(ended.took < Duration::from_secs(5), "{}", ended.told());
        assert!(ended.stderr.contains("segno.toml in the working directory is not a regular file"), "{}", ended.told());
        let house = House::new();
        fs::create_dir_all(house.path(".config/segno")).expect("a folder");
        make(&house.path(".config/segno/segno.toml"));
        house.status().assert_refused(2, &["segno.toml is not a regular file"]);
    }
}

#[test]
fn which_settings_count_is_said_in_the_status_and_in_the_log() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let file = database.folder.path().join("segno.toml");
    fs::write(&file, "[log]\nfilter = \"info\"\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let told = format!("settings are from {}", file.display());
    let synced = Segno::on(&database, &sandbox, &["sync"]).succeed();
    assert_eq!(synced.stderr.matches(&told).count(), 1, "{}", synced.told());
    let shown = Segno::on(&database, &sandbox, &["status"]).succeed();
    assert_eq!(shown.stdout.lines().last(), Some(format!("settings from {}", file.display()).as_str()));
    let json = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
    assert_eq!(json["settings_file"], file.display().to_string());
    fs::remove_file(&file).expect("ours");
    let without = Segno::on(&database, &sandbox, &["status", "--json"]).succeed().json();
    assert!(without["settings_file"].is_null());
}

#[test]
fn a_password_that_others_may_read_is_warned_about() {
    for (mode, url, is_warned) in [
        (0o644, "postgres://me:geheim@127.0.0.1:1/db", true),
        (0o640, "postgres://me@127.0.0.1:1/db?password=geheim", true),
        (0o600, "postgres://me:geheim@127.0.0.1:1/db", false),
        (0o644, "postgres://me@127.0.0.1:1/db", false),
    ] {
        let house = House::new();
        fs::write(house.path("segno.toml"), format!("database.url = \"{url}\"\n")).expect("a file");
        fs::set_permissions(house.path("segno.toml"), fs::Permissions::from_mode(mode)).expect("a mode");
        let ended = house.status();
        assert_eq!(ended.stderr.contains("others may read the password"), is_warned, "{}", ended.told());
        assert!(!ended.told().contains("geheim"), "{}", ended.told());
    }
}

/// Whatever the umask.
#[test]
fn folders_are_their_owners_alone_and_a_database_of_another_owner_is_refused() {
    let (house, sandbox) = (House::new(), Sandbox::exact(20, 2, 2, 1, 2));
    let sync = |umask: &str| {
        let segno = Segno::new(house.folder.path(), &["sync", "artists"]);
        let segno = sandbox.env.iter().fold(segno, |segno, (name, value)| segno.env(name, value));
        segno.through(&format!("umask {umask}; exec \"$@\""))
    };
    sync("0000").succeed();
    let mode = |name: &str| fs::metadata(house.path(name)).expect("it is there").permissions().mode() & 0o777;
    for folder in [".local", ".local/share", ".local/share/segno"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    let file = ".local/share/segno/segno.db";
    assert_eq!(mode(file), 0o600);
    if is_root() {
        chown(house.path(file), Some(STRANGER), None).expect("root may");
        for ended in [sync("0077").run(), house.status()] {
            ended.assert_refused(2, &["segno.db belongs to another user (uid 65534)", "run segno as that user"]);
        }
    }
}

/// Everybody on the machine can read the arguments of a program.
#[test]
fn the_program_that_opens_the_browser_is_not_told_the_state_of_the_sign_in() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let login = Login::start(&database, &sandbox, &["--json"]);
    let (opened, shown) = (login.opened(), login.url());
    let state = shown.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    assert!(state.len() > 10 && !opened.contains(&state) && opened.starts_with("http://127.0.0.1:"), "{opened}");
    assert!(!opened.contains('?'), "nothing but the way: {opened}");
    // A browser of the same person is redirected.
    let (status, page) = visit(&opened);
    assert!(status == 200 && page.contains("Sandbox consent"), "{status} {page}");
    // Under another host name, nobody is.
    let port = opened.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let (status, _) = super::super::support::login::visit_with(&opened, Some(&format!("localhost:{port}")));
    assert_eq!(status, 404);
    let (status, page) = login.agree(0);
    assert_eq!(status, 200, "{page}");
    assert_eq!(login.end().code, Some(0));
}

#[test]
fn a_program_of_another_user_is_not_sent_to_the_consent_page() {
    if !is_root() || !needs::has("setpriv") {
        return;
    }
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let login = Login::start(&database, &sandbox, &[]);
    let opened = login.opened();
    let (address, path) = opened.trim_start_matches("http://").split_once('/').expect("a path");
    let (host, port) = address.split_once(':').expect("a port");
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET /{path} HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let answer = |uid: u32| {
        let as_user =
            ["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups", "bash", "-c", &script];
        let output = Command::new("setpriv").args(as_user).current_dir("/").output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(answer(0).starts_with("HTTP/1.1 303") && answer(0).contains("state="), "{}", answer(0));
    let strangers = answer(STRANGER);
    assert!(strangers.starts_with("HTTP/1.1 404") && !strangers.contains("state="), "{strangers}");
    login.running.signal("TERM");
    assert_eq!(login.end().code, Some(130));
}
