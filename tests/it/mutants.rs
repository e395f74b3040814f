//! The ways to break the engine on purpose (`tests/mutants`) match the engine's present source. `cargo run --example
//! mutants` shows that the simulation finds each of them.

#[path = "../mutants/mod.rs"]
mod list;

use list::{CRATES, MUTANTS, Mutant};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// At least this many ways, each with a unique name.
const MUTANTS_MIN: usize = 10;

#[test]
fn every_mutant_changes_one_place_of_the_engine() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    for Mutant { name, file, stands, instead, .. } in MUTANTS {
        let text = fs::read_to_string(engine.join(file)).unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
        assert_eq!(text.matches(stands).count(), 1, "{name}: in {file} this is to stand once:\n{stands}");
        assert_ne!(stands, instead, "{name}");
    }
}

/// A crate that the engine uses and the copy lacks does not compile there, and then no mutant shows anything.
#[test]
fn the_copy_has_every_crate_that_the_engine_and_its_words_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[dependencies]\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let names: Vec<&str> = lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    assert!(names.contains(&"tokio"), "{names:?}");
    for file in rust_files(&root.join("src/engine")).into_iter().chain(rust_files(&root.join("src/model"))) {
        let text = fs::read_to_string(&file).unwrap();
        let paths: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).collect();
        for name in names.iter().filter(|name| !CRATES.contains(name)) {
            let begins = format!("{}::", name.replace('-', "_"));
            let used = paths.iter().find(|path| path.starts_with(&begins));
            assert_eq!(used, None, "{}: {name} is missing in tests/mutants", file.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn every_mutant_is_one_of_many_and_says_what_it_breaks() {
    let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), MUTANTS.len(), "a name is given twice");
    assert!(names.len() >= MUTANTS_MIN, "{names:?}");
    let guarantees = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G11", "G12", "G14"];
    assert!(MUTANTS.iter().all(|mutant| !mutant.breaks.is_empty() && guarantees.contains(&mutant.guarantee)));
}
