//! One server process: started, watched, stopped, killed, and found again after its starter was killed.
//!
//! Every server's process id is kept in a file together with the time the kernel says it was started, so that a number that
//! was given to another process meanwhile is never signalled.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::PairError;
use super::owner::{failed, write_file};
use super::site::Site;

/// Longest wait for a clean shutdown (a PostgreSQL checkpoint on a slow disk) before SIGKILL.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at again.
pub(super) const GLANCE: Duration = Duration::from_millis(25);
/// A log longer than this is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;

/// What a server is called and how it is asked to go.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// For people.
    pub(super) name: &'static str,
    /// For files.
    pub(super) file: &'static str,
    /// The signal that means "shut down cleanly, without waiting for clients".
    pub(super) gentle: i32,
}

/// PostgreSQL; SIGINT is its fast shutdown.
pub(super) const POSTGRES: Kind = Kind { name: "PostgreSQL", file: "postgres", gentle: libc::SIGINT };
/// RabbitMQ's Erlang machine.
pub(super) const RABBITMQ: Kind = Kind { name: "RabbitMQ", file: "rabbitmq", gentle: libc::SIGTERM };
/// Erlang's name service.
pub(super) const EPMD: Kind = Kind { name: "epmd", file: "epmd", gentle: libc::SIGTERM };

/// A running server, or one whose end has not been looked at yet.
pub(super) struct Server {
    kind: Kind,
    child: Child,
    pid: u32,
    pid_file: PathBuf,
    log: PathBuf,
    /// Length of the log when it was started: what stands before is about an earlier life.
    log_start: u64,
}

impl Server {
    /// Starts `command`, its output going to the server's log.
    pub(super) async fn start(site: &Site, kind: Kind, mut command: Command) -> Result<Self, PairError> {
        let log = site.log().join(format!("{}.log", kind.file));
        let file = open_log(&log).map_err(failed("open", &log))?;
        let log_start = file.metadata().map_err(failed("look at", &log))?.len();
        let twin = file.try_clone().map_err(failed("open", &log))?;
        command.stdout(Stdio::from(file)).stderr(Stdio::from(twin));
        let not_run = |source| PairError::Run { program: kind.name.to_owned(), source };
        let child = site.leash().spawn(command, kind.gentle).await.map_err(not_run)?;
        let pid = child.id().unwrap_or_default();
        let pid_file = site.run().join(format!("{}.pid", kind.file));
        let started = Stat::read(pid).map(|stat| stat.started).unwrap_or_default();
        write_file(&pid_file, &format!("{pid} {started}\n"), 0o600)?;
        Ok(Self { kind, child, pid, pid_file, log, log_start })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Calls `answers` again and again until it says yes; an error when the server ends before that, or time is up.
    pub(super) async fn wait_until(
        &mut self,
        limit: Duration,
        answers: impl AsyncFn() -> bool,
    ) -> Result<(), PairError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Err(self.not_ready(format!("ended while starting ({status})")));
            }
            if timeout(Duration::from_secs(5), answers()).await == Ok(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("did not answer within {} s", limit.as_secs())));
            }
            sleep(GLANCE).await;
        }
    }

    /// Asks it to go and waits; kills it when it will not.
    pub(super) async fn stop(mut self) -> Result<(), PairError> {
        if self.ended().is_none() {
            signal(self.pid, self.kind.gentle);
            if timeout(PATIENCE, self.child.wait()).await.is_err() {
                tracing::warn!(server = self.kind.name, "does not stop within {} s; killing it", PATIENCE.as_secs());
                return self.kill().await;
            }
        }
        let _ = fs::remove_file(&self.pid_file);
        Ok(())
    }

    /// SIGSTOP or SIGCONT for it and everything it started.
    pub(super) fn freeze(&self, frozen: bool) {
        let what = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        // It first: what is stopped starts no more.
        family(self.pid).iter().for_each(|member| signal(member.pid, what));
    }

    /// SIGKILL for it and everything it started; returns when all of them are gone.
    pub(super) async fn kill(mut self) -> Result<(), PairError> {
        let family = family(self.pid);
        for member in &family {
            signal(member.pid, libc::SIGKILL);
        }
        let _ = self.child.wait().await;
        gone(&family, PATIENCE).await;
        let _ = fs::remove_file(&self.pid_file);
        Ok(())
    }

    fn not_ready(&self, what: String) -> PairError {
        PairError::NotReady {
            server: self.kind.name,
            what,
            log: self.log.clone(),
            tail: tail(&self.log, self.log_start),
        }
    }
}

/// Stops what a killed starter left running: the kernel has told them to go already, but they may still be at it.
pub(super) async fn stop_leftovers(run: &Path) -> Result<(), PairError> {
    for kind in [RABBITMQ, POSTGRES, EPMD] {
        let pid_file = run.join(format!("{}.pid", kind.file));
        let Some(left) = fs::read_to_string(&pid_file).ok().and_then(|text| still_running(&text)) else { continue };
        tracing::info!(
            server = kind.name,
            pid = left.pid,
            "was left running by a process that was killed; stopping it"
        );
        let family = family(left.pid);
        signal(left.pid, kind.gentle);
        if !gone(&[left], PATIENCE).await {
            signal(left.pid, libc::SIGKILL);
        }
        family.iter().skip(1).for_each(|member| signal(member.pid, libc::SIGKILL));
        gone(&family, PATIENCE).await;
        fs::remove_file(&pid_file).map_err(failed("delete", &pid_file))?;
    }
    Ok(())
}

/// Sends a signal; a process that has gone meanwhile is no error.
#[allow(unsafe_code, reason = "the standard library can only kill, not ask")]
pub fn signal(pid: u32, signal: i32) {
    let Ok(pid @ 1..) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill takes two numbers and touches no memory of ours; `pid` is positive, so it names one process.
    unsafe { libc::kill(pid, signal) };
}

/// The last lines of a log after its first `start` bytes, bounded.
pub(crate) fn tail(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 << 10).max(start)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(last_lines(&String::from_utf8_lossy(&end), 15))
    };
    read().unwrap_or_else(|error| format!("(unreadable: {error})"))
}

/// What the kernel says of a process; only a pair of id and start time names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    started: u64,
}

impl Stat {
    /// Nothing for a process that does not exist or has ended and merely waits to be collected.
    fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (name) state ppid … starttime …`, proc(5); the name may hold blanks and brackets.
    fn parse(pid: u32, text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let alive = !matches!(*fields.first()?, "Z" | "X");
        let stat = Self { pid, parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? };
        alive.then_some(stat)
    }

    fn is_running(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

fn still_running(pid_file: &str) -> Option<Stat> {
    let (pid, started) = pid_file.trim().split_once(' ')?;
    Stat::read(pid.parse().ok()?).filter(|stat| started.parse() == Ok(stat.started))
}

/// A process, first, and all below it.
fn family(pid: u32) -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Stat> = entries.filter_map(|entry| Stat::read(entry.file_name().to_str()?.parse().ok()?)).collect();
    let mut family: Vec<Stat> = all.iter().filter(|stat| stat.pid == pid).copied().collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|stat| stat.pid) {
        family.extend(all.iter().filter(|stat| stat.parent == parent));
        next += 1;
    }
    family
}

async fn gone(processes: &[Stat], limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while processes.iter().any(Stat::is_running) {
        if Instant::now() > deadline {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if fs::metadata(path).is_ok_and(|of| of.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The last `count` lines, indented.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_process_is_called() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(Stat::parse(42, line), Some(Stat { pid: 42, parent: 7, started: 987_654 }));
        assert_eq!(Stat::parse(42, &line.replace(") S ", ") Z ")), None, "a zombie is gone");
        assert_eq!(Stat::parse(42, "42 (short) S 7"), None);
    }

    #[test]
    fn a_process_number_given_away_again_is_not_taken_for_ours() {
        let us = Stat::read(std::process::id()).expect("we run");
        assert_eq!(still_running(&format!("{} {}\n", us.pid, us.started)), Some(us));
        assert_eq!(still_running(&format!("{} {}\n", us.pid, us.started + 1)), None);
        assert_eq!(still_running("nonsense"), None);
    }

    #[test]
    fn only_the_end_of_a_log_is_quoted() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "    b\n    c\n");
        assert_eq!(last_lines("", 2), "");
    }
}
