//! The memory that the objects of one answer may take while it is read.
//!
//! An answer of small objects in large numbers, such as `{}`, would take a hundred times its length. It is refused as
//! soon as it has used up its memory.

use serde::de;
use std::cell::Cell;

thread_local! {
    static BYTES_LEFT: Cell<usize> = const { Cell::new(BYTES_MAX) };
}

/// Most memory that the lists of one answer may take, without the texts in them. Those of a page of the fullest albums
/// take a third of it.
const BYTES_MAX: usize = 16 << 20;

/// The error text for an answer that would take more.
pub const TOO_LARGE: &str = "far more than a page can hold";

/// Decodes an answer within the memory limit.
pub fn bounded<T>(read: impl FnOnce() -> serde_json::Result<T>) -> serde_json::Result<T> {
    BYTES_LEFT.set(BYTES_MAX);
    let read = read();
    // A field that found no room may have been recorded as merely odd.
    if is_used_up() { Err(de::Error::custom(TOO_LARGE)) } else { read }
}

/// Adds to a list, as far as there is room. Everything that an answer can contain in large numbers is in lists.
pub fn push<T, E: de::Error>(list: &mut Vec<T>, element: T) -> Result<(), E> {
    BYTES_LEFT.set(BYTES_LEFT.get().saturating_sub(size_of::<T>()));
    if is_used_up() {
        return Err(E::custom(TOO_LARGE));
    }
    // A list of one would otherwise have room for four.
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().max(1));
    }
    list.push(element);
    Ok(())
}

pub fn is_used_up() -> bool {
    BYTES_LEFT.get() == 0
}
