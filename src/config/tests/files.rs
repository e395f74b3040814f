//! Which file is read, and what happens if it cannot be.

use super::*;

#[test]
fn a_file_named_on_the_command_line_must_be_there_and_be_readable_text() {
    let load = |write: &dyn Fn(&Path)| {
        let house = House::new();
        write(&house.root.path().join("work/my.toml"));
        house.load_from("my.toml")
    };
    let refusal = |write: &dyn Fn(&Path)| load(write).unwrap_err().to_string();

    assert_eq!(refusal(&|_| {}), "the configuration file my.toml does not exist");
    assert_eq!(refusal(&|path| fs::create_dir(path).unwrap()), "the configuration file my.toml is a directory");
    assert_eq!(
        refusal(&|path| fs::write(path, b"[web]\n# \xff").unwrap()),
        "the configuration file my.toml is not UTF-8 text (line 2)"
    );
    assert_eq!(
        refusal(&|path| fs::write(path, "#".repeat(2 << 20)).unwrap()),
        "the configuration file my.toml is larger than 1048576 bytes"
    );
    let config = load(&|path| fs::write(path, "\u{feff}sync.initial_batch_size = 77\r\n").unwrap()).unwrap();
    assert_eq!(config.sync.initial_batch_size, 77);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_named_on_the_command_line_holds_nothing_up() {
    let house = House::new();
    let (pipe, socket) = (house.root.path().join("work/pipe"), house.root.path().join("work/socket"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for name in ["pipe", "socket", "/dev/zero"] {
        let error = house.load_from(name).unwrap_err();
        assert_eq!(error.to_string(), format!("the configuration file {name} is not a regular file; name one that is"));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_opened_is_an_error_with_its_cause() {
    let house = House::new();
    std::os::unix::fs::symlink("loop.toml", house.root.path().join("work/loop.toml")).unwrap();
    let error = house.load_from("loop.toml").unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file loop.toml");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn the_file_in_the_working_directory_is_preferred_to_the_one_in_the_configuration_folder() {
    let house = House::new();
    let folder = house.dirs.config.clone().unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("segno.toml"), "sync.initial_batch_size = 1\n").unwrap();
    assert!(house.refusal().starts_with(&format!("{}:1: sync.initial", folder.join("segno.toml").display())));

    let house = house.file("sync.initial_batch_size = 33");
    assert_eq!(house.load().unwrap().sync.initial_batch_size, 33);
}

#[test]
fn a_default_file_that_is_a_directory_is_not_passed_over() {
    let house = House::new();
    fs::create_dir(house.root.path().join("work/segno.toml")).unwrap();
    assert!(matches!(house.load(), Err(ConfigError::Directory(_))));
}

#[cfg(unix)]
#[test]
fn a_home_folder_that_is_no_folder_is_none() {
    let mut house = House::new();
    house.dirs.config = Some(PathBuf::from("/dev/null/segno"));
    assert!(house.load().is_ok());
}

#[test]
fn the_refresh_token_has_no_place_in_the_file() {
    assert_eq!(
        House::new().file("[spotify]\nrefresh_token = 'secret'").refusal(),
        "segno.toml:2: spotify.refresh_token: may only be given in the environment, as SEGNO_SPOTIFY_REFRESH_TOKEN"
    );
}
