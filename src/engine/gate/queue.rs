//! Who waits, and in which order those of one family are served.
//!
//! Within a family, accounts take turns: each permit goes to the account that has had none for longest. So an account
//! with a thousand pages to read delays another one by a page at a time.

use crate::model::{AccountId, Family};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// One who waits. `T` tells askers apart.
#[derive(Debug, Clone, Copy)]
pub struct Ask<T> {
    pub ticket: T,
    pub family: Family,
    /// `None` for what belongs to no account.
    pub account: Option<AccountId>,
    /// Longest pause the asker sits out; `None` for any.
    pub longest_wait: Option<Duration>,
    number: u64,
}

/// The askers of one account, in the order in which they came.
type Line<T> = (Option<AccountId>, VecDeque<Ask<T>>);

#[derive(Debug)]
pub struct Queue<T> {
    /// The account at the front has its turn. No line is empty.
    lines: BTreeMap<Family, VecDeque<Line<T>>>,
    num_asks: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { lines: BTreeMap::new(), num_asks: 0 }
    }
}

impl<T: Copy + PartialEq> Queue<T> {
    pub fn push(&mut self, ticket: T, family: Family, account: Option<AccountId>, longest_wait: Option<Duration>) {
        self.num_asks += 1;
        let ask = Ask { ticket, family, account, longest_wait, number: self.num_asks };
        let lines = self.lines.entry(family).or_default();
        match lines.iter_mut().find(|(of, _)| *of == account) {
            Some((_, line)) => line.push_back(ask),
            None => lines.push_back((account, VecDeque::from([ask]))),
        }
    }

    pub fn remove(&mut self, ticket: T) -> Option<Ask<T>> {
        for lines in self.lines.values_mut() {
            for (_, line) in lines.iter_mut() {
                if let Some(at) = line.iter().position(|ask| ask.ticket == ticket) {
                    let ask = line.remove(at);
                    lines.retain(|(_, line)| !line.is_empty());
                    return ask;
                }
            }
        }
        None
    }

    /// Takes out everybody.
    pub fn take_all(&mut self) -> Vec<T> {
        let lines = std::mem::take(&mut self.lines);
        lines.into_values().flatten().flat_map(|(_, line)| line).map(|ask| ask.ticket).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Ask<T>> {
        self.lines.values().flatten().flat_map(|(_, line)| line)
    }

    /// What an asker asks for.
    pub fn family_of(&self, ticket: T) -> Option<Family> {
        self.iter().find(|ask| ask.ticket == ticket).map(|ask| ask.family)
    }

    /// The families somebody waits for.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        self.lines.iter().filter(|(_, lines)| !lines.is_empty()).map(|(family, _)| *family)
    }

    /// Who has waited longest among the families that are open.
    pub fn oldest(&self, is_open: impl Fn(Family) -> bool) -> Option<T> {
        let fronts = self.lines.values().flatten().filter_map(|(_, line)| line.front());
        fronts.filter(|ask| is_open(ask.family)).min_by_key(|ask| ask.number).map(|ask| ask.ticket)
    }

    /// Whose turn it is in a family.
    pub fn turn(&self, family: Family) -> Option<T> {
        self.lines.get(&family)?.front()?.1.front().map(|ask| ask.ticket)
    }

    /// Takes an asker out, and puts its account behind the others.
    pub fn serve(&mut self, ticket: T) -> Option<Ask<T>> {
        let ask = self.remove(ticket)?;
        if let Some(lines) = self.lines.get_mut(&ask.family)
            && let Some(at) = lines.iter().position(|(of, _)| *of == ask.account)
            && let Some(line) = lines.remove(at)
        {
            lines.push_back(line);
        }
        Some(ask)
    }
}
