//! A service manager such as systemd: what it hands over and what it is told. Without one, nothing here does anything.
//!
//! Listening sockets that it keeps open (`handfast-public.socket`, `handfast-private.socket`) are not closed while the program is
//! replaced: whoever connects meanwhile waits for the next process instead of being refused. Readiness follows sd_notify(3): one
//! datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Leaves out: the watchdog. A node that is stuck is seen at `/readyz`, and its worker's lease runs out.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use listenfd::ListenFd;

/// Sockets that were handed over, by name (`FileDescriptorName=` of their unit).
pub struct Handed {
    names: Vec<String>,
    sockets: ListenFd,
}

impl Handed {
    /// Takes what there is; a second call finds nothing.
    pub fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { names: names.split(':').map(str::to_owned).collect(), sockets: ListenFd::from_env() }
    }

    /// The listening socket of this name, if one was handed over.
    ///
    /// # Errors
    /// When what was handed over is no listening TCP socket.
    pub fn socket(&mut self, name: &str) -> io::Result<Option<TcpListener>> {
        match self.names.iter().position(|known| known == name) {
            Some(place) if place < self.sockets.len() => self.sockets.take_tcp_listener(place),
            _ => Ok(None),
        }
    }
}

/// Says that the service has started; what is ordered after it may start.
pub fn ready() {
    say(b"READY=1");
}

/// Says that the service finishes what is in hand and ends by itself.
pub fn stopping() {
    say(b"STOPPING=1");
}

fn say(words: &[u8]) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = tell(&place, words) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// A path, or after an @ a name of Linux' abstract space.
fn tell(place: &OsStr, words: &[u8]) -> io::Result<()> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(place)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let name = format!("@handfast-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a name");
        let at_path = UnixDatagram::bind(&path).expect("bound");
        let at_name = UnixDatagram::bind_addr(&abstract_name).expect("bound");
        for (place, socket) in [(path.as_os_str(), at_path), (OsStr::new(&name), at_name)] {
            tell(place, b"READY=1").expect("told");
            let mut heard = [0; 16];
            let length = socket.recv(&mut heard).expect("heard");
            assert_eq!(&heard[..length], b"READY=1");
        }
    }

    #[test]
    fn nobody_there_is_an_error_and_not_the_end() {
        assert!(tell(OsStr::new("/nonexistent/notify"), b"READY=1").is_err());
    }
}
