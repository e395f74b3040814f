//! Keeps the layers apart: reads `src/` and checks which module uses which, what each touches, and that files stay
//! readable.
//!
//! It reads tokens, not types. A path is found wherever it is written, in `use` trees and inline, through `crate::`,
//! `self::` and `super::`; an alias hides its target.

mod circles;
mod lexer;
mod reader;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Most lines that one file may have. At this size, look for the second idea.
const LINES_MAX: usize = 500;

/// What one of our modules may use and must not touch.
struct Layer {
    name: &'static str,
    /// Our modules; itself is implied. `None` means everything.
    uses: Option<&'static [&'static str]>,
    /// Crates, by prefix of their names.
    never: &'static [&'static str],
    /// Time and chance are passed as arguments; tests may create them.
    is_pure: bool,
}

const LAYERS: [Layer; 22] = [
    layer("model", &[], OUTSIDE).pure(),
    layer("engine", &["model"], OUTSIDE).pure(),
    layer("spotify", &["model", "tls"], &["actix", "diesel"]),
    layer("data_export", &["model"], OUTSIDE),
    layer("store", &["model", "tls", "faults", "parts"], &["actix", "reqwest"]),
    layer(
        "actors",
        &["model", "engine", "spotify", "store", "notify", "metrics", "clock", "processes", "faults"],
        &["actix_web"],
    ),
    // It reads the store and acts through messages to the supervisor.
    layer("web", &["model", "store", "actors", "export", "clock", "metrics"], &["diesel", "reqwest"]),
    layer("notify", &["tls"], &["actix", "diesel", "tokio"]),
    layer("metrics", &["model"], OUTSIDE).pure(),
    layer("export", &["model", "store"], &["actix", "diesel", "reqwest", "tokio"]),
    layer("sandbox", &["model"], &["diesel"]),
    layer(
        "cli",
        &[
            "model",
            "engine",
            "spotify",
            "store",
            "actors",
            "data_export",
            "export",
            "sandbox",
            "clock",
            "config",
            "telemetry",
        ],
        &["diesel"],
    ),
    layer("config", &["model", "telemetry"], &["actix", "diesel", "reqwest"]),
    layer("clock", &["faults"], &["actix", "diesel", "reqwest"]),
    layer("processes", &["model"], OUTSIDE),
    layer("parts", &["processes"], OUTSIDE),
    layer("faults", &[], OUTSIDE),
    layer("telemetry", &["model", "tls"], OUTSIDE),
    layer("tls", &[], OUTSIDE),
    Layer { name: "app", uses: None, never: &[], is_pure: false },
    Layer { name: "main", uses: None, never: &[], is_pure: false },
    Layer { name: "lib", uses: None, never: &[], is_pure: false },
];

/// The crates that lead out of the program.
const OUTSIDE: &[&str] = &["tokio", "actix", "diesel", "reqwest", "hyper", "rusqlite", "libsqlite3_sys"];

/// Crates that roll dice.
const DICE: &[&str] = &["fastrand", "rand", "getrandom"];

/// Paths, or parts of them, that read a clock, roll dice, wait or reach outside.
const IMPURE: &[&str] = &[
    "Instant::now",
    "Utc::now",
    "Local::now",
    "SystemTime",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
];

const fn layer(name: &'static str, uses: &'static [&'static str], never: &'static [&'static str]) -> Layer {
    Layer { name, uses: Some(uses), never, is_pure: false }
}

impl Layer {
    const fn pure(self) -> Layer {
        Layer { is_pure: true, ..self }
    }
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let files = sources();
    assert!(files.len() > 10, "only {} files found", files.len());
    let violations = check(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    assert_eq!(circles::circles(&sources()), Vec::<Vec<String>>::new());
}

#[test]
fn planted_circles_are_found() {
    let one = source("a/one.rs", "use super::two::Two; pub struct One;");
    let two = |text| source("a/two.rs", text);
    let root = source("a/mod.rs", "mod one; mod two; pub use one::One;");
    for text in ["use super::one::One;", "use super::One;", "use crate::a::{self, One};", "fn f() -> crate::a::One {}"]
    {
        let circles = circles::circles(&[source("a/one.rs", &one.text), two(text), source("a/mod.rs", &root.text)]);
        assert_eq!(circles, [["a::one", "a::two"]], "{text}");
    }
    let three = source("b.rs", "use crate::a::one::One;");
    let through = circles::circles(&[one, two("use crate::b;"), three, root]);
    assert_eq!(through, [["a::one", "a::two", "b"]]);
    for text in
        ["use super::Root;", "#[cfg(test)] mod tests { use super::super::one::One; }", "// use super::one::One;"]
    {
        let one = source("a/one.rs", "use super::two::Two; pub struct One;");
        let circles = circles::circles(&[one, two(text), source("a/mod.rs", "use one::One; struct Root;")]);
        assert_eq!(circles, Vec::<Vec<String>>::new(), "{text}");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    let mut violations = Vec::new();
    for file in sources() {
        let num_lines = file.text.lines().count();
        if num_lines > LINES_MAX {
            violations.push(format!("src/{}: {num_lines} lines, at most {LINES_MAX}", file.path));
        }
        if !file.text.starts_with("//!") {
            violations.push(format!("src/{}: does not open with //!", file.path));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Documentation tests are switched off in `Cargo.toml`: compiling the library once more to find that there are none takes
/// longer than most tests.
#[test]
fn no_documentation_shows_code_that_nothing_compiles() {
    for file in sources() {
        let lines = file.text.lines().map(str::trim);
        let fences = lines.filter_map(|line| line.strip_prefix("//! ```").or_else(|| line.strip_prefix("/// ```")));
        let languages: Vec<&str> = fences.step_by(2).collect();
        assert!(languages.iter().all(|language| *language == "text"), "{}: {languages:?}", file.path);
    }
}

/// What distinguishes the entity types is in one table, `model::facts`, which the engine uses.
#[test]
fn the_engine_names_no_entity_type() {
    let mut violations = Vec::new();
    for file in sources().iter().filter(|file| file.path.starts_with("engine/")) {
        let shipped = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = ["/simulation", "/tests"].iter().any(|part| file.path.contains(part));
        for token in lexer::tokens(shipped).windows(3).filter(|_| !is_test) {
            if token[0].text == "EntityType" && token[1].text == "::" {
                violations.push(format!("src/{}:{}: EntityType::{}", file.path, token[0].line, token[2].text));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// The engine decides what to wait for, how often to try and whether to roll dice; one file carries it out.
#[test]
fn actors_wait_repeat_and_roll_dice_in_one_file_only() {
    let mut violations = Vec::new();
    for file in sources().iter().filter(|file| file.path.starts_with("actors/") && file.path != "actors/driver.rs") {
        for token in lexer::tokens(&file.text) {
            if matches!(token.text.as_str(), "loop" | "sleep" | "sleep_until" | "fastrand" | "rand") {
                violations
                    .push(format!("src/{}:{}: {} belongs into actors/driver.rs", file.path, token.line, token.text));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("engine/a.rs", "use crate::store::Store;", "engine may not use store"),
        ("engine/a.rs", "use crate::{model::{Page, Slot}, spotify as out};", "engine may not use spotify"),
        ("engine/a.rs", "fn f() { let x = crate::store::open(); }", "engine may not use store"),
        ("engine/a.rs", "use super::super::store::Store;", "engine may not use store"),
        ("engine/mod.rs", "use super::{model, store};", "engine may not use store"),
        ("engine/gate/mod.rs", "mod inner { use super::super::super::store::x; }", "engine may not use store"),
        ("engine/a.rs", "use crate::*;", "engine may not use *"),
        ("engine/a.rs", "pub(crate) use crate::clock::now;", "engine may not use clock"),
        ("store/a.rs", "#[cfg(test)] mod tests { use crate::engine::Walk; }", "store may not use engine"),
        ("actors/a.rs", "use crate::config::Config;", "actors may not use config"),
        ("sandbox/a.rs", "use crate::spotify::wire;", "sandbox may not use spotify"),
        ("engine/a.rs", "use tokio::time::sleep;", "engine never touches tokio"),
        ("model/a.rs", "use {std::fmt, ::diesel_async::X};", "model never touches diesel_async"),
        ("store/a.rs", "fn f() { actix::spawn(x) }", "store never touches actix"),
        ("spotify/a.rs", "extern crate diesel;", "spotify never touches diesel"),
        ("engine/a.rs", "fn f() { let t = std::time::Instant::now(); }", "engine never touches Instant::now"),
        ("engine/a.rs", "use std::time::{Duration, SystemTime};", "engine never touches SystemTime"),
        ("engine/a.rs", "fn f() { Utc::now() }", "engine never touches Utc::now"),
        ("model/a.rs", "fn f() { Some(1).map(fastrand::u32) }", "model never touches fastrand"),
        ("engine/a.rs", "use std::{env, fmt};", "engine never touches std::env"),
        ("engine/a.rs", "fn f(t: Instant) { t.elapsed(); }", "engine never touches elapsed()"),
        ("engine/a.rs", "#[cfg(not(test))] mod m { fn f() { rand::random() } }", "engine never touches rand"),
        ("engine/a.rs", "#[cfg(test)] mod tests {}\nfn f() { rand::random() }", "engine never touches rand"),
        ("elsewhere/a.rs", "use std::fmt;", "no layer is called elsewhere"),
    ];
    for (path, text, expected) in planted {
        let found = check(&[source(path, text)]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].ends_with(expected), "{text}: {found:?}");
    }
    let found = check(&[source("engine/a.rs", "// one\n/* two\n*/ use\n crate::store;")]);
    assert_eq!(found, ["src/engine/a.rs:4: engine may not use store"]);
}

#[test]
fn what_only_looks_like_a_violation_is_let_through() {
    let innocent = [
        ("engine/a.rs", "// use crate::store;\n/// [`crate::store`]\n/* tokio::x /* Utc::now() */ rand::x */"),
        ("engine/a.rs", r##"const A: &str = "use crate::store; \" tokio::x"; const B: &str = r#"" tokio::x"#;"##),
        ("engine/a.rs", "fn f<'a>(c: &'a char) { if *c == '\"' || *c == '\\'' {} } // \" tokio::x"),
        ("engine/a.rs", "use crate::model::{self, EntityType}; use super::gate; pub(super) use self::walk::store;"),
        ("engine/a.rs", "mod inner { use super::super::gate; use super::tokio; }"),
        ("engine/a.rs", "fn f(rand: f64, tokio: u8) -> f64 { x.rand::<u8>() + rand * self.elapsed }"),
        (
            "engine/a.rs",
            "#[cfg(test)]\n#[allow(x)]\nmod tests { fn f(r: fastrand::Rng) { Instant::now().elapsed(); } }",
        ),
        ("engine/a.rs", "#[cfg(all(test, unix))] fn f(x: [u8; 3]) { Utc::now() }"),
        ("sandbox/a.rs", "use super::config::Dialect; use crate::sandbox::config; use crate::model::Page;"),
        ("app.rs", "use crate::{actors, store, web}; use tokio::x;"),
        ("main.rs", "use segno::app;"),
    ];
    for (path, text) in innocent {
        assert_eq!(check(&[source(path, text)]), Vec::<String>::new(), "{text}");
    }
    // A module that is declared for tests may lie in files of its own.
    let files = [
        source("engine/gate/mod.rs", "#[cfg(test)] mod tests; mod window;"),
        source("engine/gate/tests.rs", "use fastrand::Rng;"),
        source("engine/gate/tests/deep.rs", "fn f() { Utc::now() }"),
    ];
    assert_eq!(check(&files), Vec::<String>::new());
    let declared = [source("engine/gate/mod.rs", "mod tests;"), source("engine/gate/tests.rs", "use fastrand::Rng;")];
    assert_eq!(check(&declared).len(), 1);
}

/// A file of `src/`, its path relative to that and with `/`.
struct SourceFile {
    path: String,
    text: String,
}

/// A path as written in the code, with `crate::` and its equivalents resolved.
struct Used {
    /// From the crate's root, or as written if it does not lead there.
    segments: Vec<String>,
    is_ours: bool,
    is_method: bool,
    in_test: bool,
    line: usize,
}

fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                files.push(source(&relative, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn source(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

/// One line per violation.
fn check(files: &[SourceFile]) -> Vec<String> {
    let read: Vec<_> = files.iter().map(|file| (file, reader::read(&file.text, &module_of(&file.path)))).collect();
    let test_modules: BTreeSet<Vec<String>> = read.iter().flat_map(|(_, read)| read.test_modules.clone()).collect();
    let mut violations = Vec::new();
    for (file, read) in read {
        let module = module_of(&file.path);
        let name = module.first().map_or(file.path.trim_end_matches(".rs"), String::as_str);
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            violations.push(format!("src/{}: no layer is called {name}", file.path));
            continue;
        };
        let is_test_file = (1..=module.len()).any(|len| test_modules.contains(&module[..len]));
        for used in read.used {
            let in_test = used.in_test || is_test_file;
            if let Some(what) = judge(layer, &used, in_test) {
                violations.push(format!("src/{}:{}: {name} {what}", file.path, used.line));
            }
        }
    }
    violations
}

fn judge(layer: &Layer, used: &Used, in_test: bool) -> Option<String> {
    let segments: Vec<&str> = used.segments.iter().map(String::as_str).collect();
    if used.is_ours {
        let (target, allowed) = (*segments.first()?, layer.uses?);
        let is_allowed = target == layer.name || allowed.contains(&target);
        return (!is_allowed).then(|| format!("may not use {target}"));
    }
    let is_checked_for_time = layer.is_pure && !in_test;
    if used.is_method {
        return (is_checked_for_time && segments == ["elapsed"]).then(|| "never touches elapsed()".to_owned());
    }
    let first = *segments.first()?;
    let is_one_of = |crates: &[&str]| {
        crates.iter().any(|name| first.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    };
    if is_one_of(layer.never) || (is_checked_for_time && is_one_of(DICE)) {
        return Some(format!("never touches {first}"));
    }
    let holds = |part: &&&str| {
        let part: Vec<&str> = part.split("::").collect();
        segments.windows(part.len()).any(|window| window == part)
    };
    let impure = IMPURE.iter().find(holds).filter(|_| is_checked_for_time)?;
    Some(format!("never touches {impure}"))
}

/// `engine/gate/mod.rs` is `engine::gate`; `lib.rs` and `main.rs` are the root.
fn module_of(path: &str) -> Vec<String> {
    let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let is_root = module.len() == 1 && matches!(module[0].as_str(), "lib" | "main");
    if is_root || module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    module
}
