//! All destinations of this process, and the process's own limit on calls.
//!
//! Pure like [`super::place`]; one lock is around all of it. Whom to answer is collected, and answered without the lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::place::{Micros, Place, SECOND, Waiting};
use super::{Pass, Shut, Sign, Slot};
use crate::config;
use crate::destinations::{Change, Given, Want};

/// How long a delivery waits for a slot.
const LONGEST_WAIT: Micros = 5 * SECOND;
/// After so long without use, what was given is given back.
const IDLE: Micros = 5 * SECOND;
/// After so long a destination is forgotten.
const FORGET: Micros = 10 * SECOND;
/// Destinations asked for in one transaction.
const TOGETHER: usize = 300;

/// An answer to one who waits.
pub(super) struct Outcome {
    pub(super) place: usize,
    pub(super) answer: oneshot::Sender<Result<Slot, Shut>>,
    pub(super) result: Result<Pass, Shut>,
}

/// What came of trying to begin at once.
pub(super) enum Begun {
    Now(Pass),
    Shut(Shut),
    Wait,
}

/// See the module.
pub(super) struct Places {
    by_name: HashMap<Arc<str>, usize>,
    all: Vec<Option<Place>>,
    free: Vec<usize>,
    to_ask: Vec<usize>,
    /// When the asking task looks next; it is woken for what is to be asked for before.
    wake_at: Micros,
    calls: usize,
    most: usize,
    doubtful: usize,
    /// Places that could go on but for this process's limit, in turn: the proven ones, and the others.
    lines: [VecDeque<usize>; 2],
    other_line: bool,
    lease_is_good: bool,
    stopped: bool,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            all: Vec::new(),
            free: Vec::new(),
            to_ask: Vec::new(),
            wake_at: Micros::MAX,
            calls: 0,
            most,
            doubtful: 0,
            lines: [VecDeque::new(), VecDeque::new()],
            other_line: false,
            lease_is_good: true,
            stopped: false,
        }
    }

    pub(super) fn named(&mut self, name: &str) -> Option<&mut Place> {
        let place = *self.by_name.get(name)?;
        self.all[place].as_mut()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Counts a delivery; says whether this is the first place of all.
    pub(super) fn hold(&mut self, name: &str, now: Micros) -> (usize, bool) {
        let (place, made) = match self.by_name.get(name) {
            Some(place) => (*place, false),
            None => (self.make(name, now), true),
        };
        self.at(place).hold(now);
        (place, made && self.by_name.len() == 1)
    }

    pub(super) fn let_go(&mut self, place: usize, now: Micros) {
        self.at(place).let_go(now);
    }

    fn make(&mut self, name: &str, now: Micros) -> usize {
        let name: Arc<str> = name.into();
        let fresh = Some(Place::new(Arc::clone(&name), now));
        let place = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(place) {
            Some(slot) => *slot = fresh,
            None => self.all.push(fresh),
        }
        self.by_name.insert(name, place);
        place
    }

    fn at(&mut self, place: usize) -> &mut Place {
        // Unwrap safety: a place is forgotten only when nothing is held for it and no call is under way, and who asks holds or calls.
        self.all[place].as_mut().expect("a place in use is known")
    }

    /// Begins a call at once, if nobody waits before it and nothing stands against it.
    pub(super) fn begin(&mut self, place: usize, now: Micros) -> Begun {
        if self.stopped {
            return Begun::Shut(Shut::Late);
        }
        let (good, room, doubtful_room) = (self.lease_is_good, self.calls < self.most, self.doubtful < self.most / 2);
        let at = self.at(place);
        if let Some(left) = at.shut_for(now) {
            return Begun::Shut(Shut::Away(left));
        }
        if good && room && at.waiting.is_empty() && at.may_go(now) && (at.proven || doubtful_room) {
            return Begun::Now(self.count(place, now));
        }
        Begun::Wait
    }

    /// Waits; says whether the asking task must be woken.
    pub(super) fn wait(&mut self, place: usize, answer: oneshot::Sender<Result<Slot, Shut>>, now: Micros) -> bool {
        let at = self.at(place);
        at.waiting.push_back(Waiting { since: now, answer });
        at.ask_if_narrow(now);
        if at.may_go(now) {
            self.stand_in_line(place);
        }
        self.list(place)
    }

    /// A call ended; says whether the asking task must be woken.
    pub(super) fn end(
        &mut self,
        place: usize,
        pass: Pass,
        (sign, took): (Sign, Duration),
        rules: &config::Destinations,
        now: Micros,
        out: &mut Vec<Outcome>,
    ) -> bool {
        self.calls -= 1;
        self.doubtful -= usize::from(pass.doubtful);
        self.at(place).end(pass, sign, took, rules, now);
        self.serve(place, now, out);
        self.serve_lines(now, out);
        self.list(place)
    }

    /// Lets go who may go at this place, and tells them all when it is shut.
    fn serve(&mut self, place: usize, now: Micros, out: &mut Vec<Outcome>) {
        let Some(at) = self.all[place].as_mut() else { return };
        if let Some(left) = at.shut_for(now) {
            let shut = |waiting: Waiting| Outcome { place, answer: waiting.answer, result: Err(Shut::Away(left)) };
            out.extend(at.waiting.drain(..).map(shut));
        }
        while self.serve_one(place, now, out) {}
    }

    /// Lets the first one go; false where nobody may, or the process's limit is reached (then the place stands in line).
    fn serve_one(&mut self, place: usize, now: Micros, out: &mut Vec<Outcome>) -> bool {
        let (calls, doubtful) = (self.calls < self.most, self.doubtful < self.most / 2);
        let good = self.lease_is_good && !self.stopped;
        let Some(at) = self.all[place].as_mut() else { return false };
        while at.waiting.front().is_some_and(|first| first.answer.is_closed()) {
            at.waiting.pop_front();
        }
        if !good || at.waiting.is_empty() || !at.may_go(now) {
            return false;
        }
        if !calls || !(at.proven || doubtful) {
            self.stand_in_line(place);
            return false;
        }
        let Some(first) = at.waiting.pop_front() else { return false };
        let pass = self.count(place, now);
        out.push(Outcome { place, answer: first.answer, result: Ok(pass) });
        true
    }

    fn count(&mut self, place: usize, now: Micros) -> Pass {
        let pass = self.at(place).begin(now);
        self.calls += 1;
        self.doubtful += usize::from(pass.doubtful);
        pass
    }

    fn stand_in_line(&mut self, place: usize) {
        let at = self.at(place);
        if !std::mem::replace(&mut at.in_line, true) {
            let line = usize::from(!at.proven);
            self.lines[line].push_back(place);
        }
    }

    /// Places that wait for the process's limit take turns, one call each.
    fn serve_lines(&mut self, now: Micros, out: &mut Vec<Outcome>) {
        while self.calls < self.most {
            let line = [usize::from(self.other_line), usize::from(!self.other_line)]
                .into_iter()
                .find(|line| !self.lines[*line].is_empty() && (*line == 0 || self.doubtful < self.most / 2));
            let Some(line) = line else { return };
            self.other_line = line == 0;
            let Some(place) = self.lines[line].pop_front() else { return };
            if let Some(at) = self.all[place].as_mut() {
                at.in_line = false;
            }
            if self.serve_one(place, now, out)
                && self.all[place].as_ref().is_some_and(|at| !at.waiting.is_empty() && at.may_go(now))
            {
                self.stand_in_line(place);
            }
        }
    }

    /// Puts a place on the list of those to ask for; says whether the asking task must be woken.
    fn list(&mut self, place: usize) -> bool {
        let Some(at) = self.all[place].as_mut() else { return false };
        let Some(ask_at) = at.ask_at else { return false };
        if !std::mem::replace(&mut at.in_list, true) {
            self.to_ask.push(place);
        }
        let soon = !at.asked && ask_at < self.wake_at;
        if soon {
            self.wake_at = ask_at;
        }
        soon
    }

    /// When the asking task is to look again; it is woken for what comes before.
    pub(super) fn sleep_until(&mut self, at_the_latest: Micros) -> Micros {
        let asks = self.to_ask.iter().filter_map(|place| self.all[*place].as_ref().and_then(|at| at.ask_at));
        self.wake_at = asks.min().unwrap_or(at_the_latest).min(at_the_latest);
        self.wake_at
    }

    /// What is to be asked for now. Each is then under way until [`Self::given`] or [`Self::not_answered`].
    pub(super) fn wants(&mut self, now: Micros) -> Vec<(usize, Want)> {
        let (mut wants, mut later) = (Vec::new(), Vec::new());
        for place in std::mem::take(&mut self.to_ask) {
            let Some(at) = self.all[place].as_mut() else { continue };
            match at.ask_at {
                Some(ask_at) if at.asked || ask_at > now || wants.len() >= TOGETHER => later.push(place),
                None => at.in_list = false,
                Some(_) => {
                    at.in_list = false;
                    let (slots_held, slots_wanted, tokens_wanted, told) = at.ask(now);
                    let destination = at.name.to_string();
                    wants.push((place, Want { destination, slots_held, slots_wanted, tokens_wanted, told }));
                }
            }
        }
        self.to_ask = later;
        wants
    }

    pub(super) fn given(
        &mut self,
        place: usize,
        given: &Given,
        rules: &config::Destinations,
        now: Micros,
        out: &mut Vec<Outcome>,
    ) {
        self.at(place).given(given, rules, now);
        self.serve(place, now, out);
        self.after_serving(place, now);
    }

    pub(super) fn not_answered(&mut self, place: usize, want: &Want, now: Micros) {
        self.at(place).not_answered(want.told, now);
        self.list(place);
    }

    pub(super) fn changed(&mut self, change: &Change, now: Micros, out: &mut Vec<Outcome>) {
        let Some(place) = self.by_name.get(change.destination.as_str()).copied() else { return };
        self.at(place).changed(change, now);
        self.serve(place, now, out);
        self.after_serving(place, now);
    }

    /// Those who were let go may have left others without.
    fn after_serving(&mut self, place: usize, now: Micros) {
        self.at(place).ask_if_narrow(now);
        self.list(place);
    }

    /// The worker is another one now: what was granted is void.
    pub(super) fn start_over(&mut self, now: Micros) {
        for place in self.by_name.values().copied().collect::<Vec<_>>() {
            self.at(place).start_over(now);
            self.list(place);
        }
    }

    /// Whether anything may begin under the lease.
    pub(super) fn lease_is(&mut self, good: bool, now: Micros, out: &mut Vec<Outcome>) {
        if std::mem::replace(&mut self.lease_is_good, good) || !good {
            return;
        }
        for place in self.by_name.values().copied().collect::<Vec<_>>() {
            self.serve(place, now, out);
        }
    }

    /// Answers those who have waited too long, and forgets destinations that nobody has used for a while.
    pub(super) fn tidy(&mut self, now: Micros, out: &mut Vec<Outcome>) {
        let mut forgotten = Vec::new();
        for (place, at) in self.all.iter_mut().enumerate() {
            let Some(at) = at else { continue };
            while at.waiting.front().is_some_and(|first| now - first.since >= LONGEST_WAIT)
                && let Some(first) = at.waiting.pop_front()
            {
                out.push(Outcome { place, answer: first.answer, result: Err(Shut::Late) });
            }
            if at.is_forgettable(FORGET, now) {
                forgotten.push(place);
            }
        }
        for place in forgotten {
            if let Some(at) = self.all[place].take() {
                self.by_name.remove(&at.name);
                self.free.push(place);
            }
        }
    }

    /// Takes what is not needed from all places; the row of each is to be deleted.
    pub(super) fn give_back(&mut self, now: Micros) -> Vec<String> {
        let idle = self.all.iter_mut().flatten().filter(|at| at.is_idle(IDLE, now));
        idle.map(|at| {
            at.give_back(now);
            at.name.to_string()
        })
        .collect()
    }

    /// It could not be deleted: later.
    pub(super) fn not_given_back(&mut self, names: &[String]) {
        for name in names {
            if let Some(at) = self.named(name) {
                at.listed = true;
            }
        }
    }

    /// Nothing begins any more.
    pub(super) fn stop(&mut self, out: &mut Vec<Outcome>) {
        self.stopped = true;
        for (place, at) in self.all.iter_mut().enumerate() {
            let waiting = at.iter_mut().flat_map(|at| at.waiting.drain(..));
            out.extend(waiting.map(|waiting| Outcome { place, answer: waiting.answer, result: Err(Shut::Late) }));
        }
    }
}
