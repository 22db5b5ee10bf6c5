//! `handfast pair`: a pair for the life of one command. What the tests and the chaos scripts run under.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitStatus;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::process::signal as send;
use super::{Pair, PairError};

/// Database and vhost that the command finds ready.
const NAME: &str = "handfast";

/// Starts a pair in `data`, runs `command` with its addresses in the environment, stops the pair; with the command's exit code
/// (128 and the signal's number where it was killed).
///
/// The command finds `HANDFAST_TEST_DATABASE_URL`, `HANDFAST_TEST_AMQP_URL` and `HANDFAST_TEST_PAIR_DIR`. SIGTERM and SIGHUP are
/// passed on to it; SIGINT comes from a terminal, which sends it to the command as well, so it only must not end us first.
/// Unless `keep`, all that the pair made in `data` is deleted at the end.
pub async fn run(data: &Path, keep: bool, command: &[OsString]) -> Result<u8, PairError> {
    let pair = Pair::start(data).await?;
    let code = run_in(&pair, data, command).await;
    if keep {
        pair.stop().await?
    } else {
        pair.remove().await?
    }
    code
}

async fn run_in(pair: &Pair, data: &Path, command: &[OsString]) -> Result<u8, PairError> {
    pair.ensure_database(NAME).await?;
    pair.ensure_vhost(NAME).await?;
    let Some((program, arguments)) = command.split_first() else { return Ok(0) };
    let not_run = |source| PairError::Run { program: program.to_string_lossy().into_owned(), source };
    let child = Command::new(program)
        .args(arguments)
        .env("HANDFAST_TEST_DATABASE_URL", pair.database_url(NAME).reveal())
        .env("HANDFAST_TEST_AMQP_URL", pair.amqp_url(NAME).reveal())
        .env("HANDFAST_TEST_PAIR_DIR", data)
        .spawn()
        .map_err(not_run)?;
    wait(child).await.map(exit_code).map_err(not_run)
}

async fn wait(mut child: Child) -> std::io::Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let pid = child.id().unwrap_or_default();
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => send(pid, libc::SIGTERM),
            _ = hang_up.recv() => send(pid, libc::SIGHUP),
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn exit_codes_are_the_shells() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
    }
}
