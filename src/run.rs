//! The two processes: `serve` (the doors) and `work` (the workers). Any number of each may run, on any number of machines.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::App;
use crate::attachments::Attachments;
use crate::books::Acceptor;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::NodeKeys;
use crate::db::Db;
use crate::doors::{self, Serve};
use crate::listen::{Listener, Settings};
use crate::queue::{Asker, Publisher};
use crate::service::{self, Handed};
use crate::telemetry::{metrics, traces};

/// How long what says farewell may take at the end.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(3);

impl App {
    /// Opens keys and database, checks that they belong together and that the schema is known, and sets the clock.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let keys = NodeKeys::load(&config.keys_file())?;
        let db = Db::new(&config.database)?;
        let app = Self { config: Arc::new(config), clock: Clock::system(), db, keys: Arc::new(keys) };
        app.db.check_schema().await?;
        let (truth, took) = app.db.now_and_how_long_it_took().await?;
        app.clock.follow(truth + took / 2);
        crate::keyring::check(&app).await?;
        Ok(app)
    }
}

/// The ingress: both listeners, until `stop`. Makes no outbound HTTP call.
pub async fn serve(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    crate::listen::raise_limit();
    metrics::begin();
    traces::begin(&app.config, "serve")?;
    let mut handed = Handed::take();
    let public = listener(&mut handed, "public", Settings::public(&app.config)).await?;
    let private = listener(&mut handed, "private", Settings::private(&app.config)).await?;
    let (public_at, private_at) = (public.local_addr(), private.local_addr());
    // Requests in hand still need the broker while the listeners finish.
    let end = CancellationToken::new();
    let _ended = end.clone().drop_guard();
    tokio::spawn(crate::workers::keep_time::run(app.clone(), end.clone()));
    let keys = tokio::spawn(crate::workers::keep_keys::run(app.clone(), "serve", end.clone()));
    // A node that was off for long must not put its first row outside every week.
    if let Err(error) = crate::workers::keep_partitions::round(&app).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "partitions could not be made; a worker tries again");
    }
    let counts = tokio::spawn(crate::overview::activity::keep(app.clone(), end.clone()));
    let publisher = Publisher::start(&app, end.clone());
    let asker = Asker::start(&app, end.clone());
    let acceptor = Acceptor::start(&app, &publisher);
    let files = app.config.textsecure.enabled.then(|| Attachments::new(&app)).transpose()?;
    let overview = crate::overview::Watch::new(&app);
    let mailbox = crate::mailbox::Mailbox::new(&app);
    let for_doors = Serve { app: app.clone(), acceptor, publisher, asker, overview, mailbox, stopping: stop.clone() };
    let strangers = doors::public_routes(&for_doors, files.as_ref())?;
    let ours = doors::private_routes(for_doors);
    tracing::info!(public = %public_at, private = %private_at, domain = app.config.domain, "serving");
    let strangers = doors::observed("public", warp::service(strangers));
    let ours = doors::observed("private", warp::service(ours));
    service::ready();
    tokio::join!(public.serve(strangers, stop.clone()), private.serve(ours, stop));
    end.cancel();
    let _ = counts.await;
    let _ = tokio::time::timeout(FAREWELL, keys).await;
    traces::end().await;
    tracing::info!("served everything in hand");
    Ok(())
}

async fn listener(handed: &mut Handed, name: &str, settings: Settings) -> anyhow::Result<Listener> {
    match handed.socket(name)? {
        Some(socket) => Ok(Listener::on(socket, settings)?),
        None => Ok(Listener::bind(settings).await?),
    }
}

/// The workers, until `stop`.
pub async fn work(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    crate::listen::raise_limit();
    metrics::begin();
    traces::begin(&app.config, "work")?;
    let end = CancellationToken::new();
    if let Some(own) = Settings::work(&app.config) {
        let own = Listener::bind(own).await?;
        tracing::info!(at = %own.local_addr(), "metrics of this worker");
        tokio::spawn(own.serve(warp::service(doors::metrics::worker_routes(&app)), end.clone()));
    }
    let counts = tokio::spawn(crate::overview::activity::keep(app.clone(), end.clone()));
    service::ready();
    let worked = crate::worker::start(app, stop).await;
    end.cancel();
    let _ = counts.await;
    traces::end().await;
    worked?;
    tracing::info!("worked off everything in hand");
    Ok(())
}

/// Cancelled by SIGTERM or SIGINT.
pub fn stop_on_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("asked to stop: finishing what is in hand");
        service::stopping();
        told.cancel();
    });
    Ok(stop)
}
