//! What the page after a change says of it, once: a sealed cookie of a minute, so that nobody else puts words on our pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};

use super::{Site, cookie};
use crate::App;
use crate::crypto::Purpose;

/// Long enough for the next page; one that never came says nothing later.
const LIFE_SECONDS: i64 = 60;
/// A cookie must stay small.
const LONGEST: usize = 600;

/// Words for the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doors) struct Flash {
    /// Whether it went well.
    pub(in crate::doors) good: bool,
    /// Never a secret: it is shown, and lies in the browser until then.
    pub(in crate::doors) words: String,
}

impl Flash {
    /// From a request's cookies.
    pub(in crate::doors) fn from_headers(app: &App, site: &Site, headers: &HeaderMap) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie(headers, &name(site))?).ok()?;
        let opened = app.keys.open(Purpose::Session, &context(site), &sealed).ok()?;
        let (until, rest) = opened.split_first_chunk()?;
        let (good, words) = rest.split_first()?;
        let fresh = i64::from_be_bytes(*until) > app.clock.unix_seconds();
        fresh.then(|| Some(Self { good: *good == 1, words: std::str::from_utf8(words).ok()?.to_owned() }))?
    }

    /// The words as a cookie for the next page.
    pub(in crate::doors) fn cookie(&self, app: &App, site: &Site) -> HeaderValue {
        let end = self.words.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST).last();
        let words = &self.words[..end.unwrap_or_default()];
        let until = app.clock.unix_seconds() + LIFE_SECONDS;
        let plain = [&until.to_be_bytes()[..], &[u8::from(self.good)], words.as_bytes()].concat();
        let sealed = app.keys.seal(Purpose::Session, &context(site), &plain);
        site.set_cookie(&name(site), &URL_SAFE_NO_PAD.encode(sealed), LIFE_SECONDS)
    }
}

/// The cookie that takes away what was said.
pub(in crate::doors) fn said(site: &Site) -> HeaderValue {
    site.set_cookie(&name(site), "", 0)
}

fn name(site: &Site) -> String {
    format!("{}_said", site.cookie)
}

fn context(site: &Site) -> Vec<u8> {
    format!("{} said", site.context).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    #[tokio::test]
    async fn words_come_back_and_nobody_else_makes_some() {
        let app = App::for_tests("shop.example");
        let site = Site::SAMPLE;
        let said = Flash { good: true, words: format!("{}é", "x".repeat(LONGEST - 1)) };
        let cookie = said.cookie(&app, &site);
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let back = |pair: &str| {
            let headers = HeaderMap::from_iter([(COOKIE, pair.parse().unwrap())]);
            Flash::from_headers(&app, &site, &headers)
        };
        assert_eq!(back(&pair), Some(Flash { good: true, words: "x".repeat(LONGEST - 1) }));
        assert_eq!(back("here_said=aGVsbG8"), None);
        assert_eq!(back(&format!("{pair}; {pair}")), None);
    }
}
