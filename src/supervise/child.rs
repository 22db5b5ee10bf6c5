//! The node's own processes: `migrate` once, `serve` and `work` again and again.

use std::ffi::OsStr;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Node, UpError, refused};
use crate::embedded::leash::Leash;
use crate::embedded::signal;

/// A child that ran this long was well: the next pause is the shortest again.
const WELL_AFTER: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a child may take beyond the grace time that it keeps itself.
const BEYOND_GRACE: Duration = Duration::from_secs(5);

/// What a child is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// The listeners.
    Serve,
    /// The workers.
    Work,
}

impl Role {
    /// Its subcommand.
    fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Work => "work",
        }
    }
}

/// Runs `handfast migrate` to its end.
pub(super) async fn migrate(node: Node<'_>, leash: &Leash) -> Result<(), UpError> {
    let mut child =
        leash.spawn(command(node, "migrate"), libc::SIGTERM).await.map_err(refused("`handfast migrate`"))?;
    let status = child.wait().await.map_err(refused("`handfast migrate`"))?;
    if status.success() { Ok(()) } else { Err(UpError::Child { command: "migrate", status }) }
}

/// Keeps one child running until `stop`, then lets it finish within the grace time.
pub(super) async fn keep(node: Node<'_>, role: Role, leash: &Leash, stop: &CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let started = Instant::now();
        match leash.spawn(command(node, role.name()), libc::SIGTERM).await {
            Ok(mut child) => {
                let Some(ended) = stop.run_until_cancelled(child.wait()).await else {
                    return finish(child, role, node.config.delivery.grace.duration() + BEYOND_GRACE).await;
                };
                let status = ended.map(|status| status.to_string()).unwrap_or_else(|error| error.to_string());
                tracing::error!(process = role.name(), "ended by itself ({status}); starting it again in {pause:?}");
            }
            Err(error) => tracing::error!(process = role.name(), "cannot be started ({error}); again in {pause:?}"),
        }
        stop.run_until_cancelled(sleep(pause)).await;
        pause = next_pause(pause, started.elapsed());
    }
}

async fn finish(mut child: Child, role: Role, patience: Duration) {
    if let Some(pid) = child.id() {
        signal(pid, libc::SIGTERM);
    }
    if timeout(patience, child.wait()).await.is_err() {
        tracing::error!(process = role.name(), "did not finish within {patience:?}; killing it");
        let _ = child.kill().await;
    }
}

fn next_pause(pause: Duration, ran: Duration) -> Duration {
    if ran >= WELL_AFTER + pause { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) }
}

fn command(node: Node<'_>, subcommand: &str) -> Command {
    let mut command = Command::new(node.executable);
    command.arg(subcommand).stdin(std::process::Stdio::null());
    let settings: [(&str, &OsStr); 2] = [
        ("HANDFAST_DATABASE__URL", node.config.database.url.reveal().as_ref()),
        ("HANDFAST_AMQP__URL", node.config.amqp.url.reveal().as_ref()),
    ];
    command.envs(settings);
    if let Some(file) = node.config_file {
        command.env("HANDFAST_CONFIG", file);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_a_child_keeps_dying_and_are_forgotten_when_it_was_well() {
        let mut pauses = Vec::new();
        let mut pause = FIRST_PAUSE;
        for _ in 0..7 {
            pauses.push(pause.as_secs());
            pause = next_pause(pause, pause + Duration::from_millis(300));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(next_pause(LONGEST_PAUSE, LONGEST_PAUSE + WELL_AFTER), FIRST_PAUSE);
    }
}
