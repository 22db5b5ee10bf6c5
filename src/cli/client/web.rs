//! Requests to anywhere on the web, as the user of `handfast homing` makes them: to the hub's API, and to merchants' pages as a
//! browser would.
//!
//! Promises: https, or http to this very machine; nothing is repeated, no redirect followed and no cookie kept by itself; an answer
//! is at most [`LONGEST_ANSWER`] bytes. Leaves out what an answer means, and cookies (see `cli::homing`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use http::{HeaderMap, Method};
use url::{Host, Url};

use crate::tls::{self, TlsError};

/// More than any page or answer that this client reads.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// For everything but what is held back on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
const HEADING: &str = "How to reach it";

/// Whom to trust and where names lead, for places of one's own.
#[derive(Debug, Clone, Default, Args)]
pub struct Reach {
    /// Certificates (PEM) of authorities to trust beside the system's
    #[arg(long, env = "HANDFAST_CA_FILE", value_name = "FILE", global = true, help_heading = HEADING)]
    pub ca_file: Option<PathBuf>,
    /// Take this address for a host name, instead of asking for it: `hub.test=127.0.0.1:8443`; more than once
    #[arg(long, value_name = "HOST=IP:PORT", value_parser = resolution, global = true, help_heading = HEADING)]
    pub resolve: Vec<(String, SocketAddr)>,
}

/// A client of the web. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Web {
    http: reqwest::Client,
}

/// A request.
pub struct WebRequest {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Whatever is said besides.
    pub headers: HeaderMap,
    /// Sent as it is.
    pub body: Bytes,
    /// For how long the other side may hold back its answer.
    pub held: Duration,
}

/// What came back, whatever its status.
pub struct WebAnswer {
    /// HTTP status.
    pub status: u16,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// No client can be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library refused the combination.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// Not a place that is spoken to.
    #[error("{0} is not called: it must be https://…, or http:// on this machine")]
    Scheme(String),
    /// No answer.
    #[error("{host} does not answer: {cause}")]
    Silent {
        /// Whom.
        host: String,
        /// The system's words.
        cause: String,
    },
    /// An endless answer.
    #[error("the answer of {0} is too long")]
    TooLong(String),
}

impl Web {
    /// A client.
    ///
    /// # Errors
    /// If the file with authorities cannot be used.
    pub fn new(reach: &Reach) -> Result<Self, WebError> {
        let tls = tls::client_config(reach.ca_file.as_deref())?;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("handfast/", env!("CARGO_PKG_VERSION")));
        let builder = reach.resolve.iter().fold(builder, |builder, (host, to)| builder.resolve(host, *to));
        Ok(Self { http: builder.build().map_err(|e| WebError::Client(e.to_string()))? })
    }

    /// Asks once.
    ///
    /// # Errors
    /// If there is no whole answer. An answer of any status is none.
    pub async fn ask(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        if !may_be_called(&request.url) {
            return Err(WebError::Scheme(request.url.origin().ascii_serialization()));
        }
        let host = request.url.origin().ascii_serialization();
        let silent = |error: reqwest::Error| WebError::Silent { host: host.clone(), cause: words(error) };
        let asked = self.http.request(request.method, request.url).headers(request.headers).body(request.body);
        let mut response = asked.timeout(PATIENCE + request.held).send().await.map_err(silent)?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(silent)? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(WebError::TooLong(host));
            }
            body.extend_from_slice(&piece);
        }
        Ok(WebAnswer { status, headers, body: body.freeze() })
    }
}

impl WebRequest {
    /// One without a body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), held: Duration::ZERO }
    }
}

impl WebAnswer {
    /// A header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// https, or http that does not leave this machine.
pub(crate) fn may_be_called(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" && url.has_host() || url.scheme() == "http" && here
}

fn resolution(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, to) = text.split_once('=').ok_or("write HOST=IP:PORT")?;
    let to = to.parse().map_err(|_| format!("{to} is not IP:PORT"))?;
    if host.is_empty() { Err("write HOST=IP:PORT".into()) } else { Ok((host.to_owned(), to)) }
}

fn words(error: reqwest::Error) -> String {
    if error.is_timeout() { "it took too long".to_owned() } else { super::innermost(&error.without_url()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for (url, may) in [
            ("https://hub.example/homing/hub", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]:8080/", true),
            ("http://localhost:1/", true),
            ("http://hub.example/", false),
            ("ftp://localhost/", false),
            ("mailto:a@b.example", false),
        ] {
            assert_eq!(may_be_called(&url.parse().unwrap()), may, "{url}");
        }
    }

    #[test]
    fn where_a_name_leads_can_be_said() {
        assert_eq!(
            resolution("hub.test=127.0.0.1:8443").unwrap(),
            ("hub.test".into(), "127.0.0.1:8443".parse().unwrap())
        );
        for wrong in ["hub.test", "hub.test=127.0.0.1", "=127.0.0.1:1", "hub.test:127.0.0.1:1"] {
            assert!(resolution(wrong).is_err(), "{wrong}");
        }
    }
}
