//! Logs: one line per thing that happened, to standard error; as text for people, or as one JSON object a line.
//!
//! What must never be logged: bodies, codes, keys, tokens, full phone numbers, paths and query strings of requests. Types that hold
//! them print dots; libraries that would print them are held at `warn`.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that log what they carry.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,lapin=off,async_rs=error,tokio_postgres=warn,\
                     refinery_core=warn,refinery=warn,hickory_resolver=warn,hickory_proto=warn,hickory_net=warn,warp=warn";

/// Whether lines are objects.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// The last word of a program that fails: in the form of the log, once that is known.
pub fn failed(error: &anyhow::Error) {
    if AS_JSON.load(Ordering::Relaxed) {
        tracing::error!("{error:#}");
    } else {
        eprintln!("handfast: {error:#}");
    }
}

/// Starts logging. Later calls in one process change nothing.
///
/// # Errors
/// When `log.level` is no level or filter.
pub fn start(settings: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{},{QUIET}", settings.level)).map_err(|e| format!("log.level: {e}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    AS_JSON.store(settings.format == LogFormat::Json, Ordering::Relaxed);
    if settings.format == LogFormat::Json {
        // Whoever reads objects line by line shall find the panics among them.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{}", panic.to_string().replace('\n', " "))));
    }
    // A second subscriber (in tests) is refused, and that is all right.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
