//! Fault rules: which requests go wrong, from when on, how often and in what way.
//!
//! Rules are tried in order. Every edit and delay that matches is carried out and the search goes on; the first other
//! rule that matches decides the answer, and the rules after it do not see the request.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{LATENCY_MAX, SPAN_MAX};
use super::edits::Edit;
use super::http::Reply;
use super::limits::{Class, Refusal};
use super::routes::Family;

/// Most rules at a time.
pub const RULES_MAX: usize = 1_000;

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A family by name; `*`, or nothing, is the whole Web API without the sign-in.
    #[serde(default = "any_family")]
    family: String,
    /// How the path begins, `/v1` included.
    path_prefix: Option<String>,
    /// First place of a listing that is concerned.
    offset_from: Option<usize>,
    /// First place after it that is not.
    offset_to: Option<usize>,
    /// How many matching requests are let pass first.
    #[serde(default)]
    skip: u64,
    /// How many are concerned after that; nothing means all.
    times: Option<u64>,
    /// What happens to them.
    #[serde(rename = "do")]
    action: Action,
}

fn any_family() -> String {
    "*".to_owned()
}

/// What a rule does.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    Status {
        status: u16,
        body: Option<String>,
        content_type: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    RateLimited {
        retry_after: Option<String>,
    },
    Quota {
        retry_after: Option<String>,
    },
    Hang {},
    Cut {
        bytes: usize,
    },
    Truncate {
        bytes: usize,
    },
    Delay {
        ms: u64,
    },
    Edit {
        edits: Vec<Edit>,
        #[serde(default)]
        when: When,
    },
    LieTotal {
        delta: i64,
    },
    Unauthorized {},
    Forbidden {
        body: Option<String>,
        content_type: Option<String>,
    },
    DropFields {
        fields: Vec<String>,
    },
    ReplaceRow {
        index: usize,
        with: Value,
    },
}

/// Whether an edit shows in the answer that sets it off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    #[default]
    Before,
    After,
}

/// A request as rules look at it.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    pub family: Family,
    pub path: &'a str,
    /// The places of the listing that are asked for.
    pub slots: Option<Range<usize>>,
}

/// What is to happen to a request.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How long the answer is held back.
    pub delay: Duration,
    /// Edits that show in the answer.
    pub before: Vec<Edit>,
    /// Edits that come after it.
    pub after: Vec<Edit>,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
}

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another answer altogether. `pretends` says which limit it pretends to come from.
    Instead { reply: CannedReply, pretends: Option<Class> },
    /// The token has expired, it is claimed.
    Unauthorized,
    /// No answer.
    Hang,
    /// A connection that breaks after this many bytes of the body.
    Cut { bytes: usize },
    /// A whole answer whose JSON stops after this many bytes.
    Truncate { bytes: usize },
    /// An answer that says something else than the truth.
    Reshape(Reshape),
}

/// How an answer is made untrue.
#[derive(Clone, Debug)]
pub enum Reshape {
    /// The total is off by this much.
    LieTotal { delta: i64 },
    /// Fields are missing: a plain name at any depth of the rows, a dotted path from each row.
    DropFields { fields: Vec<String> },
    /// A row of the page is something else.
    ReplaceRow { index: usize, with: Value },
}

/// An answer that a rule gives in place of the real one.
#[derive(Clone, Debug)]
pub struct CannedReply {
    status: u16,
    content_type: String,
    body: String,
    headers: BTreeMap<String, String>,
}

impl CannedReply {
    /// Seconds of its `Retry-After`, if they can be read.
    pub fn retry_after_s(&self) -> Option<u64> {
        let header = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        let seconds = header.and_then(|(_, value)| value.parse::<u64>().ok())?;
        Some(seconds.min(SPAN_MAX.as_secs()))
    }
}

impl From<CannedReply> for Reply {
    fn from(canned: CannedReply) -> Reply {
        let reply = Reply::new(canned.status, canned.content_type, canned.body);
        canned.headers.into_iter().fold(reply, |reply, (name, value)| reply.with_header(name, value))
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules(Vec<ActiveRule>);

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    family: Option<Family>,
    num_matched: u64,
    num_applied: u64,
}

/// How often a rule came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// Requests that matched, those that were let pass included.
    pub matched: u64,
    /// Requests that it was applied to.
    pub applied: u64,
}

impl Rules {
    /// Puts rules in force, or says what is wrong with one of them.
    pub fn new(rules: Vec<Rule>) -> Result<Rules, String> {
        if rules.len() > RULES_MAX {
            return Err(format!("{} rules are too many (at most {RULES_MAX})", rules.len()));
        }
        let activate = |(index, rule): (usize, Rule)| {
            let family = rule.check().map_err(|message| format!("rule {index}: {message}"))?;
            Ok(ActiveRule { rule, family, num_matched: 0, num_applied: 0 })
        };
        rules.into_iter().enumerate().map(activate).collect::<Result<_, String>>().map(Rules)
    }

    /// How often each rule came up.
    pub fn counts(&self) -> Vec<RuleCount> {
        let count = |active: &ActiveRule| RuleCount { matched: active.num_matched, applied: active.num_applied };
        self.0.iter().map(count).collect()
    }

    /// Decides what is to happen to a request.
    pub fn plan(&mut self, target: &Target<'_>) -> Plan {
        let mut plan = Plan::default();
        for active in &mut self.0 {
            if !active.takes(target) {
                continue;
            }
            match active.rule.action.clone() {
                Action::Delay { ms } => plan.delay += Duration::from_millis(ms),
                Action::Edit { edits, when: When::Before } => plan.before.extend(edits),
                Action::Edit { edits, when: When::After } => plan.after.extend(edits),
                action => {
                    plan.fault = action.fault();
                    break;
                }
            }
        }
        plan
    }
}

impl ActiveRule {
    /// Whether the rule applies to a request. Counts, so it is asked once.
    fn takes(&mut self, target: &Target<'_>) -> bool {
        let is_family = self.family.map_or(target.family.is_limited(), |family| family == target.family);
        if !is_family || !self.rule.matches(target) || self.rule.times.is_some_and(|times| self.num_applied >= times) {
            return false;
        }
        self.num_matched += 1;
        if self.num_matched <= self.rule.skip {
            return false;
        }
        self.num_applied += 1;
        true
    }
}

impl Rule {
    fn matches(&self, target: &Target<'_>) -> bool {
        let is_path = self.path_prefix.as_ref().is_none_or(|prefix| target.path.starts_with(prefix.as_str()));
        if self.offset_from.is_none() && self.offset_to.is_none() {
            return is_path;
        }
        let (from, to) = (self.offset_from.unwrap_or(0), self.offset_to.unwrap_or(usize::MAX));
        is_path && target.slots.as_ref().is_some_and(|slots| slots.start < to && from < slots.end)
    }

    /// The family that the rule names, `None` for all; or what is wrong with the rule.
    fn check(&self) -> Result<Option<Family>, String> {
        if let (Some(from), Some(to)) = (self.offset_from, self.offset_to)
            && from >= to
        {
            return Err(format!("no place lies between offset_from {from} and offset_to {to}"));
        }
        self.action.check()?;
        if self.family == "*" {
            return Ok(None);
        }
        let unknown = || {
            let names = Family::limited_names();
            format!("unknown family `{}`: use *, {names}, token or authorize", self.family)
        };
        Family::parse(&self.family).map(Some).ok_or_else(unknown)
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_name && is_value { Ok(()) } else { Err(format!("`{name}: {value}` is not a header")) }
}

impl Action {
    /// Says what cannot be done.
    fn check(&self) -> Result<(), String> {
        match self {
            Action::Status { status, .. } if !(200..=599).contains(status) => {
                Err(format!("{status} is not a status to answer with"))
            }
            Action::Status { headers, content_type, .. } => {
                content_type.iter().try_for_each(|value| check_header("content-type", value))?;
                headers.iter().try_for_each(|(name, value)| check_header(name, value))
            }
            Action::RateLimited { retry_after } | Action::Quota { retry_after } => {
                retry_after.iter().try_for_each(|value| check_header("retry-after", value))
            }
            Action::Forbidden { content_type, .. } => {
                content_type.iter().try_for_each(|value| check_header("content-type", value))
            }
            Action::Delay { ms } if Duration::from_millis(*ms) > LATENCY_MAX => {
                Err(format!("a delay of {ms} ms is over {LATENCY_MAX:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The fault that this is; `None` for delays and edits, which are none.
    fn fault(self) -> Option<Fault> {
        let fault = match self {
            Action::Delay { .. } | Action::Edit { .. } => return None,
            Action::Status { status, body, content_type, headers } => {
                Fault::Instead { reply: canned(status, body, content_type, headers), pretends: None }
            }
            Action::RateLimited { retry_after } => limited(Class::Rate, retry_after),
            Action::Quota { retry_after } => limited(Class::Quota, retry_after),
            Action::Forbidden { body, content_type } => {
                Fault::Instead { reply: canned(403, body, content_type, BTreeMap::new()), pretends: None }
            }
            Action::Unauthorized {} => Fault::Unauthorized,
            Action::Hang {} => Fault::Hang,
            Action::Cut { bytes } => Fault::Cut { bytes },
            Action::Truncate { bytes } => Fault::Truncate { bytes },
            Action::LieTotal { delta } => Fault::Reshape(Reshape::LieTotal { delta }),
            Action::DropFields { fields } => Fault::Reshape(Reshape::DropFields { fields }),
            Action::ReplaceRow { index, with } => Fault::Reshape(Reshape::ReplaceRow { index, with }),
        };
        Some(fault)
    }
}

/// Without a body of its own, the answer is the error object that the Web API gives for the status.
fn canned(
    status: u16,
    body: Option<String>,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
) -> CannedReply {
    let message = match status {
        403 => "Forbidden",
        500 => "Server error.",
        502 => "Bad gateway.",
        503 => "Service unavailable",
        504 => "Gateway timeout",
        _ => "Error",
    };
    let (default_type, default_body) = match body {
        Some(_) => ("text/plain; charset=utf-8", String::new()),
        None => (super::http::JSON, format!(r#"{{"error":{{"status":{status},"message":"{message}"}}}}"#)),
    };
    CannedReply {
        status,
        content_type: content_type.unwrap_or_else(|| default_type.to_owned()),
        body: body.unwrap_or(default_body),
        headers,
    }
}

/// A refusal that looks like that of a real limit, with any `Retry-After` at all.
fn limited(class: Class, retry_after: Option<String>) -> Fault {
    let reply = Reply::from(Refusal { class, retry_after_s: None });
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    let headers = retry_after.map(|value| ("Retry-After".to_owned(), value)).into_iter().collect();
    Fault::Instead {
        reply: canned(429, Some(body), Some(super::http::JSON.to_owned()), headers),
        pretends: Some(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_pass_then_strikes_then_is_spent() {
        let mut rules = rules(r#"[{"family":"tracks","skip":2,"times":1,"do":{"kind":"hang"}}]"#).expect("sound");
        let struck: Vec<bool> = (0..5).map(|_| rules.plan(&target(Family::Tracks, None)).fault.is_some()).collect();
        assert_eq!(struck, [false, false, true, false, false]);
        assert_eq!(rules.counts(), [RuleCount { matched: 3, applied: 1 }]);
    }

    #[test]
    fn offsets_match_when_the_ranges_touch() {
        let mut rules = rules(r#"[{"offset_from":100,"offset_to":110,"do":{"kind":"hang"}}]"#).expect("sound");
        let mut strikes = |slots| rules.plan(&target(Family::Tracks, slots)).fault.is_some();
        assert!(strikes(Some(60..101)) && strikes(Some(109..150)) && strikes(Some(50..200)));
        assert!(!strikes(Some(50..100)) && !strikes(Some(110..150)) && !strikes(None));
    }

    #[test]
    fn edits_and_delays_add_up_and_the_first_fault_decides() {
        let text = r#"[
            {"do":{"kind":"delay","ms":20}},
            {"do":{"kind":"edit","edits":[{"op":"follow"}],"when":"after"}},
            {"do":{"kind":"cut","bytes":5}},
            {"do":{"kind":"delay","ms":500}},
            {"do":{"kind":"hang"}}
        ]"#;
        let mut rules = rules(text).expect("sound");
        let plan = rules.plan(&target(Family::Me, None));
        assert_eq!((plan.delay, plan.before.len(), plan.after.len()), (Duration::from_millis(20), 0, 1));
        assert!(matches!(plan.fault, Some(Fault::Cut { bytes: 5 })));
    }

    #[test]
    fn the_star_spares_the_sign_in() {
        let mut rules = rules(r#"[{"do":{"kind":"hang"}}]"#).expect("sound");
        assert!(rules.plan(&target(Family::Token, None)).fault.is_none());
        assert!(rules.plan(&target(Family::Player, None)).fault.is_some());
    }

    #[test]
    fn unsound_rules_say_why() {
        for (text, expected) in [
            (r#"[{"family":"songs","do":{"kind":"hang"}}]"#, "rule 0: unknown family `songs`"),
            (r#"[{"offset_from":5,"offset_to":5,"do":{"kind":"hang"}}]"#, "no place lies between"),
            (r#"[{"do":{"kind":"status","status":99}}]"#, "99 is not a status"),
            (r#"[{"do":{"kind":"status","status":503,"headers":{"a b":"c"}}}]"#, "is not a header"),
            (r#"[{"do":{"kind":"hang","ms":1}}]"#, "unknown field `ms`"),
            (r#"[{"do":{"kind":"explode"}}]"#, "unknown variant `explode`"),
            (r#"[{"time":1,"do":{"kind":"hang"}}]"#, "unknown field `time`"),
        ] {
            let message = rules(text).expect_err("unsound");
            assert!(message.contains(expected), "{message}");
        }
    }

    fn rules(text: &str) -> Result<Rules, String> {
        serde_json::from_str(text).map_err(|error| error.to_string()).and_then(Rules::new)
    }

    fn target(family: Family, slots: Option<Range<usize>>) -> Target<'static> {
        Target { family, path: "/v1/me/tracks", slots }
    }
}
