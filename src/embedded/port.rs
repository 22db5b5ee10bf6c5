//! Ports that nobody uses.
//!
//! Taken from below the range that the kernel gives to outgoing connections (32768 and up): a server that is restarted must
//! find its port free again, and no client's connection may have slipped onto it meanwhile.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

const RANGE: std::ops::Range<u16> = 15_000..31_000;

/// `N` different ports that were free on loopback a moment ago. Whoever uses them must be ready to lose the race.
pub(crate) fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    for _ in 0..1000 {
        if held.len() == N {
            break;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, any())) {
            held.push(listener);
        }
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    if held.len() == N { Ok(ports) } else { Err(io::Error::other("no free port between 15000 and 30999")) }
}

fn any() -> u16 {
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    RANGE.start + u16::from_be_bytes([a, b]) % (RANGE.end - RANGE.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_different_and_out_of_the_kernels_range() {
        let ports: [u16; 3] = free().expect("three of sixteen thousand");
        for (i, port) in ports.iter().enumerate() {
            assert!(RANGE.contains(port));
            assert!(!ports[..i].contains(port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).expect("free");
        }
    }
}
