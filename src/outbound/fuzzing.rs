//! Fuzz targets of where calls go, and of what answers ask for.

use std::time::Duration;

use jiff::Timestamp;

use super::{Ports, RetryAfter, Target};
use crate::fuzzing::text;
use crate::openmsg::Domain;

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// URLs, hosts, places that answers lead to, and `Retry-After`.
pub(crate) fn targets(data: &[u8]) {
    let text = text(data);
    if let Ok(target) = text.parse::<Target>() {
        named(&target);
        assert!(target.reveal().parse::<Target>().is_ok_and(|again| again == target), "a URL in two ways");
    }
    for ports in [Ports::Any, Ports::Of(vec![443, 8443])] {
        if let Ok(target) = Target::with_ports(text, &ports) {
            named(&target);
        }
    }
    if let Ok(target) = Target::new(text, "/openmsg/auth/") {
        assert_eq!((target.host(), target.path()), (text.to_ascii_lowercase().as_str(), "/openmsg/auth/"));
        named(&target);
    }
    redirected(text);
    // Two readers of a host: no domain is called whose last part could be read as a number.
    if let Ok(domain) = text.parse::<Domain>() {
        let target = Target::new(domain.as_str(), "/");
        let letter =
            domain.as_str().rsplit('.').next().is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()));
        assert!(target.is_err() || letter, "a number was called");
    }
    if let Some(after) = RetryAfter::parse(text) {
        for now in [Timestamp::UNIX_EPOCH, Timestamp::MAX, Timestamp::MIN] {
            assert!(after.wait(now) <= WEEK);
        }
    }
}

/// Never an address of a machine, whatever it is written like.
fn named(target: &Target) {
    let host = target.host();
    assert!(target.reveal().starts_with("https://") && host.contains('.') && host.is_ascii());
    assert!(host.parse::<std::net::IpAddr>().is_err() && !host.contains(['@', '/', ':', '[']));
    assert!(!format!("{target:?} {target}").contains('/'), "a path in a log may hold a token");
}

fn redirected(location: &str) {
    let Ok(from) = "https://shop.example/openmsg/auth/".parse::<Target>() else { return };
    if let Some(next) = from.redirected(location, "/openmsg/") {
        named(&next);
        assert!(["shop.example", "www.shop.example"].contains(&next.host()) && next.path().starts_with("/openmsg/"));
    }
}
