//! The sink's ledger: every arrival, kept in memory, looked at when a round is over.

use serde::{Deserialize, Serialize};

use crate::latencies::Latencies;

/// All arrivals since it was last asked to forget.
#[derive(Default)]
pub(super) struct Arrivals {
    all: Vec<Arrival>,
    /// A bit for each number that has come.
    seen: Vec<u64>,
    /// Arrivals already looked at for `counted`, which is for destinations from `counted_from` on.
    looked_at: usize,
    counted: u64,
    counted_from: u32,
    strange: u64,
    unsigned: u64,
    connections: u64,
}

struct Arrival {
    number: u32,
    destination: u32,
    at_us: u64,
    /// From the sending, in microseconds.
    took_us: u64,
}

/// What arrived at some destinations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Different numbers.
    pub(crate) different: u64,
    /// Arrivals of a number that had come before.
    pub(crate) doubles: u64,
    /// Requests with another body or path than ours, anywhere.
    pub(crate) strange: u64,
    /// Requests without a signature, anywhere.
    pub(crate) unsigned: u64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// Destinations that anything arrived at.
    pub(crate) destinations: u64,
    /// Arrivals until the moment asked about.
    pub(crate) until: u64,
    /// First and last arrival, in microseconds since 1970.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// From the sending to the first arrival.
    pub(crate) latencies: Latencies,
    /// Least number of arrivals in any whole second between the first and the last.
    pub(crate) worst_second: u64,
}

impl Arrivals {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn note_connection(&mut self) {
        self.connections += 1;
    }

    /// One request: number, moment of sending and destination, if it was one of ours.
    pub(super) fn note(&mut self, arrived: Option<((u32, u64), u32)>, at_us: u64, signed: bool) {
        self.unsigned += u64::from(!signed);
        match arrived {
            Some(((number, sent_us), destination)) => {
                self.all.push(Arrival { number, destination, at_us, took_us: at_us.saturating_sub(sent_us) });
            }
            None => self.strange += 1,
        }
    }

    /// How many different numbers; cheap when asked again and again with the same `from`.
    pub(super) fn different(&mut self, from: u32) -> u64 {
        if from != self.counted_from {
            (self.counted_from, self.looked_at, self.counted) = (from, 0, 0);
            self.seen.clear();
        }
        for arrival in &self.all[self.looked_at..] {
            self.counted += u64::from(arrival.destination >= from && mark(&mut self.seen, arrival.number));
        }
        self.looked_at = self.all.len();
        self.counted
    }

    pub(super) fn report(&self, from: u32, until_us: u64) -> Report {
        let of_interest = || self.all.iter().filter(|arrival| arrival.destination >= from);
        let (mut seen, mut doubles, mut took) = (Vec::new(), 0, Vec::with_capacity(self.all.len()));
        for arrival in of_interest() {
            if mark(&mut seen, arrival.number) {
                took.push(arrival.took_us as f64 / 1000.0);
            } else {
                doubles += 1;
            }
        }
        let mut destinations: Vec<u32> = of_interest().map(|arrival| arrival.destination).collect();
        destinations.sort_unstable();
        destinations.dedup();
        let first_us = of_interest().map(|arrival| arrival.at_us).min().unwrap_or_default();
        let last_us = of_interest().map(|arrival| arrival.at_us).max().unwrap_or_default();
        Report {
            different: took.len() as u64,
            doubles,
            strange: self.strange,
            unsigned: self.unsigned,
            connections: self.connections,
            destinations: destinations.len() as u64,
            until: of_interest().filter(|arrival| arrival.at_us <= until_us).count() as u64,
            first_us,
            last_us,
            latencies: Latencies::of(took),
            worst_second: worst_second(of_interest().map(|arrival| arrival.at_us), first_us, last_us),
        }
    }
}

/// Whether the number is new.
fn mark(seen: &mut Vec<u64>, number: u32) -> bool {
    let (word, bit) = (number as usize / 64, 1 << (number % 64));
    if seen.len() <= word {
        seen.resize(word + 1, 0);
    }
    let new = seen[word] & bit == 0;
    seen[word] |= bit;
    new
}

fn worst_second(at_us: impl Iterator<Item = u64>, first_us: u64, last_us: u64) -> u64 {
    let mut seconds = vec![0; ((last_us - first_us) / 1_000_000) as usize];
    for at in at_us {
        // The last, unfinished second has no place.
        if let Some(second) = seconds.get_mut(((at - first_us) / 1_000_000) as usize) {
            *second += 1;
        }
    }
    seconds.into_iter().min().unwrap_or_default()
}
