//! The form of 2013, Google Cloud Messaging over HTTP with JSON: what old gateways and tests still speak.
//!
//! One registration id a request, so that an answer is about one device. A canonical id in the answer is the one to use from now on.

use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use super::{Data, Heard, Line, LoadError, Verdict, Wake, configured, headers};
use crate::config::{Secret, providers};
use crate::outbound::{Answer, Target};

/// Most that data may have, in bytes.
const LONGEST: usize = 4096;

/// The service.
pub(super) struct Gcm {
    line: Line,
    send: Target,
    key: Secret,
}

/// What it answers with 200.
#[derive(Deserialize)]
struct Body {
    results: Vec<One>,
}

/// What became of one id.
#[derive(Deserialize)]
struct One {
    #[serde(default)]
    registration_id: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl Gcm {
    pub(super) fn load(set: &providers::Gcm, line: Line) -> Result<Self, LoadError> {
        let key = "providers.push.gcm.key";
        if HeaderValue::try_from(set.key.reveal()).is_err() {
            return Err(LoadError::Unusable { setting: key, problem: "this cannot stand in a header" });
        }
        let send = configured("providers.push.gcm.url", &set.url)?;
        Ok(Self { line, send, key: set.key.clone() })
    }

    pub(super) async fn wake(&self, wake: Wake<'_>) -> Heard {
        let data = Data::of(&wake).within(LONGEST);
        let heard = self.send(&wake, data).await;
        let too_big = heard.code.as_deref() == Some("MessageTooBig") || heard.status == Some(413);
        if too_big && data.is_whole() { self.send(&wake, data.without()).await } else { heard }
    }

    async fn send(&self, wake: &Wake<'_>, data: Data<'_>) -> Heard {
        let message = json!({
            "registration_ids": [wake.address],
            "data": data,
            "priority": "high",
            "time_to_live": self.line.life(wake),
        });
        let headers = headers([
            (header::AUTHORIZATION, format!("key={}", self.key.reveal())),
            (header::CONTENT_TYPE, "application/json".into()),
        ]);
        match self.line.call(self.line.post(self.send.clone(), headers, message.to_string())).await {
            Ok(answer) if answer.status == 200 => self.judge(&answer, data),
            Ok(answer) => Heard::of(&answer, self.line.by_status(&answer), None),
            Err(error) => Heard::silent(error),
        }
    }

    fn judge(&self, answer: &Answer, data: Data<'_>) -> Heard {
        let one = serde_json::from_slice::<Body>(&answer.body).ok().and_then(|mut body| body.results.pop());
        let Some(One { registration_id, error }) = one else {
            // Whatever answers there, it is not this service; it may become it again.
            return Heard::of(answer, Verdict::Failing, Some("unreadable".into()));
        };
        let verdict = match error.as_deref() {
            None => {
                Verdict::Accepted { whole: data.is_whole(), canonical: registration_id.filter(|id| !id.is_empty()) }
            }
            Some("NotRegistered" | "InvalidRegistration") => Verdict::Unregistered,
            Some("Unavailable" | "InternalServerError") => {
                self.line.pause(answer).map_or(Verdict::Failing, |pause| Verdict::Busy(Some(pause)))
            }
            Some("DeviceMessageRateExceeded" | "MismatchSenderId") => Verdict::DeviceLater(self.line.pause(answer)),
            Some("TopicsMessageRateExceeded") => Verdict::Busy(self.line.pause(answer)),
            Some("MessageTooBig") => Verdict::TooLarge,
            Some(_) => Verdict::Refused,
        };
        Heard::of(answer, verdict, error)
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Body>(body).ok()?.results.pop()?.error
}
