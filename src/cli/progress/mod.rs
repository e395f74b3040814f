//! Progress on stderr: bars on a terminal, plain lines elsewhere. It only looks; the sync never waits for it.

mod bars;
mod import;
mod lines;

use super::{
    numbers::{counted, grouped, seconds_until, span, time_of_day},
    stderr::{self, LineStyle},
};
use crate::{
    actors::{EntityProgress, EntityState, GateView, Progress, progress::GateWait},
    clock,
    model::{LimitClass, Stage},
    telemetry::LogFormat,
};
use bars::Bars;
pub use import::ImportBar;
use indicatif::{MultiProgress, ProgressDrawTarget};
use lines::Lines;
use std::{env, io::IsTerminal, time::Duration};
use tokio::sync::watch;

/// How often bars are drawn, and plain lines considered.
const BARS_EVERY: Duration = Duration::from_millis(100);
const LINES_EVERY: Duration = Duration::from_millis(250);

/// Where progress goes.
pub enum Display {
    Bars(MultiProgress),
    Lines,
}

impl Display {
    /// Bars if a person is watching, on a terminal that can draw them.
    pub fn for_stderr(format: LogFormat) -> Display {
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !is_dumb && format == LogFormat::Human {
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
        let (mut view, every): (Box<dyn View>, Duration) = match self {
            Display::Bars(bars) => {
                stderr::set_style(LineStyle::AboveBars(bars.clone()));
                (Box::new(Bars::new(bars)), BARS_EVERY)
            }
            Display::Lines => (Box::new(Lines::new(clock::instant())), LINES_EVERY),
        };
        let mut ticks = tokio::time::interval(every);
        let mut over = std::pin::pin!(over);
        loop {
            let is_over = tokio::select! {
                () = &mut over => true,
                _ = ticks.tick() => false,
            };
            let (progress, gate) = (progress.borrow().clone(), *gate.borrow());
            view.update(&progress, &gate);
            if is_over {
                break;
            }
        }
        view.finish();
        if matches!(self, Display::Bars(_)) {
            stderr::set_style(LineStyle::Plain);
        }
    }
}

trait View {
    fn update(&mut self, progress: &Progress, gate: &GateView);
    fn finish(&mut self);
}

/// Which playlist is being read, and how many there are.
fn playlist(seen: &EntityProgress) -> Option<(u32, u32)> {
    seen.playlists.filter(|_| seen.stage == Stage::Items).map(|(done, total)| ((done + 1).min(total), total))
}

/// What an entity type is doing, if the numbers do not show it.
fn doing(seen: &EntityProgress) -> String {
    match seen.stage {
        Stage::Head => "reading what is new".into(),
        Stage::Verify => "verifying".into(),
        Stage::Fresh | Stage::Walk | Stage::Items => match seen.resumed_from {
            Some(offset) if seen.num_batches == 0 => format!("carrying on from {}", grouped(offset.into())),
            _ => String::new(),
        },
    }
}

fn ended(seen: &EntityProgress, state: &EntityState) -> String {
    let counts = &seen.counts;
    match state {
        EntityState::Running => String::new(),
        EntityState::Complete { .. } => {
            let mut parts = vec![
                format!("{} new", grouped(counts.new.into())),
                format!("{} updated", grouped(counts.updated.into())),
            ];
            if counts.removed > 0 {
                parts.push(format!("{} removed", grouped(counts.removed.into())));
            }
            parts.push(counted(seen.num_requests.into(), "request"));
            format!("complete: {}", parts.join(", "))
        }
        EntityState::Paused(pause) => {
            let (class, until) = (limit_name(pause.class), time_of_day(pause.until, clock::now()));
            format!("paused at {}: {class}, resumes {until}", grouped(seen.done.into()))
        }
        EntityState::Stopped => format!("stopped at {}", grouped(seen.done.into())),
        EntityState::Failed(why) => format!("failed at {}: {why}", grouped(seen.done.into())),
    }
}

/// What everybody waits for, if that takes at least `worth_a_word`: "waiting 12 s: rate limit, resumes 14:03:20".
fn waiting_line(gate: &GateView, worth_a_word: Duration) -> Option<String> {
    let now = clock::now();
    let (why, until) = match gate.waiting? {
        GateWait::Paused(pause) => (limit_name(pause.class).to_owned(), pause.until),
        GateWait::Window(until) => {
            (format!("{} sent, the window is full", counted(gate.used.into(), "request")), until)
        }
    };
    let left = (until - now).to_std().unwrap_or_default();
    (left >= worth_a_word)
        .then(|| format!("waiting {}: {why}, resumes {}", span(seconds_until(until, now)), time_of_day(until, now)))
}

pub fn limit_name(class: LimitClass) -> &'static str {
    match class {
        LimitClass::Rate => "rate limit",
        LimitClass::Quota => "daily quota",
        LimitClass::Ceiling => "daily ceiling",
    }
}
