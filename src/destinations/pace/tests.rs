use std::ops::Range;

use proptest::prelude::*;

use super::*;

const SET: Settings = Settings { concurrency: 10, rate: None, paused: false };

fn rules() -> config::Destinations {
    config::Destinations::default()
}

/// A moment, in milliseconds from the beginning.
fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

fn ok(n: u32) -> Told {
    Told { ok: n, ..Told::default() }
}

fn failed(n: u32) -> Told {
    Told { failed: n, trailing: n, ..Told::default() }
}

fn refused(n: u32) -> Told {
    Told { overloaded: n, ..Told::default() }
}

fn pause(seconds: u64) -> Told {
    Told { overloaded: 1, retry_after: Some(Duration::from_secs(seconds)), ..Told::default() }
}

/// Replays what is told at which millisecond; each line says what holds after it.
fn replay(set: &Settings, mut state: State, lines: &[(i64, Told, Breaker, u32)]) -> State {
    for (n, (millis, told, breaker, limit)) in lines.iter().enumerate() {
        (state, _) = state.at(at(*millis)).hear(told, set, &rules(), at(*millis));
        assert_eq!((state.breaker, state.limit(set, at(*millis))), (*breaker, *limit), "line {n}: {state:?}");
    }
    state
}

#[test]
fn a_new_destination_is_tried_out_and_then_given_all() {
    use Breaker::Closed;
    let state = replay(
        &SET,
        State::new(),
        &[(0, Told::default(), Closed, 4), (5, ok(1), Closed, 5), (9, ok(4), Closed, 9), (10, ok(1), Closed, 10)],
    );
    assert_eq!(state.congestion, None);
    assert!(!state.is_ailing());
    assert_eq!(State::new().limit(&Settings { concurrency: 2, ..SET }, at(0)), 2, "never more than is set");
}

#[test]
fn the_breaker_opens_after_failures_in_a_row_and_closes_by_a_probe() {
    use Breaker::{Closed, HalfOpen, Open};
    let well = State::default();
    let state = replay(
        &SET,
        well,
        &[
            (0, failed(9), Closed, 5),
            (10, ok(1), Closed, 5),
            (20, failed(9), Closed, 5),
            (30, failed(1), Open, 0),
            // What was under way: no news.
            (40, failed(7), Open, 0),
            (50, ok(1), Open, 0),
            (5_029, Told::default(), Open, 0),
            (5_030, Told::default(), HalfOpen, 1),
            (5_100, failed(1), Open, 0),
            (15_099, Told::default(), Open, 0),
            (15_100, Told::default(), HalfOpen, 1),
            (15_200, ok(1), Closed, 4),
        ],
    );
    assert_eq!((state.trips, state.failures, state.why), (0, 0, None));
}

#[test]
fn each_failed_probe_doubles_the_wait_up_to_the_longest() {
    let (mut state, mut now) = (State::default(), 0);
    let mut waits = Vec::new();
    for n in 0..10 {
        (state, _) = state.at(at(now)).hear(&failed(if n == 0 { 10 } else { 1 }), &SET, &rules(), at(now));
        let until = state.closed_until.unwrap().as_millisecond();
        waits.push((until - at(now).as_millisecond()) / 1000);
        now = until - at(0).as_millisecond();
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
    let (state, turn) = state.at(at(now)).hear(&ok(1), &SET, &rules(), at(now));
    assert_eq!((turn, state.trips), (Some(Turn::Closed), 0));
}

#[test]
fn the_breaker_opens_when_half_of_twenty_fail() {
    let half = |good, bad| Told { ok: good, failed: bad, trailing: 0, ..Told::default() };
    let opened = |tolds: &[(i64, Told)]| {
        let mut state = State::default();
        tolds.iter().any(|(millis, told)| {
            let (next, turn) = state.clone().at(at(*millis)).hear(told, &SET, &rules(), at(*millis));
            state = next;
            turn == Some(Turn::Opened)
        })
    };
    assert!(opened(&[(0, half(5, 5)), (1000, half(5, 5))]));
    assert!(!opened(&[(0, half(5, 5)), (1000, half(5, 4))]), "nineteen say nothing");
    assert!(!opened(&[(0, half(11, 9)), (1000, half(11, 9))]), "less than half");
    assert!(!opened(&[(0, half(5, 5)), (60_000, half(5, 5))]), "counted anew after a minute");
    assert!(!opened(&[(0, half(0, 9)), (1, half(20, 0)), (2, half(0, 1))]), "what succeeded counts too");
}

#[test]
fn a_pause_that_is_asked_for_is_kept_exactly_and_is_no_failure() {
    use Breaker::Closed;
    let state = replay(
        &SET,
        State::default(),
        &[(0, pause(120), Closed, 0), (119_999, Told::default(), Closed, 0), (120_000, Told::default(), Closed, 5)],
    );
    assert_eq!((state.trips, state.failures, state.counted_failed, state.why), (0, 0, 0, None));
    // The longer one of two holds, and so does a breaker that is open for longer.
    let (state, _) = State::default().hear(&pause(60), &SET, &rules(), at(0));
    let (state, _) = state.hear(&pause(10), &SET, &rules(), at(1000));
    assert_eq!(state.closed_until, Some(at(60_000)));
    let (state, _) = State::default().hear(&failed(10), &SET, &rules(), at(0));
    let (state, _) = state.hear(&pause(1), &SET, &rules(), at(10));
    assert_eq!((state.breaker, state.closed_until), (Breaker::Open, Some(at(5_000))));
    // No number closes it for good, nor is there one that cannot be reckoned with.
    let (state, _) = State::default().hear(&pause(u64::MAX), &SET, &rules(), at(0));
    assert!(state.closed_until.unwrap() <= at(7 * 86_400_000));
}

#[test]
fn a_probe_that_is_asked_to_wait_neither_fails_nor_succeeds() {
    use Breaker::{HalfOpen, Open};
    replay(
        &SET,
        State::default(),
        &[
            (0, failed(10), Open, 0),
            (5_000, pause(7), HalfOpen, 0),
            (11_999, Told::default(), HalfOpen, 0),
            (12_000, Told::default(), HalfOpen, 1),
            (12_001, refused(1), Open, 0),
        ],
    );
}

#[test]
fn congestion_halves_once_a_round_and_grows_slowly_from_there() {
    use Breaker::Closed;
    let set = Settings { concurrency: 64, ..SET };
    let state = replay(
        &set,
        State::default(),
        &[
            (0, refused(1), Closed, 32),
            (500, refused(5), Closed, 32),
            (1_000, refused(1), Closed, 16),
            // One more a round of that many, not one a success.
            (1_100, ok(16), Closed, 16),
            (1_200, ok(2), Closed, 17),
            (9_000, ok(2_500), Closed, 64),
        ],
    );
    assert!(!state.is_ailing());
}

#[test]
fn what_halves_and_what_does_not() {
    let after = |told: Told| State::default().hear(&told, &SET, &rules(), at(0)).0.limit(&SET, at(0));
    assert_eq!(after(failed(1)), 5);
    assert_eq!(after(Told { ok: 90, failed: 9, trailing: 1, ..Told::default() }), 10, "a failure now and then");
    assert_eq!(after(Told { ok: 80, failed: 9, trailing: 1, ..Told::default() }), 5);
    assert_eq!(after(Told { ok: 4, slow: 4, ..Told::default() }), 5);
    assert_eq!(after(Told { ok: 10, slow: 1, ..Told::default() }), 10);
    // Slow by nature: not brought down to nothing.
    let mut state = State::default();
    for second in 0..20 {
        (state, _) = state.hear(&Told { ok: 4, slow: 4, ..Told::default() }, &SET, &rules(), at(second * 2_000));
    }
    assert_eq!(state.limit(&SET, at(40_000)), 4);
    // Refused by everything: one at a time, and when that is refused too, the breaker.
    let (mut state, mut opened) = (State::default(), false);
    for second in 0..20 {
        assert!(opened || second < 15, "{state:?}");
        let (next, turn) = state.at(at(second * 2_000)).hear(&refused(2), &SET, &rules(), at(second * 2_000));
        (state, opened) = (next, opened || turn == Some(Turn::Opened));
    }
    assert!(opened);
}

#[test]
fn what_two_reports_say_together() {
    let both = |a: Told, b: Told| a.and_then(b);
    assert_eq!(both(failed(3), failed(2)).trailing, 5);
    assert_eq!(both(failed(3), Told { ok: 1, failed: 2, trailing: 1, ..Told::default() }).trailing, 1);
    assert_eq!(both(pause(3), pause(2)).retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn the_rate_is_kept_and_a_pause_is_not_made_up_for() {
    for (rate, asks_every) in [(1.0, 100), (3.0, 10), (40.0, 5), (500.0, 1)] {
        let set = Settings { rate: Some(rate), ..SET };
        let (mut state, mut given, mut now) = (State::new(), Vec::new(), 0);
        while now < 20_000 {
            let (n, again) = state.take_tokens(10_000, 1, &set, at(now)).unwrap();
            given.push((now, n));
            let next = again.unwrap().as_millisecond() - at(0).as_millisecond();
            assert!(next > now, "asking at once is in vain");
            // Nobody is quite in time.
            now = next + next % asks_every;
        }
        let within = |span: Range<i64>| given.iter().filter(|(at, _)| span.contains(at)).map(|(_, n)| n).sum::<u32>();
        let all = within(0..20_000) as f32;
        assert!((all - rate * 20.0).abs() <= (rate * 0.25).max(1.0) + rate * 0.6, "{all} at {rate} a second");
        for second in 0..19 {
            let n = within(second * 1000..(second + 1) * 1000) as f32;
            assert!(n <= rate + (rate * BUCKET).max(1.0), "{n} in second {second} at {rate} a second");
        }
        let late = state.take_tokens(10_000, 1, &set, at(9_000_000)).unwrap().0;
        assert_eq!(late, (rate * BUCKET).max(1.0) as u32);
    }
    assert_eq!(State::new().take_tokens(5, 1, &SET, at(0)), None);
}

#[test]
fn tokens_are_shared_among_those_who_want_some() {
    let set = Settings { rate: Some(400.0), ..SET };
    let mut state = State::new();
    assert_eq!(state.take_tokens(100, 4, &set, at(0)).unwrap().0, 25);
    assert_eq!(state.take_tokens(10, 4, &set, at(0)).unwrap(), (10, None));
}

#[test]
fn what_is_granted() {
    let part = |slots, wanted| Part { slots, wanted };
    let none: &[Part] = &[];
    let table: [(u32, Part, &[Part], Grant); 12] = [
        (10, part(0, 3), none, Grant { slots: 3, counted: 3, contended: false }),
        (10, part(3, 30), none, Grant { slots: 10, counted: 10, contended: false }),
        (10, part(10, 2), none, Grant { slots: 2, counted: 10, contended: false }),
        (10, part(0, 5), &[part(10, 10)], Grant { slots: 0, counted: 0, contended: true }),
        (10, part(10, 10), &[part(0, 5)], Grant { slots: 5, counted: 10, contended: true }),
        (10, part(5, 10), &[part(0, 2)], Grant { slots: 8, counted: 8, contended: true }),
        (10, part(5, 10), &[part(5, 10)], Grant { slots: 5, counted: 5, contended: false }),
        (10, part(0, 9), &[part(3, 3), part(3, 3)], Grant { slots: 4, counted: 4, contended: false }),
        // Half open, or simply one at a time: in turn.
        (1, part(1, 4), &[part(0, 4)], Grant { slots: 0, counted: 1, contended: true }),
        (1, part(0, 4), &[part(0, 4)], Grant { slots: 1, counted: 1, contended: true }),
        (1, part(0, 4), &[part(5, 9)], Grant { slots: 0, counted: 0, contended: true }),
        (0, part(3, 4), &[part(5, 9)], Grant { slots: 0, counted: 3, contended: false }),
    ];
    for (limit, mine, others, given) in table {
        assert_eq!(grant(limit, mine, others), given, "{mine:?} of {limit} beside {others:?}");
    }
}

proptest! {
    /// Workers that ask, use, finish and die in any order, with a limit that goes up and down.
    #[test]
    fn shares_never_add_up_to_more_than_the_limit(
        steps in prop::collection::vec((0usize..5, 0u32..20, 0u32..20, 0u8..20), 1..200),
        first in 1u32..20,
    ) {
        let (mut parts, mut limit) = ([Part::default(); 5], first);
        for (worker, wanted, held, chance) in steps {
            match chance {
                0 => parts[worker] = Part::default(),
                1 => limit = held,
                _ => {}
            }
            let before: u32 = parts.iter().map(|part| part.slots).sum();
            let others: Vec<Part> = parts.iter().enumerate().filter(|(n, _)| *n != worker).map(|(_, part)| *part).collect();
            let mine = Part { slots: held.min(parts[worker].slots), wanted };
            let given = grant(limit, mine, &others);
            parts[worker] = Part { slots: given.counted, wanted };
            let sum: u32 = parts.iter().map(|part| part.slots).sum();
            prop_assert!(sum <= limit.max(before), "{sum} of {limit}: {parts:?}");
            prop_assert!(given.slots <= given.counted && given.slots <= wanted);
        }
    }

    /// Whoever wants something gets it within a few rounds, as long as all ask again.
    #[test]
    fn nobody_starves_and_nothing_lies_idle(limit in 1u32..30, wishes in prop::collection::vec(1u32..30, 1..6)) {
        let mut parts = vec![Part::default(); wishes.len()];
        let mut had = vec![0u32; wishes.len()];
        let mut used = 0;
        for round in 0..40 {
            for worker in 0..wishes.len() {
                let others: Vec<Part> = parts.iter().enumerate().filter(|(n, _)| *n != worker).map(|(_, part)| *part).collect();
                let given = grant(limit, Part { slots: parts[worker].slots, wanted: wishes[worker] }, &others);
                // What it may no longer use ends before it asks again.
                parts[worker] = Part { slots: given.slots, wanted: wishes[worker] };
                had[worker] += given.slots;
            }
            if round == 39 {
                used = parts.iter().map(|part| part.slots).sum();
            }
        }
        prop_assert!(had.iter().all(|had| *had > 0), "{had:?} of {limit} for {wishes:?}");
        let wished: u32 = wishes.iter().sum();
        prop_assert!(wishes.len() as u32 > limit || used == limit.min(wished), "{used} of {limit} for {wishes:?}");
    }
}
