//! Fault rules: which requests fail, from when on, how often and in which way.
//!
//! Rules are tried in order. Every edit, delay and change (see `actions`) that matches is carried out and the search
//! continues; the first other rule that matches decides the answer, and the rules after it do not see the request.
//!
//! `turns` says which of the matching requests are affected, repeating: `"x.."` is every third.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::actions::{Action, Fault, When};
use super::config::SPAN_MAX;
use super::edits::Edit;
use super::http::Query;
use super::reshape::Reshape;
use super::routes::Family;

/// Most rules at a time.
pub const RULES_MAX: usize = 1_000;

/// A rule, as configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A family by name; `*`, or nothing, is the whole Web API without the sign-in.
    #[serde(default = "any_family")]
    family: String,
    /// Prefix of the path, `/v1` included.
    path_prefix: Option<String>,
    /// First place of a listing that is affected.
    offset_from: Option<usize>,
    /// First place after it that is not.
    offset_to: Option<usize>,
    /// How many matching requests pass first.
    #[serde(default)]
    skip: u64,
    /// How many are affected after that; nothing means all.
    times: Option<u64>,
    /// For how long after the first affected one; nothing means for ever.
    for_ms: Option<u64>,
    /// Which of them are affected (`x`) and which pass (`.`), repeating.
    turns: Option<String>,
    /// Whose requests, counted from 0; nothing means everybody's.
    user: Option<usize>,
    /// What happens to them.
    #[serde(rename = "do")]
    action: Action,
}

fn any_family() -> String {
    "*".to_owned()
}

/// A request as seen by rules.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Whose it is, if that is known.
    pub user: Option<usize>,
    pub family: Family,
    pub path: &'a str,
    /// The requested places of the listing.
    pub slots: Option<Range<usize>>,
}

/// What is to happen to a request.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How long the answer is delayed.
    pub delay: Duration,
    /// Edits that show in the answer.
    pub before: Vec<Edit>,
    /// Edits that come after it.
    pub after: Vec<Edit>,
    /// The changed request, which is answered instead.
    pub question: Question,
    /// How the answer is falsified.
    pub changes: Vec<Reshape>,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
}

/// Changes to the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    /// Most rows.
    pub rows_max: Option<usize>,
    /// From the first row on.
    pub from_start: bool,
    /// From the library as it was this many changes ago.
    pub back: usize,
}

impl Question {
    /// The request that is answered.
    pub fn instead_of<'a>(&self, query: &Query<'a>) -> Query<'a> {
        let limit = query.get("limit").map(str::to_owned);
        let is_over =
            |max: &usize| limit.as_ref().is_none_or(|limit| limit.parse().is_ok_and(|asked: usize| asked > *max));
        let limit = self.rows_max.filter(is_over).map(|max| max.to_string()).or(limit);
        let query = query.with("limit", limit);
        if self.from_start { query.with("offset", None).with("after", None) } else { query }
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
    first_struck_at: Option<Instant>,
}

/// How often a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    /// Requests that matched, including those that passed.
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
            Ok(ActiveRule { rule, family, num_matched: 0, num_applied: 0, first_struck_at: None })
        };
        rules.into_iter().enumerate().map(activate).collect::<Result<_, String>>().map(Rules)
    }

    /// How often each rule matched.
    pub fn counts(&self) -> Vec<RuleCount> {
        let count = |active: &ActiveRule| RuleCount { matched: active.num_matched, applied: active.num_applied };
        self.0.iter().map(count).collect()
    }

    /// Whether a rule needs libraries of the past.
    pub fn need_history(&self) -> bool {
        self.0.iter().any(|active| matches!(active.rule.action, Action::Stale { .. }))
    }

    /// Decides what is to happen to a request.
    pub fn plan(&mut self, target: &Target<'_>, now: Instant) -> Plan {
        let mut plan = Plan::default();
        for active in &mut self.0 {
            if !active.takes(target, now) {
                continue;
            }
            match active.rule.action.clone() {
                Action::Cap { rows } => {
                    plan.question.rows_max = Some(plan.question.rows_max.map_or(rows, |max| max.min(rows)));
                }
                Action::IgnoreOffset {} => plan.question.from_start = true,
                Action::Stale { back } => plan.question.back = back,
                Action::Delay { ms } => plan.delay += Duration::from_millis(ms),
                Action::Edit { edits, when: When::Before } => plan.before.extend(edits),
                Action::Edit { edits, when: When::After } => plan.after.extend(edits),
                action => match action.change(active.num_applied) {
                    Ok(change) => plan.changes.push(change),
                    Err(action) => {
                        plan.fault = action.fault();
                        break;
                    }
                },
            }
        }
        plan
    }
}

impl ActiveRule {
    /// Whether the rule applies to a request. It counts, so it is called once.
    fn takes(&mut self, target: &Target<'_>, now: Instant) -> bool {
        let is_family = self.family.map_or(target.family.is_limited(), |family| family == target.family);
        if !is_family || !self.rule.matches(target) || self.rule.times.is_some_and(|times| self.num_applied >= times) {
            return false;
        }
        self.num_matched += 1;
        let Some(turn) = self.num_matched.checked_sub(self.rule.skip + 1) else { return false };
        let span = self.rule.for_ms.map(Duration::from_millis);
        let is_over = self.first_struck_at.zip(span).is_some_and(|(first, span)| now >= first + span);
        if is_over || !self.rule.is_turn(turn) {
            return false;
        }
        self.first_struck_at.get_or_insert(now);
        self.num_applied += 1;
        true
    }
}

impl Rule {
    fn is_turn(&self, number: u64) -> bool {
        let Some(turns) = self.turns.as_deref().map(str::as_bytes) else { return true };
        let at = usize::try_from(number % turns.len() as u64).unwrap_or(0);
        turns[at] == b'x'
    }

    fn matches(&self, target: &Target<'_>) -> bool {
        if self.user.is_some() && self.user != target.user {
            return false;
        }
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
        if self.turns.as_ref().is_some_and(|turns| turns.is_empty() || turns.bytes().any(|turn| !b"x.".contains(&turn)))
        {
            return Err("turns are made of `x` and `.`, such as `x.`".to_owned());
        }
        if self.for_ms.is_some_and(|ms| Duration::from_millis(ms) > SPAN_MAX) {
            return Err("for_ms must not be longer than a year".to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_pass_then_strikes_then_is_spent() {
        let mut rules = rules(r#"[{"family":"tracks","skip":2,"times":1,"do":{"kind":"hang"}}]"#).expect("sound");
        let struck: Vec<bool> =
            (0..5).map(|_| rules.plan(&target(Family::Tracks, None), Instant::now()).fault.is_some()).collect();
        assert_eq!(struck, [false, false, true, false, false]);
        assert_eq!(rules.counts(), [RuleCount { matched: 3, applied: 1 }]);
    }

    #[test]
    fn turns_spans_and_persons_choose_among_the_requests() {
        let struck = |text: &str, user, seconds: [u64; 6]| {
            let (mut rules, start) = (rules(text).expect("sound"), Instant::now());
            let target = Target { user, ..target(Family::Tracks, None) };
            seconds.map(|at| rules.plan(&target, start + Duration::from_secs(at)).fault.is_some())
        };
        let turns = struck(r#"[{"turns":"x..","skip":1,"do":{"kind":"hang"}}]"#, None, [0; 6]);
        assert_eq!(turns, [false, true, false, false, true, false]);
        let span = struck(r#"[{"for_ms":2500,"skip":1,"do":{"kind":"hang"}}]"#, None, [0, 5, 6, 7, 8, 9]);
        assert_eq!(span, [false, true, true, true, false, false]);
        let other = r#"[{"user":1,"do":{"kind":"hang"}}]"#;
        assert_eq!((struck(other, Some(1), [0; 6]), struck(other, None, [0; 6])), ([true; 6], [false; 6]));
    }

    #[test]
    fn changes_add_up_and_totals_take_turns() {
        let text = r#"[
            {"do":{"kind":"totals","values":[400,399]}},
            {"do":{"kind":"cap","rows":20}},
            {"do":{"kind":"cap","rows":30}},
            {"do":{"kind":"ignore_offset"}},
            {"do":{"kind":"stale"}},
            {"do":{"kind":"cut","bytes":5}}
        ]"#;
        let mut rules = rules(text).expect("sound");
        let totals: Vec<u64> = (0..3)
            .map(|_| {
                let plan = rules.plan(&target(Family::Tracks, None), Instant::now());
                let Question { rows_max, from_start, back } = plan.question;
                assert_eq!((rows_max, from_start, back, plan.fault.is_some()), (Some(20), true, 1, true));
                let [Reshape::Total { total }] = plan.changes[..] else { panic!("{:?}", plan.changes) };
                total
            })
            .collect();
        assert_eq!((totals, rules.need_history()), (vec![400, 399, 400], true));
    }

    #[test]
    fn offsets_match_when_the_ranges_touch() {
        let mut rules = rules(r#"[{"offset_from":100,"offset_to":110,"do":{"kind":"hang"}}]"#).expect("sound");
        let mut strikes = |slots| rules.plan(&target(Family::Tracks, slots), Instant::now()).fault.is_some();
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
        let plan = rules.plan(&target(Family::Me, None), Instant::now());
        assert_eq!((plan.delay, plan.before.len(), plan.after.len()), (Duration::from_millis(20), 0, 1));
        assert!(matches!(plan.fault, Some(Fault::Cut { bytes: 5 })));
    }

    #[test]
    fn the_star_spares_the_sign_in() {
        let mut rules = rules(r#"[{"do":{"kind":"hang"}}]"#).expect("sound");
        assert!(rules.plan(&target(Family::Token, None), Instant::now()).fault.is_none());
        assert!(rules.plan(&target(Family::Player, None), Instant::now()).fault.is_some());
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
            (r#"[{"turns":"xo","do":{"kind":"hang"}}]"#, "made of `x` and `.`"),
            (r#"[{"do":{"kind":"cap","rows":0}}]"#, "no cap"),
            (r#"[{"do":{"kind":"raw","at":"/name"}}]"#, "give one of the two"),
            (r#"[{"do":{"kind":"flood","rows":99999999999}}]"#, "bytes"),
            (r#"[{"do":{"kind":"refuse","like":"anger"}}]"#, "unknown variant `anger`"),
        ] {
            let message = rules(text).expect_err("unsound");
            assert!(message.contains(expected), "{message}");
        }
    }

    fn rules(text: &str) -> Result<Rules, String> {
        serde_json::from_str(text).map_err(|error| error.to_string()).and_then(Rules::new)
    }

    fn target(family: Family, slots: Option<Range<usize>>) -> Target<'static> {
        Target { user: Some(0), family, path: "/v1/me/tracks", slots }
    }
}
