//! Finds files that use each other in a circle.
//!
//! A re-export counts as a use where it is written. A module and the modules inside it may use each other: they are one
//! thing in several files.

use super::{SourceFile, module_of, reader};
use std::collections::{BTreeMap, BTreeSet};

type Module = Vec<String>;

/// Longest chain of re-exports that is followed.
const REEXPORTS_MAX: usize = 4;

/// The circles, each as the modules in it, sorted.
pub fn circles(files: &[SourceFile]) -> Vec<Vec<String>> {
    let uses = uses(files);
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (module, reach(&uses, module))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, reached_from_it) in &reached {
        let others = reached_from_it.iter().filter(|other| reached[**other].contains(module));
        let circle: Vec<String> = others.map(|other| other.join("::")).collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// All modules that one uses, directly or through others.
fn reach<'a>(uses: &'a BTreeMap<Module, BTreeSet<Module>>, from: &'a Module) -> BTreeSet<&'a Module> {
    let (mut reached, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(used) {
                left.push(used);
            }
        }
    }
    reached
}

/// Which modules each module uses, outside of tests.
fn uses(files: &[SourceFile]) -> BTreeMap<Module, BTreeSet<Module>> {
    let read: BTreeMap<Module, reader::Read> =
        files.iter().map(|file| (module_of(&file.path), reader::read(&file.text, &module_of(&file.path)))).collect();
    let for_tests: BTreeSet<Module> = read.values().flat_map(|read| read.test_modules.clone()).collect();
    let is_for_tests = |module: &Module| (1..=module.len()).any(|len| for_tests.contains(&module[..len]));
    let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, found) in read.iter().filter(|(module, _)| !is_for_tests(module)) {
        let mut used: BTreeSet<Module> = BTreeSet::new();
        for path in found.used.iter().filter(|used| !used.in_test && !used.is_method) {
            let path =
                if path.is_ours { path.segments.clone() } else { [module.clone(), path.segments.clone()].concat() };
            used.extend(defined_in(&read, path, REEXPORTS_MAX));
        }
        used.retain(|other| !other.starts_with(module) && !module.starts_with(other) && !is_for_tests(other));
        uses.insert(module.clone(), used);
    }
    uses
}

/// The module that defines the target of a path; `None` if it is not ours.
fn defined_in(read: &BTreeMap<Module, reader::Read>, path: Module, num_left: usize) -> Option<Module> {
    let len = (1..=path.len()).rev().find(|len| read.contains_key(&path[..*len]))?;
    let (module, rest) = path.split_at(len);
    let Some(name) = rest.first().filter(|_| num_left > 0) else { return Some(module.to_vec()) };
    let mut imported = read[module].used.iter().filter(|used| !used.in_test && !used.is_method);
    let imported = imported.find(|used| used.segments.len() > 1 && used.segments.last() == Some(name));
    let further = imported.and_then(|used| {
        let path = if used.is_ours { used.segments.clone() } else { [module.to_vec(), used.segments.clone()].concat() };
        defined_in(read, path, num_left - 1)
    });
    Some(further.filter(|further| further != module).unwrap_or(module.to_vec()))
}
