//! One of a node's own processes: our program with a subcommand, a settings file and a log.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::TownError;
use crate::embedded::leash::Leash;
use crate::embedded::{signal, tail};

/// The nodes' grace time of 30 s, and a little.
const PATIENCE: Duration = Duration::from_secs(35);

/// How to start processes.
pub(super) struct Starter {
    pub(super) executable: PathBuf,
    pub(super) leash: Leash,
}

/// A running process, or one whose end nobody has looked at yet.
pub(super) struct Process {
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Starter {
    /// `handfast SUBCOMMAND --config FILE`, writing to `log`.
    pub(super) async fn start(&self, subcommand: &str, config: &Path, log: PathBuf) -> Result<Process, TownError> {
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let out = open().map_err(TownError::file("open", &log))?;
        let err = out.try_clone().map_err(TownError::file("open", &log))?;
        let mut command = Command::new(&self.executable);
        command.arg(subcommand).arg("--config").arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::from(out)).stderr(Stdio::from(err));
        // Settings that lie about in the environment are meant for some other node.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HANDFAST_")) {
            command.env_remove(name);
        }
        let child = self.leash.spawn(command, libc::SIGTERM).await;
        let child = child.map_err(TownError::file("run", &self.executable))?;
        let pid = child.id().unwrap_or_default();
        Ok(Process { child, pid, log })
    }
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// An error if it has ended.
    pub(super) fn check(&mut self) -> Result<(), TownError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.ended(status)),
            _ => Ok(()),
        }
    }

    /// SIGKILL, and nothing of it is left when this returns.
    pub(super) async fn kill(mut self) {
        // It can only fail for a process that has gone.
        let _ = self.child.kill().await;
    }

    /// SIGTERM, and the grace time; then SIGKILL.
    pub(super) async fn stop(mut self) {
        if self.check().is_ok() {
            signal(self.pid, libc::SIGTERM);
            if timeout(PATIENCE, self.child.wait()).await.is_err() {
                tracing::warn!(pid = self.pid, log = %self.log.display(), "does not stop; killing it");
                self.kill().await;
            }
        }
    }

    fn ended(&self, status: std::process::ExitStatus) -> TownError {
        TownError::Ended { status, log: self.log.clone(), tail: tail(&self.log, 0) }
    }
}
