//! `handfast up`: everything on one machine with one command.
//!
//! Starts the private servers that no URL was set for, migrates, and keeps one `serve` and one `work` process running. A child
//! that dies is started again, after a pause that grows from 1 to 30 seconds while it keeps dying. SIGTERM or SIGINT stops the
//! children, waits for their grace time, then stops the servers.
//!
//! Leaves out: more than one process of a kind and more than one machine. That is for systemd and compose, with `serve` and
//! `work` themselves.

mod child;
pub(crate) mod readiness;

pub use readiness::state;

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::embedded::leash::Leash;
use crate::embedded::{Pair, PairError, Wanted, make_dir, we_are_root};
use child::Role;

/// How often the private servers are looked at.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Database and vhost of the embedded pair.
const NAME: &str = "handfast";

/// What to run.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Checked settings.
    pub config: &'a Config,
    /// Our own program, run again as `migrate`, `serve` and `work`.
    pub executable: &'a Path,
    /// The file the settings came from; children are told by `HANDFAST_CONFIG`.
    pub config_file: Option<&'a Path>,
}

/// Why `up` could not go on.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The private servers.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A child that must succeed did not.
    #[error("`handfast {command}` failed ({status}); its own words are above")]
    Child {
        /// The subcommand.
        command: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The operating system refused a process, a thread or a signal handler.
    #[error("cannot run {what}: {source}")]
    System {
        /// What was to run.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// One of the caller's own steps.
    #[error("{0:#}")]
    Step(anyhow::Error),
}

/// Runs the node until SIGTERM or SIGINT; returns when everything has stopped.
///
/// `prepare` runs once the data directory exists and before anything is started (node keys); `migrated` runs when the schema
/// is there and before `serve` is, with the settings that the children get (first API key). Both must do nothing where
/// nothing is missing.
pub async fn up(
    node: Node<'_>,
    prepare: impl FnOnce(&Config) -> anyhow::Result<()>,
    migrated: impl AsyncFnOnce(&Config) -> anyhow::Result<()>,
) -> Result<(), UpError> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(refused("a signal handler"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused("a signal handler"))?;
    let watch = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: what is in hand is finished first");
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = up_until(node, &stop, prepare, migrated) => done,
        () = watch => Ok(()),
    }
}

/// As [`up`], until `stop` is cancelled instead of until a signal.
pub async fn up_until(
    node: Node<'_>,
    stop: &CancellationToken,
    prepare: impl FnOnce(&Config) -> anyhow::Result<()>,
    migrated: impl AsyncFnOnce(&Config) -> anyhow::Result<()>,
) -> Result<(), UpError> {
    // Root's is passable, because the servers' own user must get to its part; every secret file in it is closed by itself.
    make_dir(&node.config.data_dir, if we_are_root() { 0o711 } else { 0o700 })?;
    prepare(node.config).map_err(UpError::Step)?;
    let mut config = node.config.clone();
    let started = tokio::select! {
        started = start_servers(&mut config) => started?,
        // Dropped half-way, the servers are told to go by themselves.
        () = stop.cancelled() => return Ok(()),
    };
    let node = Node { config: &config, ..node };
    let ended = run(node, started.as_ref(), stop, migrated).await;
    if let Some(pair) = started {
        pair.stop().await?;
    }
    ended
}

/// Starts what has no URL and fills the URL in.
async fn start_servers(config: &mut Config) -> Result<Option<Pair>, PairError> {
    let wanted = Wanted { database: config.database.url.is_empty(), broker: config.amqp.url.is_empty() };
    if !wanted.database && !wanted.broker {
        return Ok(None);
    }
    let pair = Pair::start_only(&config.data_dir.join("pair"), wanted).await?;
    if wanted.database {
        pair.ensure_database(NAME).await?;
        config.database.url = pair.database_url(NAME);
    }
    if wanted.broker {
        pair.ensure_vhost(NAME).await?;
        config.amqp.url = pair.amqp_url(NAME);
    }
    Ok(Some(pair))
}

async fn run(
    node: Node<'_>,
    pair: Option<&Pair>,
    stop: &CancellationToken,
    migrated: impl AsyncFnOnce(&Config) -> anyhow::Result<()>,
) -> Result<(), UpError> {
    let leash = Leash::new().map_err(refused("a thread"))?;
    let begun = async {
        child::migrate(node, &leash).await?;
        migrated(node.config).await.map_err(UpError::Step)
    };
    tokio::select! { begun = begun => begun?, () = stop.cancelled() => return Ok(()) }
    tokio::join!(
        child::keep(node, Role::Serve, &leash, stop),
        child::keep(node, Role::Work, &leash, stop),
        tend(pair, stop),
        readiness::announce(node.config, stop),
    );
    Ok(())
}

/// Starts a private server again that has died, with a log line that says so.
async fn tend(pair: Option<&Pair>, stop: &CancellationToken) {
    let Some(pair) = pair else { return };
    while stop.run_until_cancelled(tokio::time::sleep(TEND_EVERY)).await.is_some() {
        // Not interrupted: a server that is being started must be known when the pair is stopped.
        match pair.tend().await {
            Ok(revived) => revived.iter().for_each(|server| tracing::warn!(server, "had died and was started again")),
            Err(error) => tracing::error!("a private server has died and does not start again: {error}"),
        }
    }
}

fn refused(what: &'static str) -> impl FnOnce(std::io::Error) -> UpError {
    move |source| UpError::System { what, source }
}
