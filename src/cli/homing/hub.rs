//! A hub's API for those who have a space there: one method a request, nothing decided.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::refusal::AgentError;
use crate::cli::client::web::{Web, WebRequest};
use crate::config::Secret;

/// A hub, and the session of a space there once there is one.
#[derive(Debug, Clone)]
pub struct Hub {
    web: Web,
    base: Url,
    token: Secret,
}

/// A persona as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// Its name.
    pub name: String,
    /// 1 to 7.
    pub slot: u8,
    /// From which its keys are made.
    pub index: u64,
}

/// All of a space.
#[derive(Debug, Deserialize)]
pub(super) struct Personas {
    pub(super) personas: Vec<Persona>,
    pub(super) next_index: u64,
}

/// A welcome that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its id, `hsc_…`.
    pub challenge: String,
    /// Whom it is for.
    pub persona: String,
    /// Since when.
    pub created_at: Value,
    /// Until when.
    pub expires_at: Value,
}

/// A welcome as the hub keeps it: sealed for the persona.
#[derive(Debug, Clone, Deserialize)]
pub struct Sealed {
    /// Whom it is for.
    pub persona: String,
    /// base64url of a sealed box.
    pub sealed: String,
    /// `pending`, `released`, `denied` or `expired`.
    pub state: String,
}

/// What the hub gives for an approval: where the browser goes now, within seconds.
#[derive(Clone, Serialize, Deserialize)]
pub struct Release {
    /// The merchant's endpoint with its whole query.
    pub action: String,
    /// Names of the fields to post, `sc_…`.
    pub fields: Vec<String>,
}

/// A site as it is asked for.
#[derive(Debug, Clone, Serialize)]
pub struct NewSite {
    /// The merchant's persona.
    pub persona: String,
    /// What it calls itself.
    pub name: String,
    /// Where its users may arrive.
    pub endpoints: Vec<String>,
    /// `site`, `merchant` or `global`.
    pub fingerprint_mode: String,
    /// `hmac` or `md5`.
    pub otp_alg: String,
}

impl std::fmt::Debug for Release {
    // The query holds a one-time password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Release({:?})", self.fields)
    }
}

impl Hub {
    /// A hub by its address, `https://hub.example/homing/hub`.
    pub fn new(web: Web, base: Url) -> Self {
        Self { web, base, token: Secret::default() }
    }

    /// Its address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The client it is called with.
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// Any request below the hub's `/api/v1/`.
    ///
    /// # Errors
    /// If the hub does not answer, or refuses.
    pub async fn call(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value, AgentError> {
        self.ask(self.request(method, path), body).await
    }

    pub(super) async fn create_space(&self, sign_pk: &str, vault: &str, sig: &str) -> Result<String, AgentError> {
        #[derive(Deserialize)]
        struct Made {
            space: String,
        }
        let body = json!({"sign_pk": sign_pk, "vault": vault, "sig": sig});
        Ok(read::<Made>(self.call(Method::POST, &["spaces"], Some(body)).await?)?.space)
    }

    pub(super) async fn challenge(&self, space: &str) -> Result<String, AgentError> {
        #[derive(Deserialize)]
        struct Nonce {
            nonce: String,
        }
        let answer = self.call(Method::POST, &["spaces", "challenge"], Some(json!({"space": space}))).await?;
        Ok(read::<Nonce>(answer)?.nonce)
    }

    pub(super) async fn login(&mut self, space: &str, nonce: &str, sig: &str) -> Result<(), AgentError> {
        #[derive(Deserialize)]
        struct Token {
            token: Secret,
        }
        let body = json!({"space": space, "nonce": nonce, "sig": sig});
        self.token = read::<Token>(self.call(Method::POST, &["spaces", "login"], Some(body)).await?)?.token;
        Ok(())
    }

    pub(super) async fn logout(&mut self) -> Result<(), AgentError> {
        self.call(Method::POST, &["spaces", "logout"], None).await?;
        self.token = Secret::default();
        Ok(())
    }

    /// The vault's text and its version.
    pub(super) async fn fetch_vault(&self, space: &str) -> Result<(String, u64), AgentError> {
        #[derive(Deserialize)]
        struct Kept {
            vault: String,
            version: u64,
        }
        let answer = self.call(Method::POST, &["vault", "fetch"], Some(json!({"space": space}))).await?;
        let kept = read::<Kept>(answer)?;
        Ok((kept.vault, kept.version))
    }

    pub(super) async fn put_vault(&self, vault: &str, version: u64) -> Result<(), AgentError> {
        self.call(Method::PUT, &["vault"], Some(json!({"vault": vault, "version": version}))).await.map(drop)
    }

    pub(super) async fn personas(&self) -> Result<Personas, AgentError> {
        read(self.call(Method::GET, &["personas"], None).await?)
    }

    /// What waits and is not among the known, as soon as there is something, after `wait` at the latest.
    pub(super) async fn inbox(&self, wait: Duration, known: &[String]) -> Result<Vec<Waiting>, AgentError> {
        #[derive(Deserialize)]
        struct Inbox {
            welcomes: Vec<Waiting>,
        }
        let mut request = self.request(Method::GET, &["inbox"]);
        request.held = wait;
        request.url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        if !known.is_empty() {
            request.url.query_pairs_mut().append_pair("known", &known.join(","));
        }
        Ok(read::<Inbox>(self.ask(request, None).await?)?.welcomes)
    }

    pub(super) async fn welcome(&self, id: &str) -> Result<Sealed, AgentError> {
        read(self.call(Method::GET, &["welcomes", id], None).await?)
    }

    pub(super) async fn approve(&self, id: &str, decision: Value) -> Result<Release, AgentError> {
        read(self.call(Method::POST, &["welcomes", id, "approve"], Some(decision)).await?)
    }

    pub(super) async fn deny(&self, id: &str, decision: Value) -> Result<(), AgentError> {
        self.call(Method::POST, &["welcomes", id, "deny"], Some(decision)).await.map(drop)
    }

    fn request(&self, method: Method, path: &[&str]) -> WebRequest {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        WebRequest::new(method, url)
    }

    async fn ask(&self, mut request: WebRequest, body: Option<Value>) -> Result<Value, AgentError> {
        if !self.token.is_empty() {
            let mut value = HeaderValue::try_from(format!("Bearer {}", self.token.reveal()))
                .map_err(|_| AgentError::Odd("a token that no header can carry".into()))?;
            value.set_sensitive(true);
            request.headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(body) = body {
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = Bytes::from(body.to_string());
        }
        let answer = self.web.ask(request).await?;
        match answer.status {
            200..=299 if answer.body.is_empty() => Ok(Value::Null),
            200..=299 => serde_json::from_slice(&answer.body).map_err(|e| AgentError::Odd(e.to_string())),
            _ => Err(AgentError::refused(&answer)),
        }
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, AgentError> {
    serde_json::from_value(answer).map_err(|e| AgentError::Odd(e.to_string()))
}
