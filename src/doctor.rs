//! `handfast doctor`: everything that must be right before a node can work, checked one by one, each with words.

mod machine;
mod processes;
mod services;

use std::process::ExitCode;
use std::time::Duration;

use http::{HeaderMap, Method};
use jiff::Timestamp;

use crate::config::{Config, Mode};
use crate::crypto::NodeKeys;
use crate::db::Db;
use crate::failure::chain;
use crate::outbound::{AnswerLimit, Call, Outbound, Redirects, Target};
use crate::{queue, supervise, tls};

/// More than this and a peer's 60-second windows are in danger.
const SKEW: Duration = Duration::from_secs(5);
/// A certificate that ends sooner than this is worth a word.
const EXPIRING: Duration = Duration::from_secs(14 * 86_400);

/// What one check found.
pub enum Finding {
    /// As it should be.
    Good(String),
    /// Must be mended; says how.
    Wrong(String),
    /// Nothing to check, or nothing to be sure of.
    Note(String),
}
use Finding::{Good, Note, Wrong};

/// Runs every check and prints a line each. Fails when something is wrong.
pub async fn examine(config: anyhow::Result<Config>) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(error) => return report(&[("configuration", Wrong(format!("{error:#}")))]),
    };
    let findings = [
        ("configuration", configuration(&config)),
        ("node key", node_key(&config)),
        ("certificate", certificate(&config)),
        ("database", database(&config).await),
        ("broker", broker(&config).await),
        ("broker version", machine::broker_version(&config).await),
        ("clock", clock(&config).await),
        ("disk", machine::disk(&config)),
        ("node", node(&config).await),
        ("workers", processes::workers(&config).await),
        ("keys in use", processes::keys(&config).await),
        ("codes", services::codes(&config).await),
        ("push", services::push(&config)),
        ("reachable", reachable(&config).await),
    ];
    report(&findings)
}

/// Prints a line each; fails when something is wrong.
pub fn report(findings: &[(&'static str, Finding)]) -> ExitCode {
    let mut all_good = true;
    for (what, finding) in findings {
        let (mark, words) = match finding {
            Good(words) => ("ok   ", words),
            Note(words) => ("note ", words),
            Wrong(words) => {
                all_good = false;
                ("WRONG", words)
            }
        };
        println!("{mark}  {what:<14} {words}");
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn configuration(config: &Config) -> Finding {
    match config.mode {
        Mode::Production => Good(format!("{}, production", config.domain)),
        Mode::Development => Note(format!("{}, development: not for strangers", config.domain)),
    }
}

fn node_key(config: &Config) -> Finding {
    let file = config.keys_file();
    if !file.exists() {
        return Note(format!("{} does not exist yet; `handfast up` makes it", file.display()));
    }
    match NodeKeys::load(&file) {
        Ok(keys) => Good(format!("{}, key {} seals", file.display(), keys.current())),
        Err(error) => Wrong(error.to_string()),
    }
}

fn certificate(config: &Config) -> Finding {
    let (Some(cert), Some(key)) = (&config.public.tls_cert, &config.public.tls_key) else {
        return Note("none: the public listener speaks plain HTTP, a proxy must speak TLS in front of it".into());
    };
    let info = match tls::check_certificate(cert, key) {
        Ok(info) => info,
        Err(error) => return Wrong(error.to_string()),
    };
    let left = info.not_after.duration_since(Timestamp::now());
    let covers = info.names.iter().any(|name| covers(name, &config.domain));
    if !covers {
        return Wrong(format!("it is for {}, not for {}", info.names.join(", "), config.domain));
    }
    match Duration::try_from(left) {
        Err(_) => Wrong(format!("it ended on {}", info.not_after)),
        Ok(left) if left < EXPIRING => Note(format!("it ends on {}", info.not_after)),
        Ok(_) => Good(format!("for {}, until {}", info.names.join(", "), info.not_after)),
    }
}

/// A certificate's name covers a domain: equal, or a wildcard for its first label.
fn covers(name: &str, domain: &str) -> bool {
    let wildcard = name.strip_prefix("*.").and_then(|parent| domain.split_once('.').map(|(_, rest)| rest == parent));
    name.eq_ignore_ascii_case(domain) || wildcard == Some(true)
}

async fn database(config: &Config) -> Finding {
    if config.database.url.is_empty() {
        return Note("database.url is empty: `handfast up` brings its own".into());
    }
    let checked = async {
        let db = Db::new(&config.database)?;
        db.now().await?;
        db.check_schema().await
    };
    match checked.await {
        Ok(()) => Good("answers, and its schema is this program's".into()),
        Err(error) => Wrong(chain(&error)),
    }
}

async fn broker(config: &Config) -> Finding {
    if config.amqp.url.is_empty() {
        return Note("amqp.url is empty: `handfast up` brings its own".into());
    }
    match tokio::time::timeout(Duration::from_secs(15), queue::check(&config.amqp)).await {
        Ok(Ok(())) => Good(format!("answers, and the queues {}.v1.… are as they should be", config.amqp.prefix)),
        Ok(Err(error)) => Wrong(error),
        Err(_) => Wrong("no answer within 15 s".into()),
    }
}

async fn clock(config: &Config) -> Finding {
    if config.database.url.is_empty() {
        return Note("compared with the database's, which is not set".into());
    }
    let Ok(db) = Db::new(&config.database) else { return Note("no database to compare with".into()) };
    let Ok(theirs) = db.now().await else { return Note("no database to compare with".into()) };
    let off = Timestamp::now().duration_since(theirs).unsigned_abs();
    let words = format!("{} ms off the database's", off.as_millis());
    if off > SKEW { Wrong(format!("{words}; peers refuse messages that are 60 s off")) } else { Good(words) }
}

/// Whether it runs, and what it says of itself: behind an embedded pair the node is the only one who knows.
async fn node(config: &Config) -> Finding {
    let at = config.private.listen;
    match supervise::state(config).await {
        Some(true) => Good(format!("runs at {at}, with database, broker and worker")),
        Some(false) => Wrong(format!("runs at {at}, and is not ready: http://{at}/readyz says what is missing")),
        None => Note(format!("nothing answers at {at}: it does not run on this machine")),
    }
}

/// Asks our own domain, as a peer would: DNS, firewall, certificate and proxy in one.
async fn reachable(config: &Config) -> Finding {
    let ask = async {
        let target = Target::new(&config.domain, "/openmsg/message-confirm/").map_err(|e| e.to_string())?;
        let outbound = Outbound::new(config).map_err(|e| e.to_string())?;
        let call = Call {
            target,
            method: Method::POST,
            headers: HeaderMap::new(),
            body: "{}".into(),
            timeout: Duration::from_secs(10),
            redirects: Redirects::None,
            answer: AnswerLimit::Cut(1024),
        };
        outbound.call(call).await.map_err(|e| e.to_string())
    };
    let path = format!("https://{}/openmsg/", config.domain);
    match ask.await {
        Ok(answer) if answer.status == 200 && answer.body.windows(7).any(|w| w == b"SM_E000") => {
            Good(format!("{path} answers as an Openmsg node"))
        }
        Ok(answer) => Wrong(format!("{path} answers with status {}, not as an Openmsg node", answer.status)),
        Err(error) => Wrong(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn names_cover_domains() {
        for (name, domain, does) in [
            ("a.example", "a.example", true),
            ("A.example", "a.example", true),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "example.org", false),
            ("b.example", "a.example", false),
        ] {
            assert_eq!(covers(name, domain), does, "{name} {domain}");
        }
    }
}
