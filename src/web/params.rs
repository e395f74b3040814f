//! The query parameters of a request. All of them are checked, and errors name the parameter: ignoring one would answer
//! a different question.

use super::Problem;
use crate::{
    model::{AccountId, EntityType},
    store::browse::Search,
};
use actix_web::HttpRequest;
use chrono::{DateTime, Datelike, Utc};
use std::{collections::BTreeMap, fmt::Display, str::FromStr};
use url::form_urlencoded;

/// Rows of a page if no number is given.
const LIMIT: usize = 50;

/// Most rows of one page.
pub const MAX_LIMIT: usize = 200;

/// Longest text to search for; names are shorter.
const SEARCH_MAX: usize = 200;

/// The parameters of a request, all of them known to its route.
#[derive(Debug)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    pub fn read(request: &HttpRequest, known: &[&str]) -> Result<Params, Problem> {
        Params::parse(request.query_string(), known)
    }

    /// Whether every parameter of a list is valid.
    pub fn probe(query: &str) -> bool {
        let known = ["limit", "account", "q", "after", "entity_type", "since"];
        Params::parse(query, &known).is_ok_and(|params| {
            params.limit().is_ok()
                && params.account().is_ok()
                && params.search().is_ok()
                && params.entity_type().is_ok()
                && params.moment("since").is_ok()
        })
    }

    fn parse(query: &str, known: &[&str]) -> Result<Params, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name = name.escape_debug();
                return Err(Problem::bad_request(format!("unknown parameter \"{name}\"; there is {known}")));
            }
            if params.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::bad_request(format!("{name} is given twice")));
            }
        }
        Ok(Params(params))
    }

    /// The value of a parameter that is given and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(word) = self.get("limit") else { return Ok(LIMIT) };
        let limit = word.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| wrong("limit", word, format_args!("a number from 1 to {MAX_LIMIT}")))
    }

    pub fn account(&self) -> Result<Option<AccountId>, Problem> {
        let parse =
            |word: &str| word.parse().map(AccountId).map_err(|_| wrong("account", word, "the number of an account"));
        self.get("account").map(parse).transpose()
    }

    pub fn search(&self) -> Result<Option<Search>, Problem> {
        let Some(words) = self.get("q") else { return Ok(None) };
        if words.chars().count() > SEARCH_MAX {
            return Err(Problem::bad_request(format!("q: at most {SEARCH_MAX} characters")));
        }
        Ok(Search::new(words))
    }

    /// One of some words, with its meaning; the first if none is given.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
        let word = self.get(name).unwrap_or(choices[0].0);
        let known = || choices.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        let found = choices.iter().find(|(known, _)| *known == word);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| wrong(name, word, format_args!("one of {}", known())))
    }

    /// A number of the feed, or a word for one.
    pub fn position(&self, word: &str) -> Result<i64, Problem> {
        let position = word.parse().ok().filter(|position| *position >= 0 && !word.starts_with('+'));
        position.ok_or_else(|| wrong("after", word, "the `seq` of an entry of the feed, or end"))
    }

    pub fn entity_type(&self) -> Result<Option<EntityType>, Problem> {
        let Some(word) = self.get("entity_type") else { return Ok(None) };
        EntityType::from_str(word)
            .map(Some)
            .map_err(|unknown| wrong("entity_type", word, format_args!("one of {}", unknown.expected)))
    }

    pub fn moment(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(word) = self.get(name) else { return Ok(None) };
        let moment = DateTime::parse_from_rfc3339(word).ok().map(|at| at.to_utc());
        // Databases cannot store, or misorder, years outside this range.
        let moment = moment.filter(|at| (1..=9999).contains(&at.year()));
        moment.map(Some).ok_or_else(|| wrong(name, word, "a time such as 2026-11-22T18:00:00Z"))
    }
}

fn wrong(name: &str, word: &str, expected: impl Display) -> Problem {
    let shown: String = word.chars().take(40).collect();
    Problem::bad_request(format!("{name} is \"{}\"; expected {expected}", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["limit", "account", "q", "sort", "since", "entity_type"];

    fn params(query: &str) -> Params {
        Params::parse(query, KNOWN).unwrap()
    }

    #[test]
    fn what_is_left_out_or_empty_has_its_default() {
        for query in ["", "limit=&account=&q=%20&sort=&since=&entity_type="] {
            let params = params(query);
            assert_eq!(params.limit(), Ok(50));
            assert_eq!((params.account(), params.search(), params.moment("since")), (Ok(None), Ok(None), Ok(None)));
            assert_eq!(params.choice("sort", &[("added_at", 1), ("name", 2)]), Ok(1));
            assert_eq!(params.entity_type(), Ok(None));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_expected() {
        let long = format!("q={}", "x".repeat(201));
        let told = |query: &str| {
            let read = || {
                let params = Params::parse(query, KNOWN)?;
                params.limit()?;
                params.account()?;
                params.search()?;
                params.choice("sort", &[("added_at", ()), ("name", ())])?;
                params.moment("since")?;
                params.entity_type().map(|_| ())
            };
            read().map_err(|problem: Problem| problem.to_string()).unwrap_err()
        };
        assert_eq!(told("limit=0"), "limit is \"0\"; expected a number from 1 to 200");
        assert_eq!(
            told("limit=99999999999999999999"),
            "limit is \"99999999999999999999\"; expected a number from 1 to 200"
        );
        assert_eq!(told("account=mira"), "account is \"mira\"; expected the number of an account");
        assert_eq!(told("sort=length"), "sort is \"length\"; expected one of added_at, name");
        assert_eq!(
            told("since=%2B12026-11-22T18:00:00Z"),
            "since is \"+12026-11-22T18:00:00Z\"; expected a time such as 2026-11-22T18:00:00Z"
        );
        assert_eq!(
            told("entity_type=songs"),
            format!("entity_type is \"songs\"; expected one of {}", EntityType::words())
        );
        assert_eq!(told(&long), "q: at most 200 characters");
        assert_eq!(told("limt=5"), "unknown parameter \"limt\"; there is limit, account, q, sort, since, entity_type");
        assert_eq!(told("q=a&q=b"), "q is given twice");
    }
}
