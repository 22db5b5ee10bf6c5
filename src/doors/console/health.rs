//! How the node is, in a strip on every page.

use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::doors::Serve;
use crate::doors::health::{Missing, readiness};

/// A look is shown for so long, whoever asks.
const FRESH: Duration = Duration::from_secs(1);

/// Remembers the last look for a moment; cheap to clone.
#[derive(Clone)]
pub(super) struct Health {
    serve: Serve,
    last: Arc<Mutex<Option<(Instant, Vec<Missing>)>>>,
}

impl Health {
    pub(super) fn new(serve: &Serve) -> Self {
        Self { serve: serve.clone(), last: Arc::default() }
    }

    /// What is missing, at most a second ago. Who asks while another looks waits for that look.
    pub(super) async fn missing(&self) -> Vec<Missing> {
        let mut last = self.last.lock().await;
        match last.as_ref() {
            Some((at, missing)) if at.elapsed() < FRESH => missing.clone(),
            _ => {
                let missing = readiness(&self.serve).await;
                *last = Some((Instant::now(), missing.clone()));
                missing
            }
        }
    }
}

/// The strip: words, and a dot whose colour and shape say the same.
pub(super) fn strip(missing: &[Missing]) -> Markup {
    let database = !missing.contains(&Missing::Database);
    let entry = |what: &str, well: bool, words: &str| {
        html! { li { span class={ "dot " (if well { "good" } else { "bad" }) } { (what) " " (words) } } }
    };
    html! {
        ul aria-label="How the node is" {
            (entry("Database", database, if database { "answers" } else { "is away" }))
            @let broker = !missing.contains(&Missing::Broker);
            (entry("Broker", broker, if broker { "is connected" } else { "is away" }))
            @if database {
                @let workers = !missing.contains(&Missing::Worker);
                (entry("Workers", workers, if workers { "are alive" } else { "are missing" }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strip_says_what_is_missing_in_words() {
        let said = |missing: &[Missing]| strip(missing).into_string();
        assert!(!said(&[]).contains("bad") && said(&[]).contains("Workers are alive"));
        assert!(said(&[Missing::Worker]).contains("Workers are missing"));
        let away = said(&[Missing::Database, Missing::Broker]);
        assert!(away.contains("Database is away") && away.contains("Broker is away") && !away.contains("Workers"));
    }
}
