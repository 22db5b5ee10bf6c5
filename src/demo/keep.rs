//! `--keep`: the nodes must outlive the command that was typed, so a second process plays and stays, and the first one only
//! passes on what it says.
//!
//! The second one's output comes to us through pipes (its bars straight to the terminal, where there is one): whoever reads our
//! output to its end would otherwise wait for as long as the nodes run. A line of its own ends the story.

use std::io::IsTerminal;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::DemoError;
use crate::embedded::signal;

/// What the second process says when it has told everything; no text of ours looks like this.
const GOOD: &str = "\u{4}good";
const BAD: &str = "\u{4}bad";

/// Second process: everything was said.
pub(super) fn done(good: bool) {
    println!("{}", if good { GOOD } else { BAD });
}

/// First process: plays by a second one, and leaves it behind; true if the closing table is as it should be.
pub(super) async fn relay() -> Result<bool, DemoError> {
    let stop = crate::run::stop_on_signal().map_err(DemoError::system("watch for signals"))?;
    let mut child = second().map_err(DemoError::system("run the program again"))?;
    if let Some(words) = child.stderr.take() {
        tokio::spawn(pass_on(words));
    }
    let Some(story) = child.stdout.take() else { return Err(DemoError::Stopped) };
    let mut lines = BufReader::new(story).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(DemoError::system("read the nodes' story"))?,
            () = stop.cancelled() => return end(child).await,
        };
        match line.as_deref() {
            Some(GOOD) => return Ok(true),
            Some(BAD) => return Ok(false),
            Some(text) => println!("{text}"),
            // It has ended, and said why.
            None => {
                let status = child.wait().await.map_err(DemoError::system("wait for the nodes"))?;
                return Ok(status.success());
            }
        }
    }
}

fn second() -> std::io::Result<Child> {
    let errors = if std::io::stderr().is_terminal() { Stdio::inherit() } else { Stdio::piped() };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--hold");
    // A group of its own: Ctrl-C in the terminal is for whatever runs there later.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).process_group(0).spawn()
}

async fn pass_on(words: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(words).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
    }
}

async fn end(mut child: Child) -> Result<bool, DemoError> {
    if let Some(pid) = child.id() {
        signal(pid, libc::SIGTERM);
    }
    child.wait().await.map_err(DemoError::system("wait for the nodes"))?;
    Err(DemoError::Stopped)
}
