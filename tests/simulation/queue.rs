//! What is due, in the order of time.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

#[derive(Debug)]
struct Due<E> {
    at: Duration,
    number: u64,
    event: E,
}

/// Of events due at the same moment, the one that was put in first comes first.
#[derive(Debug)]
pub struct Queue<E> {
    due: BinaryHeap<Due<E>>,
    num_due: u64,
}

impl<E> Queue<E> {
    pub fn new() -> Queue<E> {
        Queue { due: BinaryHeap::new(), num_due: 0 }
    }

    pub fn push(&mut self, at: Duration, event: E) {
        self.num_due += 1;
        self.due.push(Due { at, number: self.num_due, event });
    }

    pub fn pop(&mut self) -> Option<(Duration, E)> {
        self.due.pop().map(|due| (due.at, due.event))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Due<E>) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Due<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    /// The earliest is the greatest, since the heap returns the greatest.
    fn cmp(&self, other: &Due<E>) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
