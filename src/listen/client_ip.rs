//! Who is calling: the connection's address, or what a trusted proxy says in `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use warp::{Filter, Rejection};

/// The client's address, in every request's extensions. IPv4 is never written as IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(pub IpAddr);

/// Whether the connection itself comes from a trusted proxy, in every request's extensions: only then is a proxy's word worth anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromProxy(pub bool);

/// Whether a trusted proxy made this request, for the doors.
pub fn from_proxy() -> impl Filter<Extract = (bool,), Error = Rejection> + Copy {
    warp::ext::get::<FromProxy>().map(|FromProxy(from)| from)
}

/// The client's address, for the doors.
pub fn client_ip() -> impl Filter<Extract = (IpAddr,), Error = Rejection> + Copy {
    warp::ext::get::<ClientIp>().map(|ClientIp(address)| address)
}

/// From right to left every proxy has added the one it was called by, so the first address that is no trusted proxy is the
/// client's; what stands further left is the client's own invention. Something that is no address ends the search: then
/// the one who passed it on counts as the client.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut named = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    while is_trusted(nearest, trusted) {
        match named.next().map(address) {
            Some(Some(further)) => nearest = further,
            Some(None) | None => break,
        }
    }
    nearest
}

pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// `192.0.2.1`, `2001:db8::1`, and the forms with a port that some proxies write.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    found.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| ("x-forwarded-for".parse().unwrap(), line.parse().unwrap())).collect()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let cases: [(&str, &[&str], &str); 13] = [
            ("203.0.113.9", &[], "203.0.113.9"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("::ffff:203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ];
        for (peer, lines, expected) in cases {
            let found = client(peer.parse().unwrap(), &said(lines), &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn what_the_client_writes_does_not_matter(invented in "[ -~]{0,60}") {
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let line = format!("{invented}, 198.51.100.1");
            let found = client("10.0.0.1".parse().unwrap(), &said(&[&line]), &trusted);
            prop_assert_eq!(found, "198.51.100.1".parse::<IpAddr>().unwrap());
        }
    }
}
