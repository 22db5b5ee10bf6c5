//! What is told to those who watch: traces, and a worker's own listener for its metrics.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Secret;

/// A worker's own listener.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// Address and port of `/metrics` and `/healthz` of a worker; none: there is no listener. Each worker of a machine needs a port
    /// of its own.
    pub listen: Option<SocketAddr>,
}

/// Traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Base URL of an OTLP collector over HTTP; empty: no traces.
    pub otlp_endpoint: String,
    /// A header sent with them, `name: value`.
    pub otlp_header: Secret,
    /// Which part of the requests that come without a decision is traced, 0 to 1.
    pub sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), otlp_header: Secret::default(), sample: 0.01 }
    }
}

impl Telemetry {
    /// The header, in its two parts.
    pub fn header(&self) -> Option<(&str, &str)> {
        self.otlp_header.reveal().split_once(':').map(|(name, value)| (name.trim(), value.trim()))
    }

    /// What is wrong with these, by key.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let mut wrong = |key: &str, what: &str| mistakes.push((format!("telemetry.{key}"), what.to_owned()));
        if !self.otlp_endpoint.is_empty()
            && !url::Url::parse(&self.otlp_endpoint).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
        {
            wrong("otlp_endpoint", "must be an http:// or https:// URL, or empty");
        }
        let header = |(name, value): (&str, &str)| {
            http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value).is_ok()
        };
        if !self.otlp_header.is_empty() && !self.header().is_some_and(header) {
            wrong("otlp_header", "must be \"name: value\"");
        }
        if !(0.0..=1.0).contains(&self.sample) {
            wrong("sample", "must be between 0 and 1");
        }
        mistakes
    }
}
