//! `segno completions` and `segno man`: the output works in shells and in `man`.

use super::support::Segno;
use std::{collections::BTreeSet, fs, process::Command};

fn printed(args: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a temporary folder");
    let ended = Segno::new(home.path(), args).succeed();
    assert!(ended.stderr.is_empty(), "{}", ended.told());
    ended.stdout
}

/// The commands that `--help` lists.
fn commands() -> BTreeSet<String> {
    let help = printed(&["--help"]);
    let listed = help.split("\nCommands:\n").nth(1).expect("commands").split("\n\n").next().expect("a list");
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|name| name != "help").collect()
}

#[test]
fn completions_know_every_command_and_shells_take_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains("confirm-removals"), "{shell}");
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let file = home.path().join("segno.bash");
    fs::write(&file, printed(&["completions", "bash"])).expect("a file");
    // What bash offers after `segno exp`.
    let program =
        r#"source "$1"; COMP_WORDS=(segno exp); COMP_CWORD=1; _segno segno exp segno; echo "${COMPREPLY[*]}""#;
    let ended = Command::new("bash").args(["-c", program, "bash"]).arg(&file).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "export", "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH segno 1"), "{page}");
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("man1");
    Segno::new(home.path(), &["man", "--out", folder.to_str().expect("UTF-8")]).succeed();
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: BTreeSet<String> = commands().iter().map(|command| format!("segno-{command}.1")).collect();
    expected.insert("segno.1".into());
    assert_eq!(files, expected);
    let sync = fs::read_to_string(folder.join("segno-sync.1")).expect("a page");
    assert!(sync.contains("confirm\\-removals") && sync.contains("Examples:"), "{sync}");
}

#[test]
fn what_cannot_be_written_is_said() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let file = home.path().join("a-file");
    fs::write(&file, "").expect("a file");
    let at = file.join("man1");
    let ended = Segno::new(home.path(), &["man", "--out", at.to_str().expect("UTF-8")]).run();
    ended.assert_refused(1, &["cannot write the manual pages to"]);
    Segno::new(home.path(), &["completions", "tcsh"]).run().assert_refused(2, &["tcsh", "bash"]);
}
