//! Which addresses may be connected to.
//!
//! A peer's domain is a stranger's word, and what it resolves to may be a machine in our own network (specification,
//! weakness 6.3). So an address is refused unless it is ordinary, globally reachable unicast: the special-purpose
//! registries of IANA (RFC 6890 and its updates) written out, plus the forms of IPv6 that carry an IPv4 address.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 networks that no stranger may make us connect to.
const REFUSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this network, unspecified
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // carrier-grade NAT
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, cloud metadata
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // former 6to4 relays
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarking
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// The only IPv6 block with global unicast addresses. All else is refused: loopback, unspecified, unique local, link-local,
/// site-local, multicast, mapped and compatible IPv4, discard-only, segment routing, local NAT64.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Inside [`GLOBAL_V6`], and refused all the same.
const REFUSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments: Teredo, benchmarking, ORCHID
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4: carries an IPv4 address, long obsolete
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// NAT64 (RFC 6052): how an IPv6-only network reaches IPv4 hosts, so the address inside decides.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// The rule itself, with the operator's additions.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    refused: Vec<IpNet>,
    allowed: HashSet<IpAddr>,
    open: bool,
}

impl Guard {
    /// `refused` comes on top of the built-in list; `allowed` (development only) goes before everything.
    pub(super) fn new(refused: Vec<IpNet>, allowed: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { refused, allowed: allowed.into_iter().collect(), open: false }
    }

    /// Admits every address: for names that no stranger can choose.
    pub(super) fn open() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// Whether this address may be connected to.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.open || self.allowed.contains(&address) || !self.refuses(address)
    }

    fn refuses(&self, address: IpAddr) -> bool {
        if self.refused.iter().any(|net| net.contains(&address)) {
            return true;
        }
        match address {
            IpAddr::V4(v4) => REFUSED_V4.iter().any(|net| net.contains(&v4)),
            IpAddr::V6(v6) if NAT64.contains(&v6) => self.refuses(IpAddr::V4(last_four(v6))),
            IpAddr::V6(v6) => !GLOBAL_V6.contains(&v6) || REFUSED_V6.iter().any(|net| net.contains(&v6)),
        }
    }
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ];
        let guard = Guard::default();
        for text in refused {
            assert!(!guard.admits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_admitted() {
        let admitted = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "3ffe::1",
        ];
        let guard = Guard::default();
        for text in admitted {
            assert!(guard.admits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_operator_can_refuse_more_and_development_can_allow_one() {
        let guard = Guard::new(
            vec!["8.8.8.0/24".parse().unwrap(), "2606:4700::/32".parse().unwrap()],
            ["127.0.0.1".parse().unwrap()],
        );
        assert!(!guard.admits("8.8.8.8".parse().unwrap()));
        assert!(!guard.admits("64:ff9b::808:808".parse().unwrap()), "the same, seen through NAT64");
        assert!(!guard.admits("2606:4700:4700::1111".parse().unwrap()));
        assert!(guard.admits("127.0.0.1".parse().unwrap()));
        assert!(!guard.admits("127.0.0.2".parse().unwrap()));
        assert!(!guard.admits("::ffff:127.0.0.1".parse().unwrap()), "another spelling is another address");
    }

    #[test]
    fn what_the_operator_names_may_be_anywhere() {
        for address in ["10.0.0.1", "127.0.0.1", "::1", "8.8.8.8"] {
            assert!(Guard::open().admits(address.parse().unwrap()), "{address}");
        }
    }
}
