//! Apple's APNs over HTTP/2, signed in by token.
//!
//! A token serves for 50 minutes: Apple takes none that is older than an hour, and does not like new ones more often than every 20
//! minutes. The alert wakes the user even where the app cannot open what is under `m`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::signer::{KeyError, Signer};
use super::{Heard, Line, LoadError, Verdict, Wake, configured, headers, read};
use crate::clock::Instant;
use crate::config::providers;
use crate::outbound::{Answer, CallError, Target};

/// Life of a token here.
const TOKEN: Duration = Duration::from_secs(50 * 60);
/// Most that a payload may have, in bytes.
const LONGEST: usize = 4096;
/// Longest device token, in hexadecimal digits; Apple's have 64, and may grow.
const LONGEST_TOKEN: usize = 200;
const ALERT: &str = "You have a new message!";
const KEY: &str = "providers.push.apns.key";
const URL: &str = "providers.push.apns.url";

/// The service.
pub(super) struct Apns {
    line: Line,
    base: String,
    topic: String,
    team: String,
    signer: Signer,
    token: Mutex<Option<Token>>,
}

/// What we sign in with.
#[derive(Clone)]
struct Token {
    text: String,
    /// When it was signed, by the clock of that moment, in Unix seconds.
    iat: i64,
    until: Instant,
}

/// What it answers where it refuses.
#[derive(Deserialize, Default)]
struct Said {
    #[serde(default)]
    reason: Option<String>,
    /// With 410: when Apple last found the token unknown, in ms.
    #[serde(default)]
    timestamp: Option<i64>,
}

impl Apns {
    pub(super) fn load(set: &providers::Apns, line: Line) -> Result<Self, LoadError> {
        let signer = Signer::p256(&read(KEY, &set.key)?, Some(set.key_id.clone()))
            .map_err(|problem| LoadError::Key { setting: KEY, problem })?;
        let base = set.url.trim_end_matches('/').to_owned();
        configured(URL, &base)?;
        let (topic, team) = (set.topic.clone(), set.team.clone());
        Ok(Self { line, base, topic, team, signer, token: Mutex::default() })
    }

    pub(super) async fn wake(&self, wake: Wake<'_>) -> Heard {
        // What goes into a path comes from a stranger.
        let hex =
            (1..=LONGEST_TOKEN).contains(&wake.address.len()) && wake.address.bytes().all(|b| b.is_ascii_hexdigit());
        let target = hex.then(|| configured(URL, &format!("{}/3/device/{}", self.base, wake.address)).ok()).flatten();
        let Some(target) = target else { return Heard::without_a_call(Verdict::Unregistered, "no_token") };
        // A receipt is for the app alone: nobody is to be called to the screen for it.
        let aps = if wake.receipt { json!({"content-available": 1}) } else { json!({"alert": ALERT}) };
        let whole = json!({"aps": aps, "m": wake.sealed}).to_string();
        let alone = || json!({"aps": aps}).to_string();
        if whole.len() > LONGEST {
            return self.send(&wake, target, alone()).await;
        }
        let heard = self.send(&wake, target.clone(), whole).await;
        if heard.status == Some(413) { self.send(&wake, target, alone()).await } else { heard }
    }

    async fn send(&self, wake: &Wake<'_>, target: Target, payload: String) -> Heard {
        let mut refused: Option<Token> = None;
        loop {
            let Ok(token) = self.token(refused.as_ref()) else {
                return Heard::without_a_call(Verdict::Misconfigured, "no_token");
            };
            let answer = match self.try_with(&token.text, wake, target.clone(), payload.clone()).await {
                Ok(answer) => answer,
                Err(error) => return Heard::silent(error),
            };
            let said = serde_json::from_slice::<Said>(&answer.body).unwrap_or_default();
            if answer.status == 403
                && refused.is_none()
                && said.asks_for_another(&token, self.line.clock.unix_seconds())
            {
                refused = Some(token);
                continue;
            }
            let verdict = self.judge(&answer, &said, wake.since);
            return Heard::of(&answer, verdict, said.reason);
        }
    }

    async fn try_with(
        &self,
        token: &str,
        wake: &Wake<'_>,
        target: Target,
        payload: String,
    ) -> Result<Answer, CallError> {
        let (kind, priority) = if wake.receipt { ("background", "5") } else { ("alert", "10") };
        let headers = headers([
            (header::AUTHORIZATION, format!("bearer {token}")),
            (header::CONTENT_TYPE, "application/json".into()),
            (HeaderName::from_static("apns-id"), wake.id.to_string()),
            (HeaderName::from_static("apns-topic"), self.topic.clone()),
            (HeaderName::from_static("apns-push-type"), kind.into()),
            (HeaderName::from_static("apns-priority"), priority.into()),
            (HeaderName::from_static("apns-expiration"), wake.expires_at.as_second().to_string()),
        ]);
        self.line.outbound.call_http2(self.line.post(target, headers, payload)).await
    }

    /// Apple's table of reasons ("Handling notification responses from APNs").
    fn judge(&self, answer: &Answer, said: &Said, since: Option<Timestamp>) -> Verdict {
        match (answer.status, said.reason.as_deref()) {
            // The device fetches it: Apple keeps one notification for a device that is away, and only the last.
            (200, _) => Verdict::Accepted { whole: false, canonical: None },
            (410, _) if said.is_older_than(since) => Verdict::DeviceLater(self.line.pause(answer)),
            (410, _) => Verdict::Unregistered,
            // Of another environment or app: perhaps the device's mistake, perhaps ours, so nobody loses an address for it.
            (400, Some("BadDeviceToken" | "DeviceTokenNotForTopic")) => Verdict::DeviceLater(None),
            (429, Some("TooManyRequests")) => Verdict::DeviceLater(self.line.pause(answer)),
            (400, Some("BadTopic" | "TopicDisallowed" | "MissingTopic")) => Verdict::Misconfigured,
            _ => self.line.by_status(answer),
        }
    }

    /// The present token, or a new one where that is old or `refused`.
    fn token(&self, refused: Option<&Token>) -> Result<Token, KeyError> {
        let mut present = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*present
            && !token.until.is_past()
            && refused.is_none_or(|refused| refused.text != token.text)
        {
            return Ok(token.clone());
        }
        let iat = self.line.clock.unix_seconds();
        let text = self.signer.sign(&json!({"iss": self.team, "iat": iat}))?;
        let token = Token { text, iat, until: Instant::now().after(TOKEN) };
        *present = Some(token.clone());
        Ok(token)
    }
}

impl Said {
    /// Whether a new token may be taken where this one was not: it is too old, or of a time that has not come, for our clock was
    /// wrong when it was signed.
    fn asks_for_another(&self, token: &Token, now: i64) -> bool {
        match self.reason.as_deref() {
            Some("ExpiredProviderToken") => true,
            Some("InvalidProviderToken") => token.iat > now,
            _ => false,
        }
    }

    /// Whether the device has given its token after Apple had found it unknown: then it is known again.
    fn is_older_than(&self, since: Option<Timestamp>) -> bool {
        let found = self.timestamp.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        found.zip(since).is_some_and(|(found, since)| found < since)
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) -> Option<String> {
    let said = serde_json::from_slice::<Said>(body).unwrap_or_default();
    let _ = (said.is_older_than(None), said.is_older_than(Some(Timestamp::MAX)));
    said.reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_where_it_is_old_or_of_the_future() {
        let token = Token { text: String::new(), iat: 1000, until: Instant::now() };
        for (reason, now, renewed) in [
            ("ExpiredProviderToken", 1000, true),
            ("InvalidProviderToken", 999, true),
            ("InvalidProviderToken", 1000, false),
            ("BadTopic", 999, false),
        ] {
            let said = Said { reason: Some(reason.into()), timestamp: None };
            assert_eq!(said.asks_for_another(&token, now), renewed, "{reason} at {now}");
        }
    }

    #[test]
    fn a_token_given_after_it_was_unknown_is_known_again() {
        let said = |ms| Said { reason: Some("Unregistered".into()), timestamp: ms };
        let since = Timestamp::from_millisecond(2000).ok();
        for (ms, since, older) in [
            (Some(1999), since, true),
            (Some(2000), since, false),
            (Some(2001), since, false),
            (None, since, false),
            (Some(1999), None, false),
        ] {
            assert_eq!(said(ms).is_older_than(since), older, "{ms:?} {since:?}");
        }
    }
}
