//! A browser's habits, as far as a login depends on them: which cookies travel with which request, and what a request says of the
//! page that it comes from.
//!
//! Promises: a cookie goes to the host that set it and to no other; across sites only what is `SameSite=None`, or `Lax` with a GET
//! that is a navigation (RFC 6265bis §5.8.3); a `Secure` one only over https or to this machine. Leaves out cookies for whole
//! domains (they are kept for the host alone), and the life of cookies: this browser does not last longer than a login.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use url::Url;

use crate::cli::client::web::{Web, WebAnswer, WebError, WebRequest, may_be_called};

/// A browser with one window.
#[derive(Debug, Clone)]
pub struct Browser {
    web: Web,
    /// By host, then by name.
    jar: BTreeMap<(String, String), Cookie>,
}

/// Which page a request comes from.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// None: somebody typed the address.
    Nowhere,
    /// A page whose `Referrer-Policy` lets its address be known.
    Page(&'a Url),
    /// A page with `Referrer-Policy: no-referrer`: the request's `Origin` is `null` (Fetch §3.2).
    SilentPage(&'a Url),
}

#[derive(Clone)]
struct Cookie {
    value: String,
    path: String,
    secure: bool,
    same_site: SameSite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SameSite {
    None,
    Lax,
    Strict,
}

impl Browser {
    /// One without cookies.
    pub fn new(web: Web) -> Self {
        Self { web, jar: BTreeMap::new() }
    }

    /// Opens a page.
    ///
    /// # Errors
    /// If there is no answer; any status is one.
    pub async fn open(&mut self, url: &Url, from: From<'_>) -> Result<WebAnswer, WebError> {
        self.navigate(WebRequest::new(Method::GET, url.clone()), from).await
    }

    /// Submits a form by POST.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn submit(
        &mut self,
        action: &Url,
        fields: &[(String, String)],
        from: From<'_>,
    ) -> Result<WebAnswer, WebError> {
        let mut request = WebRequest::new(Method::POST, action.clone());
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        request.body = Bytes::from(body);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(header::CONTENT_TYPE, kind);
        self.navigate(request, from).await
    }

    /// A cookie's value, if the host has set it.
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.jar.get(&(host.to_owned(), name.to_owned())).map(|cookie| cookie.value.as_str())
    }

    /// Puts a cookie into the place of one that is there (to try what happens); false: there is none.
    pub fn replace_cookie(&mut self, host: &str, name: &str, value: &str) -> bool {
        let cookie = self.jar.get_mut(&(host.to_owned(), name.to_owned()));
        cookie.map(|cookie| value.clone_into(&mut cookie.value)).is_some()
    }

    /// Names of a host's cookies.
    pub fn cookie_names(&self, host: &str) -> Vec<&str> {
        self.jar.keys().filter(|(known, _)| known == host).map(|(_, name)| name.as_str()).collect()
    }

    async fn navigate(&mut self, mut request: WebRequest, from: From<'_>) -> Result<WebAnswer, WebError> {
        let (url, posts) = (request.url.clone(), request.method == Method::POST);
        let mut say = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers.insert(name, value);
            }
        };
        say("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        say("sec-fetch-mode", "navigate");
        say("sec-fetch-dest", "document");
        say("sec-fetch-site", from.site(&url));
        if let Some(origin) = from.origin().filter(|_| posts) {
            say("origin", &origin);
        }
        let cookies = self.cookies_for(&url, !from.is_elsewhere(&url), posts);
        if !cookies.is_empty() {
            say("cookie", &cookies);
        }
        let answer = self.web.ask(request).await?;
        for set in answer.headers.get_all(header::SET_COOKIE) {
            self.keep(&url, set);
        }
        Ok(answer)
    }

    fn cookies_for(&self, url: &Url, same_site: bool, posts: bool) -> String {
        let host = url.host_str().unwrap_or_default();
        let travels = |cookie: &Cookie| {
            let among_sites = match cookie.same_site {
                SameSite::None => true,
                SameSite::Lax => same_site || !posts,
                SameSite::Strict => same_site,
            };
            among_sites && covers(&cookie.path, url.path()) && (!cookie.secure || may_be_called(url))
        };
        let own = self.jar.iter().filter(|((known, _), cookie)| known == host && travels(cookie));
        own.map(|((_, name), cookie)| format!("{name}={}", cookie.value)).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, url: &Url, set: &HeaderValue) {
        let Some((name, cookie, ended)) = set.to_str().ok().and_then(|text| parse(text, url)) else { return };
        let key = (url.host_str().unwrap_or_default().to_owned(), name);
        if ended {
            self.jar.remove(&key);
        } else {
            self.jar.insert(key, cookie);
        }
    }
}

impl From<'_> {
    fn page(&self) -> Option<&Url> {
        match self {
            Self::Nowhere => None,
            Self::Page(page) | Self::SilentPage(page) => Some(page),
        }
    }

    fn origin(&self) -> Option<String> {
        match self {
            Self::Nowhere => None,
            Self::Page(page) => Some(page.origin().ascii_serialization()),
            Self::SilentPage(_) => Some("null".into()),
        }
    }

    fn is_elsewhere(&self, url: &Url) -> bool {
        self.page().is_some_and(|page| page.host_str() != url.host_str() || page.scheme() != url.scheme())
    }

    /// `Sec-Fetch-Site`; hosts that share a domain are taken for different sites, which is the stricter guess.
    fn site(&self, url: &Url) -> &'static str {
        match self.page() {
            None => "none",
            Some(page) if page.origin() == url.origin() => "same-origin",
            Some(_) if self.is_elsewhere(url) => "cross-site",
            Some(_) => "same-site",
        }
    }
}

impl std::fmt::Debug for Cookie {
    // A session's cookie is as good as its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cookie({}, {:?})", self.path, self.same_site)
    }
}

/// Name, cookie, and whether it has ended already.
fn parse(text: &str, url: &Url) -> Option<(String, Cookie, bool)> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let folder = url.path().rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    let mut cookie = Cookie { value: value.into(), path: folder.into(), secure: false, same_site: SameSite::Lax };
    let mut ended = false;
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        match attribute.to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => cookie.path = value.into(),
            "secure" => cookie.secure = true,
            "max-age" => ended = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            "samesite" => cookie.same_site = same_site(value),
            _ => {}
        }
    }
    // Browsers take `SameSite=None` from secure cookies only.
    let refused = cookie.same_site == SameSite::None && !cookie.secure || cookie.secure && !may_be_called(url);
    // RFC 6265bis §4.1.3.2; a `Domain` is never heeded here.
    let refused = refused || name.starts_with("__Host-") && !(cookie.secure && cookie.path == "/");
    (!name.is_empty() && !refused).then(|| (name.to_owned(), cookie, ended))
}

fn same_site(value: &str) -> SameSite {
    match value.to_ascii_lowercase().as_str() {
        "none" => SameSite::None,
        "strict" => SameSite::Strict,
        _ => SameSite::Lax,
    }
}

/// RFC 6265 §5.1.4.
fn covers(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(cookie: &str) {
    let Ok(url) = Url::parse("https://shop.example/homing/entry") else { return };
    if let Some((name, cookie, _)) = parse(cookie, &url) {
        assert!(!name.is_empty() && cookie.path.starts_with('/'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::web::Reach;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn browser(cookies: &[&str]) -> Browser {
        let mut browser = Browser::new(Web::new(&Reach::default()).unwrap());
        for cookie in cookies {
            browser.keep(&url("https://shop.example/homing/entry"), &HeaderValue::from_str(cookie).unwrap());
        }
        browser
    }

    #[test]
    fn cookies_travel_as_in_a_browser() {
        let all = browser(&[
            "none=1; SameSite=None; Secure; Path=/homing",
            "lax=2; SameSite=Lax; Path=/",
            "strict=3; SameSite=Strict; Path=/",
            "folder=4",
            "open=5; SameSite=None; Path=/",
            "__Host-loose=6; Path=/",
            "__Host-folder=7; Secure; Path=/homing",
        ]);
        let to = url("https://shop.example/homing/endpoint");
        assert_eq!(all.cookies_for(&to, true, true), "folder=4; lax=2; none=1; strict=3");
        assert_eq!(all.cookies_for(&to, false, true), "none=1");
        assert_eq!(all.cookies_for(&to, false, false), "folder=4; lax=2; none=1");
        assert_eq!(all.cookies_for(&url("https://shop.example/homingx"), true, false), "lax=2; strict=3");
        assert_eq!(all.cookies_for(&url("https://other.example/homing/endpoint"), true, false), "");
        assert_eq!(all.cookies_for(&url("http://shop.example/homing/endpoint"), false, true), "");
    }

    #[test]
    fn a_cookie_ends_and_is_never_printed() {
        let mut one = browser(&["a=secret; Path=/"]);
        assert_eq!((one.cookie("shop.example", "a"), one.cookie_names("shop.example")), (Some("secret"), vec!["a"]));
        assert!(!format!("{one:?}").contains("secret"));
        assert!(one.replace_cookie("shop.example", "a", "b") && !one.replace_cookie("shop.example", "c", "d"));
        one.keep(&url("https://shop.example/"), &HeaderValue::from_static("a=; Max-Age=0; Path=/"));
        assert_eq!(one.cookie("shop.example", "a"), None);
    }

    #[test]
    fn a_request_says_where_it_comes_from() {
        let (shop, hub) = (url("https://shop.example/a"), url("https://hub.example/w/1"));
        let said = |from: From<'_>| (from.site(&shop), from.origin());
        assert_eq!(said(From::Nowhere), ("none", None));
        assert_eq!(said(From::Page(&shop)), ("same-origin", Some("https://shop.example".into())));
        assert_eq!(said(From::SilentPage(&hub)), ("cross-site", Some("null".into())));
        assert_eq!(said(From::Page(&url("https://shop.example:444/"))).0, "same-site");
    }
}
