//! Web Push (RFC 8030, 8291, 8292) and UnifiedPush: open push services, of the device's choice.
//!
//! A subscription with keys gets what the push service cannot read; a bare endpoint, as UnifiedPush knows it, gets the data as they
//! are: the envelope in them is sealed for the device anyway. Endpoints come from strangers, so their refusals say nothing about our
//! settings.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use http::{HeaderName, header};
use serde::Deserialize;
use serde_json::json;

use super::signer::Signer;
use super::{Data, Heard, Line, LoadError, Verdict, Wake, headers, read};
use crate::config::providers;
use crate::crypto::{BadKey, P256_POINT_BYTES, seal_web_push};
use crate::outbound::{Answer, Ports, Target};

/// Life of a VAPID token, in seconds; RFC 8292 allows a day.
const TOKEN: i64 = 12 * 3600;
/// Most that a body of ours may have before it is encrypted, in bytes (RFC 8291, 4: 4096 after it).
const LONGEST: usize = 3993;
const KEY: &str = "providers.push.web.key";
/// Subscriptions are written without padding; some libraries add it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Any push service that speaks it.
pub(super) struct Web {
    line: Line,
    signer: Signer,
    public: String,
    contact: String,
    ports: Ports,
}

/// Where a device is woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    endpoint: Target,
    keys: Option<Keys>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Keys {
    public: Vec<u8>,
    auth: [u8; 16],
}

/// A subscription as browsers write it (Push API, `PushSubscription.toJSON`).
#[derive(Deserialize)]
struct Written {
    endpoint: String,
    #[serde(default)]
    keys: Option<WrittenKeys>,
}

#[derive(Deserialize)]
struct WrittenKeys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// From `{"endpoint":…,"keys":{"p256dh":…,"auth":…}}`, or from a bare URL.
    pub fn parse(text: &str, ports: &Ports) -> Option<Self> {
        let written = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).ok()?
        } else {
            Written { endpoint: text.to_owned(), keys: None }
        };
        let endpoint = Target::with_ports(&written.endpoint, ports).ok()?;
        let keys = match written.keys {
            Some(keys) => Some(keys.read()?),
            None => None,
        };
        Some(Self { endpoint, keys })
    }

    /// The push service's host.
    pub fn host(&self) -> &str {
        self.endpoint.host()
    }
}

impl WrittenKeys {
    fn read(self) -> Option<Keys> {
        let public = BASE64.decode(self.p256dh).ok().filter(|key| key.len() == P256_POINT_BYTES)?;
        let auth = BASE64.decode(self.auth).ok()?.try_into().ok()?;
        Some(Keys { public, auth })
    }
}

impl Web {
    pub(super) fn load(set: &providers::WebPush, ports: Ports, line: Line) -> Result<Self, LoadError> {
        let key = |problem| LoadError::Key { setting: KEY, problem };
        let signer = Signer::p256(&read(KEY, &set.key)?, None).map_err(key)?;
        let public = URL_SAFE_NO_PAD.encode(signer.p256_public().map_err(key)?);
        Ok(Self { line, signer, public, contact: set.contact.clone(), ports })
    }

    pub(super) async fn wake(&self, wake: Wake<'_>) -> Heard {
        let Some(to) = Subscription::parse(wake.address, &self.ports) else {
            return Heard::without_a_call(Verdict::Unregistered, "no_subscription");
        };
        let data = Data::of(&wake);
        let whole = data.text();
        if whole.len() > LONGEST {
            return self.send(&wake, &to, data.without().text()).await;
        }
        let heard = self.send(&wake, &to, whole).await;
        if heard.status == Some(413) { self.send(&wake, &to, data.without().text()).await } else { heard }
    }

    /// Any text, as it is.
    pub(super) async fn tell(&self, wake: &Wake<'_>, text: String) -> Heard {
        match Subscription::parse(wake.address, &self.ports) {
            Some(to) => self.send(wake, &to, text).await,
            None => Heard::without_a_call(Verdict::Unregistered, "no_subscription"),
        }
    }

    async fn send(&self, wake: &Wake<'_>, to: &Subscription, text: String) -> Heard {
        let mut headers = headers([
            (HeaderName::from_static("ttl"), self.line.life(wake).to_string()),
            (HeaderName::from_static("urgency"), "high".into()),
            (header::CONTENT_TYPE, "application/octet-stream".into()),
        ]);
        let body = match &to.keys {
            None => text.into_bytes(),
            Some(keys) => {
                let Ok(sealed) = self.seal(&mut headers, keys, &to.endpoint, &text) else {
                    return Heard::without_a_call(Verdict::Unregistered, "bad_key");
                };
                sealed
            }
        };
        match self.line.call(self.line.post(to.endpoint.clone(), headers, body)).await {
            Ok(answer) => Heard::of(&answer, self.judge(&answer), None),
            Err(error) => Heard::silent(error),
        }
    }

    fn seal(
        &self,
        headers: &mut http::HeaderMap,
        keys: &Keys,
        endpoint: &Target,
        text: &str,
    ) -> Result<Vec<u8>, BadKey> {
        let sealed = seal_web_push(text.as_bytes(), &keys.public, &keys.auth)?;
        let claims = json!({
            "aud": origin(endpoint),
            "exp": self.line.clock.unix_seconds() + TOKEN,
            "sub": self.contact,
        });
        let token = self.signer.sign(&claims).map_err(|_| BadKey)?;
        headers.extend(super::headers([
            (header::CONTENT_ENCODING, "aes128gcm".into()),
            (header::AUTHORIZATION, format!("vapid t={token}, k={}", self.public)),
        ]));
        Ok(sealed)
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match answer.status {
            // The device fetches it: how long and whether the service keeps it is the service's affair.
            200..=299 => Verdict::Accepted { whole: false, canonical: None },
            404 | 410 => Verdict::Unregistered,
            // Of other credentials, say some services: perhaps of a key that we had before.
            401 | 403 => Verdict::DeviceLater(None),
            // Limits there are a subscription's: one device must not hold up the others.
            429 => Verdict::DeviceLater(self.line.pause(answer)),
            _ => match self.line.by_status(answer) {
                Verdict::Misconfigured => Verdict::Refused,
                verdict => verdict,
            },
        }
    }
}

/// Whom a VAPID token is for (RFC 8292, 2).
fn origin(endpoint: &Target) -> String {
    url::Url::parse(endpoint.reveal()).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn parse(text: &str) -> Option<Subscription> {
        Subscription::parse(text, &Ports::Of(vec![443, 8443]))
    }

    #[test]
    fn subscriptions_are_read_and_what_is_none_is_refused() {
        let whole = |endpoint: &str, p256dh: &str, auth: &str| {
            json!({"endpoint": endpoint, "expirationTime": null, "keys": {"p256dh": p256dh, "auth": auth}}).to_string()
        };
        let with_keys = parse(&whole("https://push.example/x?y", POINT, AUTH)).unwrap();
        assert_eq!((with_keys.host(), with_keys.keys.as_ref().unwrap().public[0]), ("push.example", 4));
        assert!(parse(&whole("https://push.example/x", &format!("{POINT}="), &format!("{AUTH}=="))).is_some());
        assert_eq!(parse("https://up.example:8443/UP?token=1").unwrap().keys, None);
        for bad in [
            whole("http://push.example/x", POINT, AUTH),
            whole("https://127.0.0.1/x", POINT, AUTH),
            whole("https://push.example:22/x", POINT, AUTH),
            whole("https://push.example/x", "BCVx", AUTH),
            whole("https://push.example/x", POINT, "BTBZ"),
            "https://localhost/up".into(),
            "{}".into(),
            "push.example".into(),
            String::new(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_for_the_origin() {
        for (url, of) in [
            ("https://push.example/x", "https://push.example"),
            ("https://up.example:8443/", "https://up.example:8443"),
        ] {
            assert_eq!(origin(&parse(url).unwrap().endpoint), of);
        }
    }
}
