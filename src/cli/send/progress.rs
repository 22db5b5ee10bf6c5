//! How a run shows that it is alive: a bar where a person watches, a line every few seconds where a log is written.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// Progress towards `total` units, or towards an unknown end.
    pub(super) fn new(total: Option<u64>, unit: &str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()),
            None => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
        };
        let form = match (total, unit) {
            (None, _) => "{spinner} {msg}",
            (Some(_), "bytes") => "{bar:30} {percent:>3} %  {msg}",
            (Some(_), _) => "{bar:30} {human_pos}/{human_len}  {msg}",
        };
        // Unwrap safety: not unwrapped; a form that cannot be read leaves the default style.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), last_line: Mutex::new(Instant::now()) }
    }

    /// Learns where the end is.
    pub(super) fn total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows where the run stands.
    pub(super) fn at(&self, position: u64, words: impl FnOnce(f64) -> String) {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.bar.is_hidden() {
            if self.line_is_due() {
                eprintln!("{}", words(seconds));
            }
            return;
        }
        self.bar.set_position(position);
        self.bar.set_message(words(seconds));
    }

    /// Says something above the bar.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Says something that several requests may come upon at once, at most every few seconds.
    pub(super) fn say_sometimes(&self, text: &str) {
        if self.line_is_due() {
            self.say(text);
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn line_is_due(&self) -> bool {
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= LINE_EVERY;
        if due {
            *last = Instant::now();
        }
        due
    }
}

/// `1,234,567`.
pub(super) fn count(n: u64) -> String {
    HumanCount(n).to_string()
}
