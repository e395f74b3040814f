//! The dependencies of this program, built without features, are allowed by `deny.toml`: licences, bans and sources, as
//! reported by `cargo metadata`. And none of them needs a newer compiler than `Cargo.toml` says.

use serde_json::Value;
use std::{fs, path::Path, process::Command, sync::LazyLock};

static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let ended = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).expect("JSON")
});

static RULES: LazyLock<toml::Table> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    fs::read_to_string(file).expect("deny.toml").parse().expect("TOML")
});

/// The packages built for this platform, except our own.
fn packages() -> Vec<&'static Value> {
    let built: Vec<&str> =
        METADATA["resolve"]["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["id"].as_str()).collect();
    let all = METADATA["packages"].as_array().expect("packages");
    let is_below = |package: &&Value| package["name"] != "segno" && built.iter().any(|id| package["id"] == *id);
    let packages: Vec<&Value> = all.iter().filter(is_below).collect();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    packages
}

fn texts(table: &str, key: &str) -> Vec<&'static str> {
    let values = RULES[table][key].as_array().expect("a list");
    values.iter().filter_map(|value| value.as_str().or_else(|| value.get("crate")?.as_str())).collect()
}

/// Whether the allowed licences satisfy an SPDX expression. `/` is its older notation.
fn is_enough(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let is_enough = any(&mut rest, allowed);
    assert!(rest.is_empty(), "not understood: {expression}");
    is_enough
}

fn any(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is_enough = all(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        is_enough |= all(words, allowed);
    }
    is_enough
}

fn all(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is_enough = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        is_enough &= one(words, allowed);
    }
    is_enough
}

fn one(words: &mut &[&str], allowed: &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let is_enough = any(words, allowed);
            *words = words.strip_prefix(&[")"]).expect("a closing bracket");
            is_enough
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, rest @ ..] => {
            *words = rest;
            allowed.contains(name)
        }
        [] => panic!("an expression ends too early"),
    }
}

#[test]
fn every_licence_is_one_that_is_allowed() {
    let allowed = texts("licenses", "allow");
    let licence = |package: &Value| package["license"].as_str().unwrap_or("none").to_owned();
    let refused: Vec<String> = packages()
        .into_iter()
        .filter(|package| !is_enough(&licence(package), &allowed))
        .map(|package| format!("{}: {}", package["name"], licence(package)))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn an_expression_needs_one_side_of_or_and_both_of_and() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("MIT OR GPL-3.0 AND Zlib", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_enough(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn everything_comes_from_the_registry_and_nothing_banned_is_below() {
    let registries = texts("sources", "allow-registry");
    let banned = texts("bans", "deny");
    for package in packages() {
        let (name, source) = (package["name"].as_str().expect("a name"), package["source"].as_str());
        let is_known = source.is_some_and(|source| registries.contains(&source.trim_start_matches("registry+")));
        assert!(is_known, "{name}: {source:?}");
        assert!(!banned.contains(&name), "{name} is banned");
    }
}

/// The compiler that runs this is the one in `rust-version`, so that the promised version is the tested one.
#[test]
fn the_rust_version_is_the_one_that_is_tested_and_enough_for_all() {
    let ours = METADATA["packages"].as_array().expect("packages").iter().find(|package| package["name"] == "segno");
    let ours = ours.expect("segno")["rust_version"].as_str().expect("a version").to_owned();
    let minor =
        |version: &str| -> u32 { version.split('.').nth(1).expect("a minor version").parse().expect("a number") };
    for package in packages() {
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(minor(needed) <= minor(&ours), "{} needs {needed}", package["name"]);
        }
    }
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc");
    let rustc = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let running = rustc.split_whitespace().nth(1).expect("a version");
    if minor(running) == minor(&ours) {
        return;
    }
    assert!(minor(running) > minor(&ours), "built with {running}, which is older than {ours}");
    eprintln!("SKIPPED: rust-version is {ours}, and these tests run with {running}");
}
