//! One process of the node.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::secrets;

/// The settings file's name in the node's folder.
pub(super) const SETTINGS: &str = "handfast.toml";

/// Lines of a log that are worth showing.
const TAIL: usize = 60;

/// Longest wait for a process to end after SIGTERM: longer than `delivery.grace`.
const FAREWELL: Duration = Duration::from_secs(40);

/// Killed when dropped.
pub(crate) struct Process {
    child: Child,
    command: &'static str,
}

impl Process {
    /// Starts a subcommand with the settings in `dir`; its output goes to a file there.
    pub(crate) fn start(command: &'static str, dir: &Path) -> Self {
        Self::start_with(command, dir, &[])
    }

    /// The same with settings from the environment, which go before those in `dir`.
    pub(super) fn start_with(command: &'static str, dir: &Path, settings: &[(&str, String)]) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log_file(dir, command)).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_handfast"))
            .args([command, "--config", SETTINGS])
            .current_dir(dir)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self { child, command }
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a signal by name, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid().expect("a running process").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill runs");
        assert!(sent.success(), "{} took no SIG{name}", self.command);
    }

    /// SIGKILL, and waits for its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// Unless it ends by itself with exit code 0.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(FAREWELL, self.child.wait()).await;
        let status =
            ended.unwrap_or_else(|_| panic!("{} did not end after SIGTERM", self.command)).expect("waited for");
        assert!(status.success(), "{} ended with {status} after SIGTERM", self.command);
    }

    /// Waits until it has ended by itself; how.
    pub(crate) async fn ended(mut self) -> std::process::ExitStatus {
        let ended = tokio::time::timeout(FAREWELL, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end", self.command)).expect("waited for")
    }

    pub(super) fn assert_running(&mut self) {
        let ended = self.child.try_wait().expect("asked for");
        assert!(ended.is_none(), "{} has ended: {ended:?}", self.command);
    }
}

pub(super) fn log_file(dir: &Path, command: &str) -> PathBuf {
    secrets::log_file(dir, command)
}

/// Prints the last lines of both logs.
pub(super) fn show_tails(dir: &Path) {
    for command in ["serve", "work"] {
        let log = fs::read_to_string(log_file(dir, command)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- {command}.log\n{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"));
    }
}
