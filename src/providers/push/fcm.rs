//! Google's FCM, HTTP v1: `POST /v1/projects/{project}/messages:send` with an access token of a service account (RFC 7523).
//!
//! A token is kept until shortly before it ends, and fetched by one at a time; who is refused with it fetches a new one, once.

use std::time::Duration;

use http::header;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::signer::Signer;
use super::{Data, Heard, Line, LoadError, Verdict, Wake, configured, headers, read};
use crate::clock::Instant;
use crate::config::{Secret, providers};
use crate::outbound::{Answer, CallError, Target};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How we sign in.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Life of what we sign ourselves in with, in seconds: Google's longest.
const ASSERTION: i64 = 3600;
/// So long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(120);
/// After a fetch that failed, nobody tries again for so long.
const REST: Duration = Duration::from_secs(1);
/// Most that data may have, in bytes: names and values.
const LONGEST: usize = 4096;
/// How long Google is left alone where it asks for that, and does not say how long (its documentation: a minute).
const PAUSE: Duration = Duration::from_secs(60);
const CREDENTIALS: &str = "providers.push.fcm.credentials";

/// The service.
pub(super) struct Fcm {
    line: Line,
    send: Target,
    account: Account,
    signer: Signer,
    token_uri: Target,
    state: Mutex<State>,
}

/// A service account's key, as Google gives it out.
#[derive(Deserialize)]
struct Account {
    project_id: String,
    client_email: String,
    #[serde(default)]
    private_key_id: Option<String>,
    private_key: Secret,
    #[serde(default = "token_uri")]
    token_uri: String,
}

#[derive(Default)]
struct State {
    token: Option<(Secret, Instant)>,
    /// The last fetch failed; until when that holds for everybody who waited for it.
    failed: Option<(NoToken, Instant)>,
}

/// Why there is no token.
#[derive(Clone, Copy)]
enum NoToken {
    /// Google does not know the account or its key.
    Refused(u16),
    /// It could not say.
    Failing(u16),
    /// It did not answer.
    Silent(&'static str),
}

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    #[serde(default = "an_hour")]
    expires_in: u64,
}

impl Fcm {
    pub(super) fn load(set: &providers::Fcm, line: Line) -> Result<Self, LoadError> {
        let text = read(CREDENTIALS, &set.credentials)?;
        let unusable = |problem| LoadError::Unusable { setting: CREDENTIALS, problem };
        let account: Account =
            serde_json::from_slice(&text).map_err(|_| unusable("this is not the JSON of a service account's key"))?;
        let signer = Signer::rsa(account.private_key.reveal().as_bytes(), account.private_key_id.clone())
            .map_err(|problem| LoadError::Key { setting: CREDENTIALS, problem })?;
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if account.project_id.is_empty() || !account.project_id.bytes().all(name) {
            return Err(unusable("its project_id is none"));
        }
        let base = set.url.trim_end_matches('/');
        let send = format!("{base}/v1/projects/{}/messages:send", account.project_id);
        let send = configured("providers.push.fcm.url", &send)?;
        let token_uri = configured(CREDENTIALS, &account.token_uri)?;
        Ok(Self { line, send, account, signer, token_uri, state: Mutex::default() })
    }

    pub(super) async fn wake(&self, wake: Wake<'_>) -> Heard {
        let data = Data::of(&wake).within(LONGEST);
        let heard = self.send(&wake, data).await;
        match heard {
            // Google counts otherwise than we do.
            Err(TooLarge) if data.is_whole() => self.send(&wake, data.without()).await,
            heard => heard,
        }
        .unwrap_or_else(|TooLarge| Heard::without_a_call(Verdict::TooLarge, "too_large"))
    }

    async fn send(&self, wake: &Wake<'_>, data: Data<'_>) -> Result<Heard, TooLarge> {
        let mut refused = None;
        loop {
            let token = match self.token(refused.as_ref()).await {
                Ok(token) => token,
                Err(why) => return Ok(why.heard()),
            };
            let answer = match self.try_with(token.reveal(), wake, data).await {
                Ok(answer) => answer,
                Err(error) => return Ok(Heard::silent(error)),
            };
            if answer.status == 401 && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return self.judge(&answer, data);
        }
    }

    async fn try_with(&self, token: &str, wake: &Wake<'_>, data: Data<'_>) -> Result<Answer, CallError> {
        let ttl = format!("{}s", self.line.life(wake));
        let message = json!({"message": {
            "token": wake.address,
            "data": data,
            "android": {"priority": "HIGH", "ttl": ttl},
        }});
        let headers = headers([
            (header::AUTHORIZATION, format!("Bearer {token}")),
            (header::CONTENT_TYPE, "application/json".into()),
        ]);
        self.line.call(self.line.post(self.send.clone(), headers, message.to_string())).await
    }

    /// <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>
    fn judge(&self, answer: &Answer, data: Data<'_>) -> Result<Heard, TooLarge> {
        if (200..300).contains(&answer.status) {
            return Ok(Heard::accepted(answer, data.is_whole()));
        }
        let (said, pause) = (Said::of(&answer.body), self.line.pause(answer));
        let verdict = match (answer.status, said.code.as_deref()) {
            (_, Some("UNREGISTERED")) => Verdict::Unregistered,
            (400, _) if said.blames_token => Verdict::Unregistered,
            (413, _) => return Err(TooLarge),
            (400, _) if said.blames_size => return Err(TooLarge),
            // Of another project: perhaps the device's mistake, perhaps ours, so nobody loses an address for it.
            (_, Some("SENDER_ID_MISMATCH")) => Verdict::DeviceLater(None),
            // Each device has a quota, and so has the project: only the latter is everybody's.
            (429, Some("QUOTA_EXCEEDED")) if !said.blames_project => Verdict::DeviceLater(pause.or(Some(PAUSE))),
            (429, _) => Verdict::Busy(pause.or(Some(PAUSE))),
            _ => self.line.by_status(answer),
        };
        Ok(Heard::of(answer, verdict, said.code))
    }

    /// A token that is good for a while, and is not `refused`.
    async fn token(&self, refused: Option<&Secret>) -> Result<Secret, NoToken> {
        let mut state = self.state.lock().await;
        if let Some((token, until)) = &state.token
            && !until.is_past()
            && refused.is_none_or(|refused| refused.reveal() != token.reveal())
        {
            return Ok(token.clone());
        }
        if let Some((why, until)) = state.failed
            && !until.is_past()
        {
            return Err(why);
        }
        match self.fetch().await {
            Ok(granted) => {
                let life = Duration::from_secs(granted.expires_in);
                let until = Instant::now().after(life.saturating_sub(MARGIN.min(life / 4)));
                state.token = Some((granted.access_token.clone(), until));
                state.failed = None;
                Ok(granted.access_token)
            }
            Err(why) => {
                state.token = None;
                state.failed = Some((why, Instant::now().after(REST)));
                Err(why)
            }
        }
    }

    async fn fetch(&self) -> Result<Granted, NoToken> {
        let now = self.line.clock.unix_seconds();
        let claims = json!({
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": now,
            "exp": now + ASSERTION,
        });
        let assertion = self.signer.sign(&claims).map_err(|_| NoToken::Refused(0))?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let headers = headers([(header::CONTENT_TYPE, "application/x-www-form-urlencoded".into())]);
        let answer = self.line.call(self.line.post(self.token_uri.clone(), headers, body)).await;
        let answer = answer.map_err(|error| NoToken::Silent(error.kind.word()))?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| NoToken::Failing(200)),
            status @ (408 | 429 | 500..) => Err(NoToken::Failing(status)),
            status => Err(NoToken::Refused(status)),
        }
    }
}

/// The payload does not fit.
struct TooLarge;

impl NoToken {
    fn heard(self) -> Heard {
        let (verdict, status, code) = match self {
            Self::Refused(status) => (Verdict::Misconfigured, status, "no_token"),
            Self::Failing(status) => (Verdict::Failing, status, "no_token"),
            Self::Silent(word) => (Verdict::Failing, 0, word),
        };
        Heard { status: (status > 0).then_some(status), ..Heard::without_a_call(verdict, code) }
    }
}

/// What stands in an error.
#[derive(Default)]
struct Said {
    code: Option<String>,
    blames_token: bool,
    blames_size: bool,
    blames_project: bool,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return Self::default() };
        let error = &body["error"];
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let code = details.iter().find_map(|detail| detail["errorCode"].as_str()).or(error["status"].as_str());
        let fields = details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        let message = error["message"].as_str().unwrap_or_default();
        let of_the_project = |detail: &serde_json::Value| {
            detail["reason"] == "RATE_LIMIT_EXCEEDED" || !detail["metadata"]["quota_limit"].is_null()
        };
        Self {
            code: code.map(str::to_owned),
            blames_token: fields.filter_map(|field| field["field"].as_str()).any(|field| field == "message.token")
                || message.contains("registration token is not a valid"),
            blames_size: message.contains("too big") || message.contains("too large"),
            blames_project: details.iter().any(of_the_project),
        }
    }
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".into()
}

fn an_hour() -> u64 {
    3600
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) -> Option<String> {
    let granted = serde_json::from_slice::<Granted>(body).ok();
    let lives =
        |seconds: u64| Instant::now().after(Duration::from_secs(seconds)).left().as_secs() + 5 >= seconds.min(1 << 40);
    assert!(granted.is_none_or(|granted| lives(granted.expires_in)), "a token that lives long has ended");
    Said::of(body).code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whose_fault_it_is() {
        let table = [
            (
                r#"{"error":{"code":404,"status":"NOT_FOUND","details":[{"errorCode":"UNREGISTERED"}]}}"#,
                "UNREGISTERED",
                false,
                false,
            ),
            (r#"{"error":{"code":404,"status":"NOT_FOUND"}}"#, "NOT_FOUND", false, false),
            (
                r#"{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT"}}"#,
                "INVALID_ARGUMENT",
                true,
                false,
            ),
            (
                r#"{"error":{"status":"INVALID_ARGUMENT","details":[{"errorCode":"INVALID_ARGUMENT"},{"fieldViolations":[{"field":"message.token"}]}]}}"#,
                "INVALID_ARGUMENT",
                true,
                false,
            ),
            (
                r#"{"error":{"message":"Android message is too big","status":"INVALID_ARGUMENT","details":[{"fieldViolations":[{"field":"message.android"}]}]}}"#,
                "INVALID_ARGUMENT",
                false,
                true,
            ),
        ];
        for (body, code, token, size) in table {
            let said = Said::of(body.as_bytes());
            assert_eq!(
                (said.code.as_deref(), said.blames_token, said.blames_size),
                (Some(code), token, size),
                "{body}"
            );
        }
        assert!(Said::of(b"<html>").code.is_none());
    }

    #[test]
    fn a_quota_is_the_device_s_unless_it_is_named_as_the_project_s() {
        for (detail, project) in [
            (r#"{"errorCode":"QUOTA_EXCEEDED"}"#, false),
            (r#"{"errorCode":"QUOTA_EXCEEDED"},{"reason":"RATE_LIMIT_EXCEEDED"}"#, true),
            (r#"{"errorCode":"QUOTA_EXCEEDED"},{"metadata":{"quota_limit":"PerMinutePerProject"}}"#, true),
            (r#"{"reason":"OTHER","metadata":{}}"#, false),
        ] {
            let said = Said::of(format!(r#"{{"error":{{"code":429,"details":[{detail}]}}}}"#).as_bytes());
            assert_eq!(said.blames_project, project, "{detail}");
        }
    }
}
