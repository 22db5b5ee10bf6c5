//! File descriptors: each connection takes one, and what most systems allow at first is fewer than the settings allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is of no use: it only makes lists longer.
const ENOUGH: u64 = 65_536;

/// Raises what this process may have open, as far as the system lets it. What it starts from then on inherits it.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, wanted, "the limit of open files could not be raised");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_be_may_be_open() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert!(current.is_none_or(|current| current >= maximum.unwrap_or(ENOUGH).min(ENOUGH)));
    }
}
