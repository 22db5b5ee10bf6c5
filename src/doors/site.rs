//! What the sites of several pages have in common: the console and the mailbox; of it, the form pages use the session and the fields.
//!
//! | file | what |
//! |---|---|
//! | `session` | who is signed in: a sealed cookie, with the token that the session's own forms carry |
//! | `flash` | what the page after a change says of it, once |
//! | `fields` | what a form or a query holds |
//! | `assets` | style sheets and scripts, under addresses that change with them |
//! | `frame` | a page around its content: head, navigation, skip link, headers |
//! | `pieces` | what stands on pages: alerts, tables, definition lists, pagers, forms |
//!
//! Promises: text becomes HTML only through templates that escape it; no inline script or style, nothing of a third party; pages are
//! kept by nobody; every form carries its session's token. Leaves out who may sign in, and what is on a page.

pub(super) mod assets;
pub(super) mod fields;
pub(super) mod flash;
pub(super) mod frame;
pub(super) mod pieces;
pub(super) mod session;

/// One site: where it is and what its cookies are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// The path of its first page, `/console`; browsers send its cookies for this and what is below.
    pub(super) path: &'static str,
    /// The session's cookie; the flash's has `_said` behind it.
    pub(super) cookie: &'static str,
    /// What its cookies are sealed for; no other site's open here.
    pub(super) context: &'static str,
    /// How long a session lasts, in seconds.
    pub(super) life_seconds: i64,
    /// Whether its cookies are sent over HTTPS only.
    pub(super) secure: bool,
    /// Whether browsers send its cookies also with links that lead here from elsewhere.
    pub(super) same_site: SameSite,
}

/// With which requests that begin on another site's page a browser sends cookies (RFC 6265bis, 4.1.2.7). Forms of others come
/// without, either way.
#[derive(Debug, Clone, Copy)]
pub(super) enum SameSite {
    /// With none.
    Strict,
    /// With links that are followed: for sites whose links are passed on, where no `GET` changes anything.
    Lax,
}

impl Site {
    /// One for tests.
    #[cfg(any(test, fuzzing))]
    pub(super) const SAMPLE: Self = Self {
        path: "/here",
        cookie: "here",
        context: "here",
        life_seconds: 60,
        secure: false,
        same_site: SameSite::Strict,
    };

    /// A cookie of this site, `seconds` long; 0 takes it away.
    fn set_cookie(&self, name: &str, value: &str, seconds: i64) -> http::HeaderValue {
        // Browsers take a name that begins so from this host only, and only with this path (RFC 6265bis, 4.1.3.2).
        let path = if name.starts_with("__Host-") { "/" } else { self.path };
        let secure = if self.secure { "; Secure" } else { "" };
        let same_site = self.same_site;
        let text = format!("{name}={value}; Path={path}; HttpOnly; SameSite={same_site:?}; Max-Age={seconds}{secure}");
        let mut header = http::HeaderValue::try_from(text).unwrap_or_else(|_| http::HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }
}

/// A cookie of the request. None where it comes twice: one of the two was put there by somebody else, and nobody knows which.
pub(super) fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn a_cookie_that_comes_twice_is_none() {
        let got = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
            }
            cookie(&headers, "mine").map(str::to_owned)
        };
        assert_eq!(got(&["a=b; mine=x; other=y"]).as_deref(), Some("x"));
        assert_eq!(got(&["other=y"]), None);
        assert_eq!(got(&["mine=x; mine=y"]), None);
        assert_eq!(got(&["mine=x", "mine=x"]), None);
    }
}
