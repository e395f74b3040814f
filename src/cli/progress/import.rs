//! Progress of an import: a bar on a terminal, nothing elsewhere.

use super::Display;
use crate::cli::{
    numbers::grouped,
    stderr::{self, LineStyle},
};
use indicatif::{ProgressBar, ProgressStyle};

pub struct ImportBar(Option<ProgressBar>);

impl ImportBar {
    pub fn new(display: &Display, num_bytes: u64) -> ImportBar {
        let Display::Bars(bars) = display else { return ImportBar(None) };
        stderr::set_style(LineStyle::AboveBars(bars.clone()));
        let bar = bars.add(ProgressBar::new(num_bytes));
        let style = ProgressStyle::with_template("{bar:24} {percent:>3}%  {wide_msg}").expect("the template is ours");
        bar.set_style(style.progress_chars("━╸─"));
        ImportBar(Some(bar))
    }

    pub fn read(&self, num_bytes: u64, num_rows: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(num_bytes);
            bar.set_message(format!("{} rows", grouped(num_rows)));
        }
    }

    pub fn say(&self, what: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what);
            bar.tick();
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
            stderr::set_style(LineStyle::Plain);
        }
    }
}
