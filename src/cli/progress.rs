//! Progress on stderr: bars on a terminal, plain lines elsewhere. It only looks; the sync never waits for it.

use super::numbers::{counted, grouped, seconds_until, span, time_of_day};
use crate::{
    actors::{EntityProgress, EntityState, GateView, Progress, progress::GateWait},
    clock,
    model::{EntityType, LimitClass, Stage},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often bars are drawn, and plain lines considered.
const BARS_EVERY: Duration = Duration::from_millis(100);
const LINES_EVERY: Duration = Duration::from_millis(250);

/// A plain line per entity type at most this often.
const LINE_APART: Duration = Duration::from_secs(2);

/// Waits of our own gate that are shorter are not worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Where progress goes.
pub enum Display {
    Bars(MultiProgress),
    Lines,
}

impl Display {
    /// Bars if a person is watching.
    pub fn for_stderr() -> Display {
        if std::io::stderr().is_terminal() {
            Display::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)))
        } else {
            Display::Lines
        }
    }

    /// For the log, which must not write into the bars.
    pub fn bars(&self) -> Option<MultiProgress> {
        match self {
            Display::Bars(bars) => Some(bars.clone()),
            Display::Lines => None,
        }
    }

    /// Shows progress until `over` resolves, then once more.
    pub async fn show(
        &self,
        progress: watch::Receiver<Progress>,
        gate: watch::Receiver<GateView>,
        over: impl Future<Output = ()>,
    ) {
        let mut view: Box<dyn View> = match self {
            Display::Bars(bars) => Box::new(Bars::new(bars)),
            Display::Lines => Box::new(Lines::default()),
        };
        let mut ticks = tokio::time::interval(match self {
            Display::Bars(_) => BARS_EVERY,
            Display::Lines => LINES_EVERY,
        });
        let mut over = std::pin::pin!(over);
        loop {
            let is_over = tokio::select! {
                () = &mut over => true,
                _ = ticks.tick() => false,
            };
            let (progress, gate) = (progress.borrow().clone(), *gate.borrow());
            view.update(&progress, &gate);
            if is_over {
                view.finish();
                return;
            }
        }
    }
}

trait View {
    fn update(&mut self, progress: &Progress, gate: &GateView);
    fn finish(&mut self);
}

/// One bar per entity type and a line for the gate.
struct Bars {
    bars: MultiProgress,
    entities: BTreeMap<EntityType, ProgressBar>,
    gate: ProgressBar,
}

impl Bars {
    fn new(bars: &MultiProgress) -> Bars {
        let gate = bars.add(ProgressBar::new_spinner().with_style(style("{msg}")));
        Bars { bars: bars.clone(), entities: BTreeMap::new(), gate }
    }
}

impl View for Bars {
    fn update(&mut self, progress: &Progress, gate: &GateView) {
        for (entity, seen) in &progress.entities {
            let bar = self.entities.entry(*entity).or_insert_with(|| {
                let bar = ProgressBar::new(0).with_prefix(entity.as_str());
                self.bars.insert_before(&self.gate, bar)
            });
            if bar.is_finished() {
                continue;
            }
            bar.set_length(u64::from(seen.total.unwrap_or(0)));
            bar.set_position(u64::from(seen.done));
            match &seen.state {
                EntityState::Running => {
                    bar.set_style(style(
                        "{prefix:<10} {bar:28} {human_pos:>7} / {human_len:<7} {per_sec:>9.0} eta {eta:<4} {msg}",
                    ));
                    bar.set_message(doing(seen));
                }
                state => {
                    bar.set_style(style("{prefix:<10} {bar:28} {msg}"));
                    bar.abandon_with_message(ended(seen, state));
                }
            }
        }
        self.gate.set_message(gate_line(gate).unwrap_or_default());
    }

    fn finish(&mut self) {
        self.gate.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is one of ours").progress_chars("━╸─").with_key(
        "per_sec",
        |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}/s", grouped(state.per_sec() as u64));
        },
    )
}

/// A line per entity type now and then, and one for each pause.
#[derive(Default)]
struct Lines {
    last: BTreeMap<EntityType, (Instant, EntityProgress)>,
    announced: Option<GateWait>,
}

impl View for Lines {
    fn update(&mut self, progress: &Progress, gate: &GateView) {
        let now = clock::instant();
        for (entity, seen) in &progress.entities {
            let last = self.last.get(entity);
            let is_due = last.is_none_or(|(at, _)| now.duration_since(*at) >= LINE_APART);
            let has_news = last.is_none_or(|(_, before)| before.done != seen.done || before.stage != seen.stage);
            let has_ended = seen.state != EntityState::Running && last.is_none_or(|(_, old)| old.state != seen.state);
            if has_ended {
                say(&format!("{entity:<10} {}", ended(seen, &seen.state)));
            } else if is_due && has_news && seen.num_batches > 0 && seen.state == EntityState::Running {
                let (done, total) = (grouped(seen.done.into()), seen.total.map(|total| grouped(total.into())));
                let total = total.unwrap_or_else(|| "?".into());
                say(&format!("{entity:<10} {done} / {total}{}", prefixed(", ", &doing(seen))));
            } else {
                continue;
            }
            self.last.insert(*entity, (now, seen.clone()));
        }
        let pause = gate.waiting.filter(|wait| matches!(wait, GateWait::Paused(_)));
        if pause.is_some() && pause != self.announced {
            say(&gate_line(gate).unwrap_or_default());
            self.announced = pause;
        }
    }

    fn finish(&mut self) {}
}

/// What an entity type is doing, where the numbers do not say it.
fn doing(seen: &EntityProgress) -> String {
    match (seen.stage, seen.playlists) {
        (Stage::Items, Some((done, total))) => format!("items of playlist {} of {total}", (done + 1).min(total)),
        (Stage::Head, _) => "reading what is new".into(),
        (Stage::Fresh | Stage::Walk | Stage::Items, _) => match seen.resumed_from {
            Some(offset) if seen.num_batches == 0 => format!("carrying on from {}", grouped(offset.into())),
            _ => String::new(),
        },
    }
}

fn ended(seen: &EntityProgress, state: &EntityState) -> String {
    let counts = &seen.counts;
    match state {
        EntityState::Running => String::new(),
        EntityState::Complete { notes } => {
            let mut parts = vec![
                format!("{} new", grouped(counts.new.into())),
                format!("{} updated", grouped(counts.updated.into())),
            ];
            if counts.removed > 0 {
                parts.push(format!("{} removed", grouped(counts.removed.into())));
            }
            parts.push(counted(seen.num_requests.into(), "request"));
            let notes = prefixed("; ", &notes.join("; "));
            format!("complete: {}{notes}", parts.join(", "))
        }
        EntityState::Paused(pause) => {
            let (class, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            format!("paused at {}: {class}, resumes {until}", grouped(seen.done.into()))
        }
        EntityState::Stopped => format!("stopped at {}", grouped(seen.done.into())),
        EntityState::Failed(why) => format!("failed at {}: {why}", grouped(seen.done.into())),
    }
}

/// "waiting 12 s: rate limit, resumes 14:03:20"
fn gate_line(gate: &GateView) -> Option<String> {
    let now = clock::now();
    let (why, until) = match gate.waiting? {
        GateWait::Paused(pause) => (limit_name(pause.class).to_owned(), pause.until),
        GateWait::Window(until) => (format!("{} of {} requests of the window sent", gate.used, gate.limit), until),
    };
    let left = (until - now).to_std().unwrap_or_default();
    (left >= WORTH_A_WORD)
        .then(|| format!("waiting {}: {why}, resumes {}", span(seconds_until(until, now)), time_of_day(until, now)))
}

pub fn limit_name(class: LimitClass) -> &'static str {
    match class {
        LimitClass::Rate => "rate limit",
        LimitClass::Quota => "daily quota",
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

/// A line on stderr; a closed stderr is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
