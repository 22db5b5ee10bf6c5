//! The benchmark's own processes: sink, loader and bare loop are this executable once more, so that the CPU time of each is
//! counted by the kernel.
//!
//! Orders and answers are a line of JSON each, over the process's standard input and output. A part ends when its input does,
//! so none outlives the benchmark.

use std::process::Stdio;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "part";

/// A part, seen from the benchmark.
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Part {
    /// Starts it.
    pub(crate) fn start(name: &'static str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SUBCOMMAND, name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C of the terminal is the benchmark's to handle.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("the {name} cannot be started"))?;
        let orders = child.stdin.take().context("no way to give orders")?;
        let answers = child.stdout.take().context("no way to hear answers")?;
        Ok(Self { name, child, orders, answers: BufReader::new(answers).lines() })
    }

    /// Gives an order and waits for its answer.
    pub(crate) async fn ask<A: DeserializeOwned>(&mut self, order: &impl Serialize) -> anyhow::Result<A> {
        let line = format!("{}\n", serde_json::to_string(order)?);
        self.orders.write_all(line.as_bytes()).await.with_context(|| format!("the {} has ended", self.name))?;
        let answer = self.answers.next_line().await?.with_context(|| format!("the {} has ended", self.name))?;
        let answer: Result<A, String> = serde_json::from_str(&answer)?;
        answer.map_err(|problem| anyhow::anyhow!("{}: {problem}", self.name))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// The orders, seen from the part.
pub(crate) struct Orders(mpsc::UnboundedReceiver<String>);

impl Orders {
    /// Reads on a thread of its own, which sleeps while nothing is ordered.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let lines = std::io::stdin().lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).find(Result::is_err)
        });
        Self(receiver)
    }

    /// The next one; `None` when the benchmark has ended.
    pub(crate) async fn next<O: DeserializeOwned>(&mut self) -> anyhow::Result<Option<O>> {
        let line = self.0.recv().await;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }
}

/// Answers the last order.
pub(crate) fn answer(result: anyhow::Result<impl Serialize>) -> anyhow::Result<()> {
    let result = result.map_err(|error| format!("{error:#}"));
    println!("{}", serde_json::to_string(&result)?);
    Ok(())
}
