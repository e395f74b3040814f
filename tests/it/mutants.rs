//! The ways to break the engine on purpose (`tests/mutants`) fit the engine as it is. `cargo run --example mutants`
//! shows that the simulation finds each of them.

#[path = "../mutants/mod.rs"]
mod list;

use list::{MUTANTS, Mutant};
use std::{collections::BTreeSet, fs, path::Path};

/// So many ways at least; one name each.
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

#[test]
fn every_mutant_is_one_of_many_and_says_what_it_breaks() {
    let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), MUTANTS.len(), "a name is given twice");
    assert!(names.len() >= MUTANTS_MIN, "{names:?}");
    let guarantees = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G11", "G12", "G14"];
    assert!(MUTANTS.iter().all(|mutant| !mutant.breaks.is_empty() && guarantees.contains(&mutant.guarantee)));
}
