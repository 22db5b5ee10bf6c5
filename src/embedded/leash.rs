//! Processes that do not outlive us.
//!
//! The kernel can send a process a signal when the thread that started it ends (`PR_SET_PDEATHSIG`), however it ends. All
//! children are therefore started by one thread that lives as long as the [`Leash`]: a dropped leash and a `kill -9` of the
//! whole process look the same to them, and both let them shut down in their own clean way.

use std::io;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// Starts processes that get a signal when it is dropped or its process dies.
pub struct Leash {
    orders: mpsc::Sender<Order>,
}

struct Order {
    command: Command,
    signal: i32,
    answer: oneshot::Sender<io::Result<Child>>,
}

impl Leash {
    /// Must be called inside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("leash".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for mut order in inbox {
                follow_us(&mut order.command, order.signal);
                let _ = order.answer.send(order.command.spawn());
            }
        })?;
        Ok(Self { orders })
    }

    /// Starts `command` in a process group of its own (so that the terminal's Ctrl-C reaches only us), to be sent `signal`
    /// when we are gone.
    pub async fn spawn(&self, mut command: Command, signal: i32) -> io::Result<Child> {
        command.process_group(0);
        let (answer, child) = oneshot::channel();
        let gone = |_| io::Error::other("the thread that starts processes has ended");
        self.orders.send(Order { command, signal, answer }).map_err(|_| gone(()))?;
        child.await.map_err(|_| gone(()))?
    }
}

#[allow(unsafe_code, reason = "prctl between fork and exec is the only way to be told of a parent's death")]
fn follow_us(command: &mut Command, signal: i32) {
    let us = std::process::id();
    // SAFETY: the closure runs between fork and exec, calls only async-signal-safe functions and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died before the kernel was told.
            if libc::getppid() as u32 != us { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[tokio::test]
    async fn a_dropped_leash_signals_what_it_holds() {
        let leash = Leash::new().expect("a thread");
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut child = leash.spawn(command, libc::SIGINT).await.expect("sleep runs");
        drop(leash);
        assert_eq!(child.wait().await.expect("an end").signal(), Some(libc::SIGINT));
    }
}
