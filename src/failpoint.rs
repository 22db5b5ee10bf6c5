//! Places where a test makes the process die or freeze: between two steps whose order is a promise.
//!
//! Each place is one call, [`hit`], which costs the reading of a flag that nobody ever writes to in production. One place can be
//! armed, by the environment: `HANDFAST_FAILPOINT=after-settle` kills the process with SIGKILL when it first comes there,
//! `after-settle:3` the third time, `after-settle:3:stop` stops it with SIGSTOP instead, until somebody continues it. A
//! process that is given this variable in production does not start.
//!
//! Leaves out what is not a process's own death: faults of the network and of the servers are inflicted from outside.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::config::Mode;

/// The variable that arms a place.
const VARIABLE: &str = "HANDFAST_FAILPOINT";

static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Accepting: the rows are committed, nothing is published and nothing answered.
    AfterCommit,
    /// Publishing: the job is on its way to the broker, no confirm has come.
    AfterPublish,
    /// Publishing: the broker has confirmed, the books do not know.
    AfterConfirm,
    /// Claiming: the claim is committed, the worker has not read the answer.
    AfterClaim,
    /// Delivering: the answer has come, nothing is written down.
    AfterResponse,
    /// Settling: the result is committed, the broker's message is not acknowledged.
    AfterSettle,
    /// Stopping: nothing new is taken, what is in hand is not finished.
    WhileDraining,
    /// Keeping partitions: some are made, some are not.
    WhileRotating,
    /// Migrating: a version is committed, the next one is not.
    WhileMigrating,
}

/// All places, by the names that arm them.
const PLACES: [(&str, Place); 9] = [
    ("after-commit", Place::AfterCommit),
    ("after-publish", Place::AfterPublish),
    ("after-confirm", Place::AfterConfirm),
    ("after-claim", Place::AfterClaim),
    ("after-response", Place::AfterResponse),
    ("after-settle", Place::AfterSettle),
    ("while-draining", Place::WhileDraining),
    ("while-rotating", Place::WhileRotating),
    ("while-migrating", Place::WhileMigrating),
];

/// Why a place could not be armed.
#[derive(Debug, thiserror::Error)]
pub enum FailpointError {
    /// Somebody's production node would have died on purpose.
    #[error("HANDFAST_FAILPOINT is set: it is refused unless mode = \"development\"")]
    Production,
    /// No such place, or not a number.
    #[error("HANDFAST_FAILPOINT: \"{0}\" is no PLACE[:HIT[:kill|stop]]; places: {list}", list = names())]
    Unknown(String),
}

#[derive(Debug)]
struct Plan {
    place: Place,
    /// Hits that pass before the one that counts.
    left: AtomicU32,
    signal: i32,
}

/// Arms the place that the environment names, if it names one. Called once, before anything else is done.
pub fn arm(mode: Mode) -> Result<(), FailpointError> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    if mode != Mode::Development {
        return Err(FailpointError::Production);
    }
    let text = text.to_string_lossy();
    let plan = parse(&text).ok_or_else(|| FailpointError::Unknown(text.into_owned()))?;
    tracing::warn!(?plan, "this process will die on purpose");
    if PLAN.set(plan).is_ok() {
        ARMED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Here the process dies, if it was to die here.
#[inline]
pub fn hit(place: Place) {
    if ARMED.load(Ordering::Relaxed) {
        hit_armed(place);
    }
}

#[cold]
fn hit_armed(place: Place) {
    let Some(plan) = PLAN.get().filter(|plan| plan.place == place) else { return };
    if plan.left.fetch_sub(1, Ordering::Relaxed) == 0 {
        tracing::warn!(?place, "dying on purpose");
        crate::embedded::signal(std::process::id(), plan.signal);
    }
}

fn parse(text: &str) -> Option<Plan> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let place = PLACES.iter().find(|(known, _)| *known == name)?.1;
    let hit: u32 = parts.next().map_or(Some(1), |hit| hit.parse().ok())?;
    let signal = match parts.next() {
        None | Some("kill") => libc::SIGKILL,
        Some("stop") => libc::SIGSTOP,
        Some(_) => return None,
    };
    (hit > 0 && parts.next().is_none()).then(|| Plan { place, left: AtomicU32::new(hit - 1), signal })
}

fn names() -> String {
    PLACES.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_with_its_hit_and_what_happens_there() {
        for (text, place, left, signal) in [
            ("after-settle", Place::AfterSettle, 0, libc::SIGKILL),
            ("after-publish:3", Place::AfterPublish, 2, libc::SIGKILL),
            ("while-draining:1:stop", Place::WhileDraining, 0, libc::SIGSTOP),
        ] {
            let plan = parse(text).expect("a plan");
            assert_eq!((plan.place, plan.left.load(Ordering::Relaxed), plan.signal), (place, left, signal), "{text}");
        }
        for wrong in
            ["", "nowhere", "after-settle:0", "after-settle:x", "after-settle:1:sleep", "after-settle:1:kill:2"]
        {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_armed_does_nothing() {
        PLACES.iter().for_each(|(_, place)| hit(*place));
    }
}
