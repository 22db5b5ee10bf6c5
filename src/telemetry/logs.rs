//! Logs: one line per thing that happened, to standard error; as text for people, or as one JSON object a line.
//!
//! What must never be logged: bodies, codes, keys, tokens, full phone numbers, paths and query strings of requests. Types that hold
//! them print dots; libraries that would print them are held at `warn`.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that log what they carry.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,lapin=off,async_rs=error,tokio_postgres=warn,\
                     refinery_core=warn,refinery=warn,hickory_resolver=warn,hickory_proto=warn,hickory_net=warn,warp=warn";

/// Starts logging. Later calls in one process change nothing.
///
/// # Errors
/// When `log.level` is no level or filter.
pub fn start(settings: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{},{QUIET}", settings.level)).map_err(|e| format!("log.level: {e}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second subscriber (in tests) is refused, and that is all right.
    let _ = match settings.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
