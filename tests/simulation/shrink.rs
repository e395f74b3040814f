//! Minimises a failure: removes from the script, and from the library, whatever is not needed for the same guarantee to
//! break, and prints what is left step by step.

use super::{Failure, live, live_traced, scenario::Scenario};
use segno::model::EntityType;
use std::fmt::Write;

/// Lives to spend on a smaller failure.
const TRIES_MAX: u32 = 3_000;

/// Lines of the trace that are shown: the failure is at the end.
const TRACE_MAX: usize = 160;

struct Shrinker {
    guarantee: &'static str,
    tries: u32,
}

/// The smallest scenario found that breaks the same guarantee.
pub fn shrink(scenario: &Scenario, failure: &Failure) -> Scenario {
    let mut shrinker = Shrinker { guarantee: failure.violation.guarantee, tries: 0 };
    let mut smallest = scenario.clone();
    loop {
        let before = (smallest.script.len(), smallest.sizes);
        smallest = shrinker.without_parts(smallest);
        smallest = shrinker.smaller(smallest);
        if (smallest.script.len(), smallest.sizes) == before || shrinker.tries > TRIES_MAX {
            return smallest;
        }
    }
}

/// The story of a failure, for a person.
pub fn story(scenario: &Scenario, failure: &Failure) -> String {
    let smallest = shrink(scenario, failure);
    let Failure { violation, trace, .. } = match live_traced(&smallest) {
        Err(failure) => *failure,
        Ok(_) => failure.clone(),
    };
    let mut story = String::new();
    let original = &failure.violation;
    let _ = writeln!(story, "{}: {}", original.guarantee, original.what);
    let _ = writeln!(
        story,
        "in seed {}, after {} steps and {} injections",
        scenario.seed,
        failure.step,
        scenario.script.len()
    );
    let _ = writeln!(story, "\nthe same, made smaller ({}: {}):\n\n{smallest}", violation.guarantee, violation.what);
    for line in &trace[trace.len().saturating_sub(TRACE_MAX)..] {
        let _ = writeln!(story, "{line}");
    }
    let _ = writeln!(story, "\nagain: cargo run --release --example simulate -- --seed {}", scenario.seed);
    story
}

impl Shrinker {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        self.tries += 1;
        self.tries <= TRIES_MAX && live(scenario).is_err_and(|failure| failure.violation.guarantee == self.guarantee)
    }

    /// Delta debugging: ever smaller parts of the script are left out.
    fn without_parts(&mut self, mut scenario: Scenario) -> Scenario {
        let mut len = scenario.script.len().div_ceil(2);
        while len > 0 {
            let mut from = 0;
            while from < scenario.script.len() {
                let mut script = scenario.script.clone();
                script.drain(from..(from + len).min(script.len()));
                let without = scenario.with_script(script);
                if self.fails(&without) { scenario = without } else { from += len }
            }
            len = if len == 1 { 0 } else { len.div_ceil(2) };
        }
        scenario
    }

    fn smaller(&mut self, mut scenario: Scenario) -> Scenario {
        for entity in EntityType::ALL.iter().copied() {
            for divisor in [u32::MAX, 8, 2] {
                let mut smaller = scenario.clone();
                smaller.sizes[entity] /= divisor;
                if smaller.sizes != scenario.sizes && self.fails(&smaller) {
                    scenario = smaller;
                    break;
                }
            }
        }
        for simplify in [
            (|scenario| scenario.nulls = 0) as fn(&mut Scenario),
            |scenario| scenario.ties = 0,
            |scenario| scenario.playlist_items = 3,
            |scenario| scenario.is_disordered = false,
            |scenario| scenario.hidden_limit = 1000,
            |scenario| scenario.window_s = 30,
            |scenario| scenario.settings.guard = 20,
            |scenario| scenario.settings.requests = Some(500),
            |scenario| scenario.settings.longest_wait = None,
            |scenario| scenario.listening = None,
            |scenario| scenario.has_guest = false,
            |scenario| scenario.listening.iter_mut().for_each(|habits| habits.offline = 0),
        ] {
            let mut simpler = scenario.clone();
            simplify(&mut simpler);
            if self.fails(&simpler) {
                scenario = simpler;
            }
        }
        scenario
    }
}
