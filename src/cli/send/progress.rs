//! How a run shows that it is alive: a bar where a person watches, a line every few seconds where a log is written.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress on standard error.
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    last_line: Mutex<Instant>,
    last_aside: Mutex<Instant>,
}

impl Progress {
    /// Progress towards `total` units, or towards an unknown end.
    pub(crate) fn new(total: Option<u64>, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let form = match (total, unit) {
            (None, _) => "{spinner} {msg}",
            (Some(_), "bytes") => "{bar:30} {percent:>3} %  {msg}",
            (Some(_), _) => "{bar:30} {human_pos}/{human_len}  {msg}",
        };
        // A form that cannot be read would leave the default style, not an end of the run.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, started: now, last_line: Mutex::new(now), last_aside: Mutex::new(now) }
    }

    /// Learns where the end is.
    pub(crate) fn total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows where the run stands.
    pub(crate) fn at(&self, position: u64, words: impl FnOnce(f64) -> String) {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.bar.is_hidden() {
            if is_due(&self.last_line) {
                eprintln!("{}", words(seconds));
            }
            return;
        }
        self.bar.set_position(position);
        self.bar.set_message(words(seconds));
    }

    /// Says something above the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Says something that several requests may come upon at once, at most every few seconds.
    pub(crate) fn say_sometimes(&self, text: &str) {
        if is_due(&self.last_aside) {
            self.say(text);
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn is_due(last: &Mutex<Instant>) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.elapsed() >= LINE_EVERY;
    if due {
        *last = Instant::now();
    }
    due
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    HumanCount(n).to_string()
}
