//! Rows by what identifies them, each once, to be written in the order of their keys. The map holds places only: rows
//! are large, and a map of its own for each of their types would be compiled.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

#[derive(Debug)]
pub(super) struct Keyed<K, R> {
    places: BTreeMap<K, usize>,
    rows: Vec<R>,
}

impl<K, R> Default for Keyed<K, R> {
    fn default() -> Self {
        Keyed { places: BTreeMap::new(), rows: Vec::new() }
    }
}

impl<K: Ord, R> Keyed<K, R> {
    /// Keeps `row`. If there is one with that key already, that one stays, and both are returned.
    pub fn insert(&mut self, key: K, row: R) -> Option<(&mut R, R)> {
        match self.places.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(self.rows.len());
                self.rows.push(row);
                None
            }
            Entry::Occupied(entry) => Some((&mut self.rows[*entry.get()], row)),
        }
    }

    /// Keeps `row` in place of one that there may be.
    pub fn replace(&mut self, key: K, row: R) {
        if let Some((known, row)) = self.insert(key, row) {
            *known = row;
        }
    }

    pub fn into_rows(self) -> Vec<R> {
        let mut rows: Vec<Option<R>> = self.rows.into_iter().map(Some).collect();
        self.places.into_values().map(|at| rows[at].take().expect("no two keys have one place")).collect()
    }
}
