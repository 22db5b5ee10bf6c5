//! Pages that may call the door from a browser (CORS). There are no cookies here, so a page learns nothing that its reader did not
//! type into it. But each call may send a message at our expense: so what a browser says of itself is believed, and a page that
//! merely shows pictures "from here" to its many readers has nothing sent to anybody.

use http::header::{self, HeaderMap, HeaderValue};
use warp::reply::Response;

/// How long a browser may remember the answer to its question, in seconds.
const REMEMBERED: &str = "600";

/// The origins of the settings.
pub(super) enum Origins {
    /// Every page.
    Any,
    /// The pages of these.
    Of(Vec<HeaderValue>),
}

impl Origins {
    /// Of `mesibo.origins`.
    pub(super) fn new(settings: &[String]) -> Self {
        if settings.iter().any(|origin| origin == "*") {
            return Self::Any;
        }
        Self::Of(
            settings.iter().filter_map(|origin| HeaderValue::try_from(origin.trim_end_matches('/')).ok()).collect(),
        )
    }

    /// Whether this may be answered at all: not what a browser calls for a page that is not of the settings, or calls without letting
    /// the page read the answer (pictures, forms, links of other sites). Programs that are no browsers say nothing of this kind.
    pub(super) fn let_in(&self, request: &HeaderMap) -> bool {
        let says =
            |name: &str, words: &[&str]| request.get(name).is_some_and(|value| words.iter().any(|word| value == word));
        if says("sec-fetch-site", &["cross-site"]) && says("sec-fetch-mode", &["no-cors", "navigate"]) {
            return false;
        }
        match (self, request.get(header::ORIGIN)) {
            (Self::Of(known), Some(origin)) => known.contains(origin),
            _ => true,
        }
    }

    /// Lets the asking page read an answer, if it may.
    pub(super) fn let_read(&self, request: &HeaderMap, mut response: Response) -> Response {
        let headers = response.headers_mut();
        match self {
            Self::Any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Of(known) => {
                headers.insert(header::VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = request.get(header::ORIGIN).filter(|origin| known.contains(origin)) {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
            }
        }
        response
    }

    /// Answers a browser that asks beforehand.
    pub(super) fn preflight(&self, request: &HeaderMap, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, super::METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, super::METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        self.let_read(request, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(settings: &[&str], origin: &str) -> Option<String> {
        let settings: Vec<String> = settings.iter().map(|origin| (*origin).to_owned()).collect();
        let request = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::try_from(origin).unwrap())]);
        let response = Origins::new(&settings).let_read(&request, Response::new(Vec::new().into()));
        let value = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_pages_of_the_settings_may_read() {
        assert_eq!(allowed(&["*"], "https://a.example").as_deref(), Some("*"));
        let two = ["https://a.example/", "https://b.example"];
        assert_eq!(allowed(&two, "https://a.example").as_deref(), Some("https://a.example"));
        assert_eq!(allowed(&two, "https://b.example").as_deref(), Some("https://b.example"));
        for other in ["https://a.example.evil.example", "http://a.example", "null", "https://A.example"] {
            assert_eq!(allowed(&two, other), None, "{other}");
        }
        assert_eq!(allowed(&[], "https://a.example"), None);
    }

    #[test]
    fn browsers_are_let_in_for_pages_that_read_the_answer() {
        let site = vec![String::from("https://a.example")];
        for (headers, by_any, by_its_own) in [
            (&[][..], true, true),
            (
                &[("origin", "https://a.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")],
                true,
                true,
            ),
            (
                &[("origin", "https://b.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")],
                true,
                false,
            ),
            (&[("origin", "https://b.example")], true, false),
            (&[("origin", "null")], true, false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false, false),
            (
                &[("origin", "https://a.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                false,
                false,
            ),
            (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true, true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")], true, true),
        ] {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let request: HeaderMap = headers.collect();
            let asked = (Origins::Any.let_in(&request), Origins::new(&site).let_in(&request));
            assert_eq!(asked, (by_any, by_its_own), "{request:?}");
        }
    }
}
