//! One bar per entity type, and below them a line for what the gate is doing. Each fits into 80 columns; longer text is
//! cut, since a line that wraps cannot be drawn over.

use super::{View, doing, ended, playlist, waiting_line};
use crate::{
    actors::{EntityProgress, EntityState, GateView, Progress, meter::Meter},
    cli::numbers::{brief, grouped, per_second, span},
    clock,
    model::{EntityType, Stage, SyncKey},
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, Instant},
};

/// Shorter waits are over before they could be read.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// The gate lets this share of the window's requests go at once, and spreads the others.
const UNSPREAD_SHARE: u32 = 4;

pub struct Bars {
    bars: MultiProgress,
    entities: BTreeMap<EntityType, EntityBar>,
    gate: ProgressBar,
    began_at: Instant,
}

struct EntityBar {
    bar: ProgressBar,
    meter: Meter,
    stage: Stage,
}

impl Bars {
    pub fn new(bars: &MultiProgress) -> Bars {
        let gate = bars.add(ProgressBar::new_spinner().with_style(style("{wide_msg}")));
        Bars { bars: bars.clone(), entities: BTreeMap::new(), gate, began_at: clock::instant() }
    }
}

impl View for Bars {
    fn update(&mut self, progress: &Progress, gate: &GateView) {
        let now = clock::instant();
        for (SyncKey { entity, .. }, seen) in &progress.entities {
            let bar = self.entities.entry(*entity).or_insert_with(|| {
                let bar = ProgressBar::no_length().with_prefix(entity.as_str());
                bar.set_style(style("{prefix:<9} {bar:18} {wide_msg}"));
                EntityBar { bar: self.bars.insert_before(&self.gate, bar), meter: Meter::default(), stage: seen.stage }
            });
            bar.update(seen, now);
        }
        let is_over = progress.entities.values().all(|seen| seen.state != EntityState::Running);
        let line = match waiting_line(gate, WORTH_A_WORD) {
            Some(line) => line,
            None if progress.entities.is_empty() => signing_in(now.duration_since(self.began_at)),
            None if is_over || gate.used <= gate.limit / UNSPREAD_SHARE => String::new(),
            None => format!(
                "spreading requests over the window: {} of {} sent",
                grouped(gate.used.into()),
                grouped(gate.limit.into())
            ),
        };
        if line != self.gate.message() {
            self.gate.set_message(line);
        }
    }

    fn finish(&mut self) {
        self.gate.finish_and_clear();
        if !self.entities.is_empty() {
            // The result follows, and gets some space.
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl EntityBar {
    fn update(&mut self, seen: &EntityProgress, now: Instant) {
        if self.bar.is_finished() {
            return;
        }
        if self.stage != seen.stage || seen.num_batches == 0 {
            // Another count, or one that jumps to where the last run stopped.
            self.meter.reset();
            self.stage = seen.stage;
        }
        self.meter.note(now, seen.done);
        match seen.total {
            Some(total) if total > 0 => self.bar.set_length(total.into()),
            Some(_) | None => self.bar.unset_length(),
        }
        self.bar.set_position(seen.done.into());
        match &seen.state {
            EntityState::Running => self.bar.set_message(self.place(seen, now)),
            state => {
                if let EntityState::Complete { .. } = state {
                    self.bar.set_length(1);
                    self.bar.set_position(1);
                }
                self.bar.abandon_with_message(ended(seen, state));
            }
        }
    }

    /// "  1,902 / 2,677     812/s  eta 12s  playlist 19/23"
    fn place(&self, seen: &EntityProgress, now: Instant) -> String {
        let done = grouped(seen.done.into());
        let total = seen.total.map_or_else(|| "?".into(), |total| grouped(total.into()));
        let rate = self.meter.rate(now).map(per_second).unwrap_or_default();
        // How much of the head is new is not known before it is read.
        let left = self.meter.left(now, seen.total).filter(|_| seen.stage != Stage::Head);
        let eta = left.map(|left| format!("eta {}", brief(left))).unwrap_or_default();
        let doing = playlist(seen).map_or_else(|| doing(seen), |(at, of)| format!("playlist {at}/{of}"));
        format!("{done:>7} / {total:<7} {rate:>7}  {eta:<7}  {doing}")
    }
}

fn signing_in(for_so_long: Duration) -> String {
    if for_so_long < Duration::from_secs(2) {
        "signing in".into()
    } else {
        format!("signing in: no answer for {}, trying on for about half a minute", span(for_so_long))
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is one of ours").progress_chars("━╸─")
}
