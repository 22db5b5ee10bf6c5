//! Counters, gauges and histograms of this process.
//!
//! An instrument is a static with its name, its words and its labels ([`super::families`] lists them all). Everything whose
//! labels are known beforehand is there from the start, at zero, so that a graph begins where the process does and an alert never
//! waits for the first time. Counting is a look-up by the labels' words and one atomic addition.
//!
//! Leaves out how it gets to whoever reads it: the doors' business.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::{families, process};

/// Seconds: from a look-up in memory to a call that is given up.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const METADATA: Metadata<'static> = Metadata::new("handfast", Level::INFO, None);
/// Samples of histograms wait in memory until they are counted: so long at most.
const UPKEEP: Duration = Duration::from_secs(5);
/// Names that operators gave (of carriers) are labels, up to this many.
const NAMES: usize = 64;

static RECORDER: LazyLock<(PrometheusRecorder, PrometheusHandle)> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new();
    // Unwrap safety: there are buckets.
    let recorder = builder.set_buckets(&BUCKETS).expect("at least one bucket").build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
});

/// The words of labels, in the order of the labels' names.
type Words<const N: usize> = [&'static str; N];

/// One metric, whatever its kind.
pub trait Family: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// `counter`, `gauge` or `histogram`.
    fn kind(&self) -> &'static str;
    /// In words.
    fn help(&self) -> &'static str;
    /// Names of its labels.
    fn labels(&self) -> &[&'static str];
    /// Makes it appear, at zero, where its labels are known beforehand.
    fn begin(&self);
}

macro_rules! instrument {
    ($(#[$words:meta])* $instrument:ident, $handle:ident, $kind:literal, $register:ident, $describe:ident) => {
        $(#[$words])*
        pub struct $instrument<const N: usize> {
            name: &'static str,
            help: &'static str,
            labels: [&'static str; N],
            known: &'static [Words<N>],
            handles: RwLock<BTreeMap<Words<N>, $handle>>,
        }

        impl<const N: usize> $instrument<N> {
            /// One with these labels, of which `known` words are there from the start.
            pub const fn new(
                name: &'static str,
                help: &'static str,
                labels: [&'static str; N],
                known: &'static [Words<N>],
            ) -> Self {
                Self { name, help, labels, known, handles: RwLock::new(BTreeMap::new()) }
            }

            fn handle(&self, words: Words<N>) -> $handle {
                if let Some(handle) = self.handles.read().unwrap_or_else(PoisonError::into_inner).get(&words) {
                    return handle.clone();
                }
                let labels = self.labels.iter().zip(words).map(|(name, word)| Label::from_static_parts(name, word));
                let key = Key::from_parts(self.name, labels.collect::<Vec<_>>());
                let handle = RECORDER.0.$register(&key, &METADATA);
                let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
                handles.entry(words).or_insert(handle).clone()
            }
        }

        impl<const N: usize> Family for $instrument<N> {
            fn name(&self) -> &'static str {
                self.name
            }
            fn kind(&self) -> &'static str {
                $kind
            }
            fn help(&self) -> &'static str {
                self.help
            }
            fn labels(&self) -> &[&'static str] {
                &self.labels
            }
            fn begin(&self) {
                RECORDER.0.$describe(self.name.into(), None, Cow::Borrowed(self.help).into());
                for words in self.known {
                    let _ = self.handle(*words);
                }
            }
        }
    };
}

instrument! {
    /// Counts what happened.
    Counters, Counter, "counter", register_counter, describe_counter
}
instrument! {
    /// Shows how much there is.
    Gauges, Gauge, "gauge", register_gauge, describe_gauge
}
instrument! {
    /// Sorts how long something took, in seconds.
    Times, Histogram, "histogram", register_histogram, describe_histogram
}

impl<const N: usize> Counters<N> {
    /// Counts `n` more.
    pub fn add(&self, words: Words<N>, n: usize) {
        if n > 0 {
            self.handle(words).increment(n as u64);
        }
    }

    /// Makes it appear, at zero, with words that are known only when this process has begun.
    pub fn show(&self, words: Words<N>) {
        self.handle(words).increment(0);
    }

    /// Counts one more.
    pub fn one(&self, words: Words<N>) {
        self.handle(words).increment(1);
    }
}

impl<const N: usize> Gauges<N> {
    /// Says how much there is now.
    pub fn set(&self, words: Words<N>, n: f64) {
        self.handle(words).set(n);
    }

    /// One more, for as long as what is returned lives.
    pub fn hold(&self, words: Words<N>) -> Holding {
        let gauge = self.handle(words);
        gauge.increment(1.0);
        Holding(gauge)
    }
}

impl<const N: usize> Times<N> {
    /// Something took so long.
    pub fn took(&self, words: Words<N>, time: Duration) {
        self.handle(words).record(time.as_secs_f64());
    }
}

/// Counts in a gauge until it is dropped.
pub struct Holding(Gauge);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A name that an operator gave, as a label's word; `other` beyond the first 64.
pub fn named(name: &str) -> &'static str {
    static GIVEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    match given.get(name) {
        Some(known) => known,
        None if given.len() >= NAMES => "other",
        None => {
            // Never given back: there are at most as many as fit above.
            let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
            given.insert(kept);
            kept
        }
    }
}

/// Makes every metric appear, and keeps their samples from piling up while nobody reads them. Ends with the runtime.
pub fn begin() {
    families::ALL.iter().for_each(|family| family.begin());
    families::BUILD.set([env!("CARGO_PKG_VERSION")], 1.0);
    tokio::spawn(async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            RECORDER.1.run_upkeep();
        }
    });
}

/// All of this process's metrics, in the text form of Prometheus (0.0.4).
pub fn text() -> String {
    let mut text = RECORDER.1.render();
    process::write(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    static TRIED: Counters<1> = Counters::new("test_tried_total", "Tries.", ["how"], &[["well"], ["badly"]]);
    static OPEN: Gauges<0> = Gauges::new("test_open", "Open.", [], &[[]]);
    static TOOK: Times<0> = Times::new("test_seconds", "Took.", [], &[[]]);

    #[test]
    fn what_is_known_beforehand_is_there_at_zero_and_then_counted() {
        let families: [&dyn Family; 3] = [&TRIED, &OPEN, &TOOK];
        families.iter().for_each(|family| family.begin());
        TRIED.add(["well"], 3);
        TRIED.one(["anyhow"]);
        let held = OPEN.hold([]);
        TOOK.took([], Duration::from_millis(30));
        let shown = text();
        for line in [
            "# TYPE test_tried_total counter",
            "# HELP test_tried_total Tries.",
            "test_tried_total{how=\"well\"} 3",
            "test_tried_total{how=\"badly\"} 0",
            "test_tried_total{how=\"anyhow\"} 1",
            "test_open 1",
            "test_seconds_bucket{le=\"0.025\"} 0",
            "test_seconds_bucket{le=\"0.05\"} 1",
            "test_seconds_count 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        drop(held);
        assert!(text().lines().any(|line| line == "test_open 0"));
    }

    #[test]
    fn names_are_kept_once_and_bounded() {
        assert!(std::ptr::eq(named("a"), named("a")));
        for n in 0..NAMES {
            named(&n.to_string());
        }
        assert_eq!(named("one too many"), "other");
    }
}
