//! One process's side, with simulated time; the whole, against PostgreSQL, is in tests/it/destinations.rs.

use super::place::MILLI;
use super::*;
use crate::config;
use crate::destinations::pace::{Breaker, Told};
use crate::destinations::{Change, Given};
use jiff::Timestamp;

type Answer = oneshot::Receiver<Result<Slot, Shut>>;

/// A process with one destination, and who waits there.
struct Scene {
    places: Places,
    place: usize,
    now: Micros,
    rules: config::Destinations,
    /// Answers nobody has asked for yet; the receivers keep those who wait in line.
    waiting: Vec<Answer>,
    went: Vec<Pass>,
    turned_away: Vec<Shut>,
}

impl Scene {
    fn new() -> Self {
        let mut places = Places::new(100);
        let now = 1_800_000_000 * SECOND;
        let (place, first) = places.hold("a.test", now);
        assert!(first);
        let rules = config::Destinations::default();
        Self { places, place, now, rules, waiting: Vec::new(), went: Vec::new(), turned_away: Vec::new() }
    }

    /// So many with one slot each, as far as they go at once.
    fn come(&mut self, n: usize) {
        for _ in 0..n {
            match self.places.begin(self.place, self.now) {
                Begun::Now(pass) => self.went.push(pass),
                Begun::Shut(shut) => self.turned_away.push(shut),
                Begun::Wait => {
                    let (answer, answered) = oneshot::channel();
                    self.places.wait(self.place, answer, self.now);
                    self.waiting.push(answered);
                }
            }
        }
    }

    fn sort(&mut self, out: Vec<Outcome>) {
        for outcome in out {
            match outcome.result {
                Ok(pass) => self.went.push(pass),
                Err(shut) => self.turned_away.push(shut),
            }
        }
    }

    fn asked(&mut self) -> Option<crate::destinations::Want> {
        self.places.wants(self.now).pop().map(|(_, want)| want)
    }

    fn give(&mut self, given: Given) {
        let mut out = Vec::new();
        self.places.given(self.place, &given, &self.rules, self.now, &mut out);
        self.sort(out);
    }

    fn end(&mut self, sign: Sign) {
        let pass = self.went.remove(0);
        let mut out = Vec::new();
        self.places.end(self.place, pass, (sign, Duration::from_millis(1)), &self.rules, self.now, &mut out);
        self.sort(out);
    }

    fn change(&mut self, change: impl FnOnce(&mut Change)) {
        let mut changed = Change {
            destination: "a.test".into(),
            paused: false,
            breaker: Breaker::Closed,
            closed_until: None,
            ailing: false,
            contended: false,
            changed_at: time(self.now),
        };
        change(&mut changed);
        let mut out = Vec::new();
        self.places.changed(&changed, self.now, &mut out);
        self.sort(out);
    }

    fn tidy(&mut self) {
        let mut out = Vec::new();
        self.places.tidy(self.now, &mut out);
        self.sort(out);
    }
}

fn time(micros: Micros) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

/// Slots of a healthy destination with ten.
fn slots(n: u32) -> Given {
    Given {
        slots: n,
        counted: n,
        tokens: None,
        tokens_again_at: None,
        closed_until: None,
        paused: false,
        why: None,
        breaker: Breaker::Closed,
        failures: 0,
        ailing: false,
        contended: false,
        limit: 10,
        concurrency: 10,
        schedule: None,
        changed_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn who_waits_goes_when_slots_are_given_and_a_healthy_destination_asks_no_more() {
    let mut scene = Scene::new();
    scene.come(30);
    let want = scene.asked().unwrap();
    assert_eq!((want.slots_held, want.slots_wanted, want.tokens_wanted), (0, 30, 30));
    assert!(scene.asked().is_none(), "one question at a time");
    scene.give(slots(10));
    assert_eq!(scene.went.len(), 10);
    for _ in 0..1000 {
        scene.now += MILLI;
        scene.end(Sign::Good);
        scene.come(1);
        assert_eq!(scene.went.len(), 10);
        assert!(scene.asked().is_none(), "all there is has been given");
    }
}

#[test]
fn a_wish_that_was_met_is_followed_by_a_larger_one_at_once_and_one_that_was_not_later() {
    let mut scene = Scene::new();
    scene.come(1);
    scene.asked().unwrap();
    scene.give(slots(1));
    scene.come(2);
    assert_eq!(scene.asked().unwrap().slots_wanted, 3);
    // Others have the rest.
    scene.give(slots(2));
    assert!(scene.asked().is_none());
    scene.now += 200 * MILLI;
    assert_eq!(scene.asked().unwrap().slots_wanted, 3);
}

#[test]
fn failures_in_a_row_shut_a_destination_here_at_once_and_are_told() {
    let mut scene = Scene::new();
    scene.come(30);
    scene.asked().unwrap();
    scene.give(slots(10));
    (0..9).for_each(|_| scene.end(Sign::Failed));
    assert!(scene.turned_away.is_empty());
    scene.end(Sign::Failed);
    // Nine more had begun when the tenth failed.
    assert_eq!((scene.went.len(), scene.turned_away.len()), (9, 11));
    assert_eq!(scene.turned_away[0], Shut::Away(Duration::from_secs(5)));
    let want = scene.asked().unwrap();
    assert_eq!(want.told, Told { failed: 10, trailing: 10, ..Told::default() });
    assert_eq!((want.slots_held, want.slots_wanted), (9, 9));
    let until = Some(time(scene.now + 5 * SECOND));
    scene.give(Given { breaker: Breaker::Open, closed_until: until, limit: 0, ..slots(0) });
    (0..9).for_each(|_| scene.end(Sign::Failed));
    assert!(scene.asked().is_none(), "what had begun before it opened is no news");
    scene.now += 5 * SECOND;
    scene.come(3);
    assert_eq!(scene.asked().unwrap().told, Told::default());
    scene.give(Given { breaker: Breaker::HalfOpen, limit: 1, ..slots(1) });
    assert_eq!(scene.went.len(), 1, "one call probes");
    scene.end(Sign::Good);
    assert_eq!(scene.asked().unwrap().told.ok, 1);
}

#[test]
fn a_probe_that_fails_shuts_at_once() {
    let mut scene = Scene::new();
    scene.come(3);
    scene.asked().unwrap();
    scene.give(Given { breaker: Breaker::HalfOpen, limit: 1, ..slots(1) });
    scene.end(Sign::Failed);
    assert_eq!((scene.went.len(), scene.turned_away.len()), (0, 2));
    assert_eq!(scene.asked().unwrap().told.failed, 1);
}

#[test]
fn a_pause_that_is_asked_for_holds_at_once_and_is_told_at_once() {
    let mut scene = Scene::new();
    scene.come(12);
    scene.asked().unwrap();
    scene.give(slots(10));
    let pause = Duration::from_secs(120);
    scene.end(Sign::Overloaded { retry_after: Some(pause) });
    assert_eq!(scene.turned_away, [Shut::Away(pause); 2]);
    assert_eq!(scene.asked().unwrap().told.retry_after, Some(pause));
    // The answer to a question asked before does not open it again.
    scene.end(Sign::Overloaded { retry_after: Some(pause) });
    scene.give(slots(10));
    scene.come(1);
    assert_eq!(scene.turned_away.len(), 3);
    // Heard of by another process: a resume by an operator.
    scene.asked().unwrap();
    scene.give(Given { closed_until: Some(time(scene.now + 120 * SECOND)), limit: 0, ..slots(0) });
    scene.now += SECOND;
    scene.change(|_| {});
    scene.come(1);
    assert_eq!(scene.turned_away.len(), 3);
}

#[test]
fn a_pause_of_no_length_is_none() {
    let mut scene = Scene::new();
    scene.come(11);
    scene.asked().unwrap();
    scene.give(slots(10));
    scene.end(Sign::Overloaded { retry_after: Some(Duration::ZERO) });
    assert_eq!((scene.went.len(), scene.turned_away.len()), (10, 0));
    scene.now += 50 * MILLI;
    assert_eq!(scene.asked().unwrap().told, Told { overloaded: 1, ..Told::default() });
}

#[test]
fn what_was_not_tried_says_nothing() {
    let mut scene = Scene::new();
    scene.come(11);
    scene.asked().unwrap();
    scene.give(slots(10));
    scene.end(Sign::NotTried);
    assert_eq!(scene.went.len(), 10);
    scene.now += SECOND;
    assert!(scene.asked().is_none());
}

#[test]
fn a_rate_is_followed_and_tokens_that_are_not_used_are_lost() {
    let mut scene = Scene::new();
    scene.come(9);
    scene.asked().unwrap();
    let again = scene.now + 100 * MILLI;
    let some = |n| Given { tokens: Some(n), tokens_again_at: Some(time(again)), ..slots(10) };
    scene.give(some(3));
    assert_eq!(scene.went.len(), 3);
    assert!(scene.asked().is_none());
    scene.now = again;
    assert_eq!(scene.asked().unwrap().tokens_wanted, 6);
    scene.give(Given { tokens: Some(8), tokens_again_at: None, ..slots(10) });
    assert_eq!(scene.went.len(), 9);
    (0..9).for_each(|_| scene.end(Sign::Good));
    scene.now += 2 * SECOND;
    scene.come(1);
    assert!(scene.went.is_empty());
    assert_eq!(scene.asked().unwrap().tokens_wanted, 1);
}

#[test]
fn whoever_waits_too_long_goes_back() {
    let mut scene = Scene::new();
    scene.come(1);
    scene.now += 3 * SECOND;
    scene.come(1);
    scene.now += 2 * SECOND;
    scene.tidy();
    assert_eq!(scene.turned_away, [Shut::Late]);
}

#[test]
fn others_who_lack_are_given_what_is_fair() {
    let mut scene = Scene::new();
    scene.come(30);
    scene.asked().unwrap();
    scene.give(slots(10));
    scene.now += MILLI;
    scene.change(|change| change.contended = true);
    let want = scene.asked().unwrap();
    assert_eq!((want.slots_held, want.slots_wanted), (10, 30));
    scene.give(Given { slots: 5, counted: 10, contended: true, ..slots(5) });
    for left in [9, 8, 7, 6, 5] {
        assert!(scene.asked().is_none());
        scene.end(Sign::Good);
        assert_eq!(scene.went.len(), left, "nobody follows until it is down to what is fair");
    }
    assert_eq!(scene.asked().unwrap().slots_held, 5);
}

#[test]
fn another_worker_starts_over_with_nothing() {
    let mut scene = Scene::new();
    scene.come(12);
    scene.asked().unwrap();
    scene.give(slots(10));
    scene.places.start_over(scene.now);
    scene.end(Sign::Good);
    assert_eq!(scene.went.len(), 9, "what was granted to the other one is void");
    let want = scene.asked().unwrap();
    assert_eq!((want.slots_held, want.slots_wanted), (9, 11));
}

#[test]
fn nothing_begins_without_a_lease() {
    let mut scene = Scene::new();
    scene.places.lease_is(false, scene.now, &mut Vec::new());
    scene.come(3);
    scene.asked().unwrap();
    scene.give(slots(3));
    assert!(scene.went.is_empty());
    let mut out = Vec::new();
    scene.places.lease_is(true, scene.now, &mut out);
    assert_eq!(out.len(), 3);
}

#[test]
fn what_is_idle_is_given_back_and_later_forgotten() {
    let mut scene = Scene::new();
    scene.come(1);
    scene.asked().unwrap();
    scene.give(slots(1));
    scene.end(Sign::Good);
    scene.now += 4 * SECOND;
    assert!(scene.places.give_back(scene.now).is_empty());
    scene.now += SECOND;
    assert_eq!(scene.places.give_back(scene.now), ["a.test"]);
    assert!(scene.places.give_back(scene.now).is_empty());
    scene.places.let_go(scene.place, scene.now);
    scene.now += 5 * SECOND;
    scene.tidy();
    assert!(scene.places.is_empty());
}

#[test]
fn those_that_have_proven_nothing_leave_half_for_the_others() {
    let now = 1_800_000_000 * SECOND;
    let rules = config::Destinations::default();
    let mut places = Places::new(10);
    let mut went = Vec::new();
    let mut answers = Vec::new();
    let all: Vec<usize> = (0..9).map(|n| places.hold(&format!("{n}.test"), now).0).collect();
    let mut come = |places: &mut Places, place, went: &mut Vec<(usize, Pass)>| match places.begin(place, now) {
        Begun::Now(pass) => went.push((place, pass)),
        Begun::Shut(shut) => panic!("{shut:?}"),
        Begun::Wait => {
            let (answer, answered) = oneshot::channel();
            places.wait(place, answer, now);
            answers.push(answered);
        }
    };
    for place in &all {
        come(&mut places, *place, &mut went);
    }
    let mut out = Vec::new();
    places.wants(now);
    for place in &all {
        places.given(*place, &slots(10), &rules, now, &mut out);
    }
    assert_eq!(out.len(), 5);
    went.extend(out.drain(..).map(|outcome| (outcome.place, outcome.result.unwrap())));
    // One of them answers, and may use all that is free; the others still have their half.
    let (proven, pass) = went.remove(0);
    places.end(proven, pass, (Sign::Good, Duration::ZERO), &rules, now, &mut out);
    assert_eq!(out.len(), 1, "the next one of those that waited");
    went.extend(out.drain(..).map(|outcome| (outcome.place, outcome.result.unwrap())));
    for _ in 0..7 {
        come(&mut places, proven, &mut went);
    }
    assert_eq!(went.iter().filter(|(place, _)| *place == proven).count(), 5);
    assert_eq!(places.calls(), 10);
    // What ends makes room in turn.
    let at = went.iter().position(|(place, _)| *place != proven).unwrap();
    let (place, pass) = went.remove(at);
    places.end(place, pass, (Sign::Failed, Duration::ZERO), &rules, now, &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_quick_destination_may_hold_more_than_a_slow_one() {
    let mut scene = Scene::new();
    let now = scene.now;
    let place = scene.places.named("a.test").unwrap();
    assert_eq!(place.expected(AHEAD, now), 0, "nothing is known yet: one chunk");
    (0..99).for_each(|_| place.hold(now));
    (0..50).for_each(|n| place.let_go(now + n * MILLI));
    assert!(place.expected(AHEAD, now + 50 * MILLI) >= 1900, "a thousand a second");
    assert!(place.expected(AHEAD, now + 10 * SECOND) <= 20);
}
