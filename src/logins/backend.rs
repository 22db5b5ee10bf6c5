//! What an application's own back end is asked, by way of a worker: the ingress calls nobody.

use jiff::Timestamp;

use super::{Address, Application, Logins, Origin};
use crate::jobs::{Ask, BackendAnswer, BackendCall, CallBackend, Elsewhere, Reply};
use crate::queue::AskError;

/// Longest word of a back end that is passed on.
const LONGEST_WORD: usize = 64;
/// A worker's words for a call that it has not made: too many were under way, or its time was over.
const NOT_ASKED: [&str; 2] = ["busy", "late"];
/// A call has so much longer to get to a worker and back.
const ON_THE_WAY: std::time::Duration = std::time::Duration::from_secs(5);

/// What it answered.
pub(super) enum Said {
    /// What was asked for.
    Done(BackendAnswer),
    /// No, and it will say so again.
    Refused(String),
    /// Nothing: nobody asked it.
    NotAsked,
    /// Nothing that could be used; nobody is calling any more.
    Nothing,
    /// Nothing in time: somebody may still be calling, until the deadline.
    Late,
}

impl Logins {
    /// Until when a call that is asked for now may be made.
    pub(super) fn deadline(&self) -> Timestamp {
        self.app.clock.now() + self.app.config.mesibo.backend_timeout.duration() + ON_THE_WAY
    }

    /// Asks, and waits.
    pub(super) async fn call(&self, application: &Application, deadline: Timestamp, call: BackendCall) -> Said {
        let ask = Ask::CallBackend(CallBackend { app: application.appid.clone(), call });
        match self.asker.ask(self.app.new_id(), deadline, ask).await {
            Ok(Reply::Backend(BackendAnswer::Refused(word))) => Said::Refused(plain(&word)),
            Ok(Reply::Backend(BackendAnswer::Unavailable(word))) => {
                tracing::warn!(
                    app = application.appid,
                    word = plain(&word),
                    "a login waits for its application's back end"
                );
                if NOT_ASKED.contains(&word.as_str()) { Said::NotAsked } else { Said::Nothing }
            }
            Ok(Reply::Backend(answer)) => Said::Done(answer),
            Ok(_) | Err(AskError::NotSent) => Said::NotAsked,
            Err(AskError::TimedOut) => Said::Late,
        }
    }
}

/// What a verifier is told.
pub(super) fn elsewhere(address: &Address, secret: &str, origin: &Origin) -> Elsewhere {
    Elsewhere {
        user: address.as_str().to_owned(),
        secret: secret.to_owned(),
        device: origin.device.clone(),
        ip: origin.ip,
    }
}

/// A word of somebody else's, fit for a log and for an answer.
fn plain(word: &str) -> String {
    let fit = |c: &char| c.is_ascii_alphanumeric() || "_-.: ".contains(*c);
    word.chars().filter(fit).take(LONGEST_WORD).collect()
}
