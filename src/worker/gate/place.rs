//! What this process knows of one destination, and who waits here for it.
//!
//! Pure: times come in as microseconds of the node's clock, and nothing here waits or asks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Pass, Shut, Sign};
use crate::config;
use crate::destinations::pace::{Breaker, Told};
use crate::destinations::{Change, Given};

/// Microseconds of Unix time.
pub(super) type Micros = i64;

pub(super) const MILLI: Micros = 1000;
pub(super) const SECOND: Micros = 1_000_000;

/// How long failures gather before they are told.
const GATHER: Micros = 30 * MILLI;
/// How long successes of an ailing destination gather.
const GATHER_GOOD: Micros = 200 * MILLI;
/// While a new destination is being tried out, what it takes grows with its successes: so often.
const GROW: Micros = 10 * MILLI;
/// Between two questions for slots that others hold.
const ASK_AGAIN: Micros = 200 * MILLI;
/// Tokens that are not used are lost: a pause must not be followed by a burst.
const TOKENS_LAST: Micros = SECOND;
/// How long a pause by an operator is remembered without being asked for anew.
const PAUSE_LASTS: Micros = 5 * SECOND;
/// Who has the only slot of a contended destination keeps it so long.
const TURN: Micros = SECOND;
/// Throughput is measured over so long.
const MEASURE: Micros = 250 * MILLI;
/// So few say nothing about its speed.
const FEW: u32 = 4;

/// Whoever waits for a slot.
pub(super) struct Waiting {
    pub(super) since: Micros,
    pub(super) answer: oneshot::Sender<Result<super::Slot, Shut>>,
}

/// One destination.
pub(super) struct Place {
    pub(super) name: Arc<str>,
    /// Deliveries held.
    pub(super) held: usize,
    pub(super) waiting: VecDeque<Waiting>,
    /// Calls begun under what was granted, since it last became void.
    pub(super) in_use: u32,
    /// Calls begun, whatever they were begun under.
    pub(super) calls: u32,
    /// Calls at once that were granted.
    pub(super) share: u32,
    /// What counts as ours over there.
    pub(super) counted: u32,
    /// A row of ours may be there.
    pub(super) listed: bool,
    /// No more than this while a question is under way.
    ceiling: u32,
    pub(super) asked: bool,
    /// When to ask next.
    pub(super) ask_at: Option<Micros>,
    /// In the list of those that will be asked for.
    pub(super) in_list: bool,
    /// In the line for the process's own limit.
    pub(super) in_line: bool,
    /// Whether more slots may be asked for, and from when.
    more_from: Option<Micros>,
    more_by_growth: bool,
    tokens: Option<u32>,
    tokens_until: Micros,
    tokens_again: Micros,
    shut_until: Micros,
    pub(super) epoch: u32,
    pub(super) breaker: Breaker,
    ailing: bool,
    contended: bool,
    share_since: Micros,
    /// Slots wanted when last asked for.
    wished: u32,
    /// Has answered well, and not failed since.
    pub(super) proven: bool,
    failures: u32,
    pub(super) told: Told,
    pub(super) schedule: Option<Arc<[Duration]>>,
    changed_at: Micros,
    pub(super) used_at: Micros,
    finished: u32,
    measured_from: Micros,
    /// Deliveries finished a second.
    speed: f64,
}

impl Place {
    pub(super) fn new(name: Arc<str>, now: Micros) -> Self {
        Self {
            name,
            held: 0,
            waiting: VecDeque::new(),
            in_use: 0,
            calls: 0,
            share: 0,
            counted: 0,
            listed: false,
            ceiling: u32::MAX,
            asked: false,
            ask_at: None,
            in_list: false,
            in_line: false,
            more_from: Some(now),
            more_by_growth: false,
            tokens: None,
            tokens_until: 0,
            tokens_again: 0,
            shut_until: 0,
            epoch: 0,
            breaker: Breaker::Closed,
            ailing: false,
            contended: false,
            share_since: now,
            wished: 0,
            proven: false,
            failures: 0,
            told: Told::default(),
            schedule: None,
            changed_at: Micros::MIN,
            used_at: now,
            finished: 0,
            measured_from: now,
            speed: 0.0,
        }
    }

    /// For how long nothing goes.
    pub(super) fn shut_for(&self, now: Micros) -> Option<Duration> {
        let left = u64::try_from(self.shut_until - now).ok().filter(|left| *left > 0)?;
        Some(Duration::from_micros(left))
    }

    /// Whether it may be given more than one chunk.
    pub(super) fn is_well(&self) -> bool {
        self.breaker == Breaker::Closed
    }

    /// Whether one more call may begin, as far as the destination is concerned.
    pub(super) fn may_go(&self, now: Micros) -> bool {
        self.in_use < self.share.min(self.ceiling) && self.shut_until <= now && self.tokens_now(now) > 0
    }

    fn tokens_now(&self, now: Micros) -> u32 {
        match self.tokens {
            None => u32::MAX,
            Some(_) if self.tokens_until <= now => 0,
            Some(n) => n,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, now: Micros) -> Pass {
        self.in_use += 1;
        self.calls += 1;
        self.used_at = now;
        if let Some(tokens) = &mut self.tokens {
            *tokens = tokens.saturating_sub(1);
        }
        Pass { epoch: self.epoch, doubtful: !self.proven }
    }

    /// A call ended; says after how long at the most that is to be told.
    pub(super) fn end(&mut self, pass: Pass, sign: Sign, took: Duration, rules: &config::Destinations, now: Micros) {
        self.calls -= 1;
        self.used_at = now;
        let current = pass.epoch == self.epoch;
        if current {
            self.in_use -= 1;
        }
        match sign {
            Sign::NotTried => return self.ask_if_narrow(now),
            // What was begun before the breaker opened is no news, but a pause that is asked for is.
            Sign::Overloaded { retry_after: Some(_) } => {}
            _ if !current => return,
            _ => {}
        }
        let mut heard = Told::default();
        match sign {
            Sign::Good => {
                heard.ok = 1;
                heard.slow = u32::from(took > rules.slow_after.duration());
                (self.proven, self.failures) = (true, 0);
            }
            Sign::Failed => {
                (heard.failed, heard.trailing) = (1, 1);
                (self.proven, self.failures) = (false, self.failures + 1);
            }
            Sign::Overloaded { retry_after } => {
                // Who asks for a pause of no length has asked for none.
                (heard.overloaded, heard.retry_after) = (1, retry_after.filter(|pause| !pause.is_zero()));
                self.proven = false;
            }
            Sign::NotTried => {}
        }
        self.told = self.told.and_then(heard);
        let probing = self.breaker == Breaker::HalfOpen;
        if let Some(pause) = heard.retry_after {
            self.shut(now.saturating_add(micros(pause)));
            self.ask_by(now);
        } else if heard.failed > 0 && (probing || self.failures >= rules.failures_in_a_row) {
            // The row will say so too; until then, so that not one more is spent.
            self.shut(now + micros(rules.open_for.duration()));
            self.share = self.share.min(1);
            self.ask_by(now);
        } else if probing {
            self.ask_by(now);
        } else if heard.is_bad() {
            self.ask_by(now + GATHER);
        } else if self.ailing {
            self.ask_by(now + GATHER_GOOD);
        } else if self.more_by_growth && !self.waiting.is_empty() {
            self.ask_by(now + GROW);
        }
        self.ask_if_narrow(now);
    }

    fn shut(&mut self, until: Micros) {
        self.shut_until = self.shut_until.max(until);
    }

    /// Asks for slots or tokens if somebody waits who cannot go for want of them.
    pub(super) fn ask_if_narrow(&mut self, now: Micros) {
        if self.contended && self.counted > self.share && self.in_use <= self.share {
            // What was to be given back is no longer in use.
            self.ask_by(now);
        }
        if self.waiting.is_empty() || self.shut_until > now {
            return;
        }
        let wish = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX).saturating_add(self.in_use);
        if self.share < wish
            && self.in_use >= self.share
            && let Some(from) = self.more_from
        {
            self.ask_by(from.max(now));
        }
        if self.in_use < self.share && self.tokens_now(now) == 0 {
            self.ask_by(self.tokens_again.max(now));
        }
    }

    fn ask_by(&mut self, at: Micros) {
        self.ask_at = Some(self.ask_at.map_or(at, |before| before.min(at)));
    }

    /// To be asked again soon: the answer did not come.
    pub(super) fn not_answered(&mut self, told: Told, now: Micros) {
        self.asked = false;
        self.ceiling = u32::MAX;
        self.told = told.and_then(self.told);
        self.ask_by(now + ASK_AGAIN);
    }

    /// What is asked for now: slots kept to, slots wanted, tokens wanted, what is told.
    pub(super) fn ask(&mut self, now: Micros) -> (u32, u32, u32, Told) {
        let trims = self.contended || self.shut_until > now;
        self.ceiling = if trims { self.in_use } else { self.share.max(self.in_use) };
        (self.asked, self.listed, self.ask_at) = (true, true, None);
        let waiting = match self.shut_until > now {
            true => 0,
            false => u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
        };
        // What a healthy destination has been given it keeps until it is idle, unless others lack.
        let wanted = if trims { self.in_use + waiting } else { (self.in_use + waiting).max(self.share) };
        self.wished = wanted;
        (self.ceiling, wanted, waiting.saturating_sub(self.local_tokens(now)), std::mem::take(&mut self.told))
    }

    fn local_tokens(&self, now: Micros) -> u32 {
        if self.tokens.is_some() { self.tokens_now(now) } else { 0 }
    }

    /// What was given.
    pub(super) fn given(&mut self, given: &Given, rules: &config::Destinations, now: Micros) {
        (self.asked, self.ceiling) = (false, u32::MAX);
        if given.breaker == Breaker::Open && self.breaker != Breaker::Open {
            self.void_calls();
        }
        if self.share == 0 && given.slots > 0 {
            self.share_since = now;
        }
        (self.share, self.counted) = (given.slots, given.counted);
        (self.breaker, self.ailing, self.contended) = (given.breaker, given.ailing, given.contended);
        self.changed_at = self.changed_at.max(given.changed_at.as_microsecond());
        self.schedule = given.schedule.as_deref().map(|waits| {
            waits.iter().map(|seconds| Duration::from_secs(u64::try_from(*seconds).unwrap_or(0))).collect()
        });
        self.failures = if self.told.ok > 0 { self.told.trailing } else { given.failures + self.told.trailing };
        self.tokens = given.tokens.map(|more| self.local_tokens(now).saturating_add(more));
        self.tokens_until = now + TOKENS_LAST;
        self.tokens_again = given.tokens_again_at.map_or(now, |at| at.as_microsecond());
        self.shut_until = self.still_shut(given, rules, now);
        self.more_from = self.when_more(given, now);
        self.more_by_growth = given.limit < given.concurrency;
        self.trim_by(now + ASK_AGAIN);
        if self.shut_until <= now && !self.told.is_empty() && (self.ailing || self.told.is_bad()) {
            self.ask_by(now + GATHER);
        }
        self.ask_if_narrow(now);
    }

    /// As the row says, and as what has been seen since will have it.
    fn still_shut(&self, given: &Given, rules: &config::Destinations, now: Micros) -> Micros {
        let mut until = given.closed_until.map_or(0, |until| until.as_microsecond());
        if given.paused {
            until = until.max(now + PAUSE_LASTS);
        }
        let probe_failed = given.breaker == Breaker::HalfOpen && self.told.trailing > 0;
        if self.told.retry_after.is_some() || self.failures >= rules.failures_in_a_row || probe_failed {
            until = until.max(self.shut_until);
        }
        until
    }

    /// From when it makes sense to ask for more slots than were given.
    fn when_more(&self, given: &Given, now: Micros) -> Option<Micros> {
        if given.slots >= given.limit && given.limit >= given.concurrency && given.limit > 0 {
            // All there is: it would have to be set anew, and that is heard of.
            return None;
        }
        Some(if given.slots >= self.wished { now } else { now + ASK_AGAIN })
    }

    /// Others lack: what is fair is to be asked for.
    fn trim_by(&mut self, at: Micros) {
        if self.contended && self.share > 0 {
            self.ask_by(if self.share == 1 { at.max(self.share_since + TURN) } else { at });
        }
    }

    /// Something changed over there.
    pub(super) fn changed(&mut self, change: &Change, now: Micros) {
        let at = change.changed_at.as_microsecond();
        if at <= self.changed_at {
            return;
        }
        self.changed_at = at;
        if change.breaker == Breaker::Open && self.breaker != Breaker::Open {
            self.void_calls();
            self.void_share();
        }
        let closed = change.closed_until.map_or(0, |until| until.as_microsecond());
        let asked_for = if self.told.retry_after.is_some() { self.shut_until } else { 0 };
        self.shut_until = closed.max(asked_for).max(if change.paused { now + PAUSE_LASTS } else { 0 });
        (self.breaker, self.contended) = (change.breaker, change.contended);
        self.ailing |= change.ailing;
        self.more_from = Some(now);
        if self.shut_until <= now && (!self.waiting.is_empty() || !self.told.is_empty()) {
            self.ask_by(now);
        }
        self.trim_by(now);
    }

    /// Calls under way say nothing of what comes after.
    fn void_calls(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        (self.in_use, self.told) = (0, Told { retry_after: self.told.retry_after, ..Told::default() });
    }

    /// Nothing is granted any more.
    pub(super) fn void_share(&mut self) {
        (self.share, self.counted) = (0, 0);
        self.tokens = self.tokens.map(|_| 0);
    }

    /// All that was granted to a worker that is no more.
    pub(super) fn start_over(&mut self, now: Micros) {
        self.void_share();
        (self.listed, self.asked, self.ceiling, self.more_from) = (false, false, u32::MAX, Some(now));
        self.ask_if_narrow(now);
    }

    /// Whether what it has been given is of no use to it now.
    pub(super) fn is_idle(&self, after: Micros, now: Micros) -> bool {
        let spare = self.share == 0 || self.breaker == Breaker::HalfOpen;
        let after = if spare { after / 10 } else { after };
        self.listed && !self.asked && self.in_use == 0 && self.waiting.is_empty() && now - self.used_at >= after
    }

    /// Gives all back.
    pub(super) fn give_back(&mut self, now: Micros) {
        self.void_share();
        self.listed = false;
        self.more_from = Some(now);
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_forgettable(&self, after: Micros, now: Micros) -> bool {
        let quiet = self.held == 0 && self.calls == 0 && self.waiting.is_empty() && !self.asked && !self.listed;
        quiet && !self.told.is_bad() && self.shut_until <= now && now - self.used_at >= after
    }

    /// One more is held.
    pub(super) fn hold(&mut self, now: Micros) {
        if self.held == 0 {
            (self.measured_from, self.finished) = (now, 0);
        }
        self.held += 1;
        self.used_at = now;
    }

    /// One less is held.
    pub(super) fn let_go(&mut self, now: Micros) {
        self.held -= 1;
        self.finished += 1;
        self.measure(now);
    }

    fn measure(&mut self, now: Micros) {
        let took = now - self.measured_from;
        if took >= MEASURE {
            let speed = f64::from(self.finished) * SECOND as f64 / took as f64;
            self.speed = if self.speed == 0.0 { speed } else { f64::midpoint(self.speed, speed) };
            (self.measured_from, self.finished) = (now, 0);
        }
    }

    /// How many deliveries it is expected to finish in `time`.
    pub(super) fn expected(&mut self, time: Micros, now: Micros) -> usize {
        self.measure(now);
        let took = (now - self.measured_from).max(MILLI);
        let lately = if self.finished < FEW { 0.0 } else { f64::from(self.finished) * SECOND as f64 / took as f64 };
        // A quick beginning is believed at once, a slow moment only when the measure is full.
        (self.speed.max(lately) * time as f64 / SECOND as f64) as usize
    }
}

pub(super) fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX / 4)
}
