//! What a person sees while a stage of the demonstration runs: a bar on a terminal, else a line every few seconds; and one line
//! when it is over.

use std::time::Instant;

use crate::cli::progress::Progress;

pub(super) use crate::cli::progress::count;

/// A stage under way.
pub(super) struct Stage {
    progress: Progress,
    what: &'static str,
    total: u64,
    begun: Instant,
}

impl Stage {
    /// A stage whose length is not known.
    pub(super) fn waiting(what: &'static str) -> Self {
        let progress = Progress::new(None, "");
        progress.say(what);
        Self { progress, what, total: 0, begun: Instant::now() }
    }

    /// A stage of `total` things.
    pub(super) fn of(what: &'static str, total: usize) -> Self {
        let total = total as u64;
        Self { progress: Progress::new(Some(total), "things"), what, total, begun: Instant::now() }
    }

    /// Shows that `done` of them are done.
    pub(super) fn at(&self, done: u64) {
        let words = |seconds: f64| {
            format!(
                "{}: {} of {}, {:.0} a second",
                self.what,
                count(done),
                count(self.total),
                done as f64 / seconds.max(0.001)
            )
        };
        self.progress.at(done, words);
    }

    /// Says something meanwhile.
    pub(super) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Over: one line that stays.
    pub(super) fn end(self, text: &str) {
        self.progress.end();
        eprintln!("{text} ({:.1} s)", self.begun.elapsed().as_secs_f64());
    }

    /// Over, and nothing to say.
    pub(super) fn clear(self) {
        self.progress.end();
    }
}
