//! Hosts and URLs in the settings: what they must look like.

use super::Mode;

/// Whether it is a URL to put a path behind: https, or in development http.
pub(crate) fn is_http_url(text: &str, mode: Mode) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let scheme = url.scheme() == "https" || mode == Mode::Development && url.scheme() == "http";
    scheme && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
}

/// Whether it is the name of a host as it stands in `Host`: lower-case, without a port.
pub(super) fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain)
}
