//! The hub's pages: where somebody's space is made, unlocked and looked after, in their own browser.
//!
//! | path | page |
//! |---|---|
//! | `/homing/hub/` | a space: created, brought here, unlocked; personas, welcomes, properties, notices |
//! | `/homing/hub/w/{id}` | one welcome: who asks for what, approved or refused |
//! | `/homing/hub/utilities/reveal-keys` | the key files of each persona |
//! | `/homing/hub/utilities/secret-sauce` | sites and their sauces |
//! | `/homing/hub/assets/{file}` | the scripts and the style sheet of these pages |
//!
//! Promises: keys and passwords stay in the browser, so every page is the same text for everybody, and its script does the rest over
//! the hub's API; no inline script or style, nothing of a third party, no cookie; a page can send a form to the hub itself only, the
//! page of a welcome also to the site that asked; pages are not kept, assets are, under an address that changes with them. Without
//! JavaScript a page says why it needs it. Leaves out everything the API decides.

mod assets;
mod request;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::App;
use crate::failure::chain;

/// Where the pages are.
const BASE: &str = "/homing/hub";

/// The pages and their assets; other paths are the next door's.
pub(super) fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and_then(move |path: FullPath, method: Method, query: String, headers: HeaderMap| {
            let app = app.clone();
            async move {
                let page = path.as_str().strip_prefix(BASE).and_then(Page::at).ok_or_else(warp::reject::not_found)?;
                let mut response = match method {
                    Method::GET | Method::HEAD => page.response(&app, &query, &headers).await,
                    _ => empty(StatusCode::METHOD_NOT_ALLOWED, http::header::ALLOW, "GET, HEAD"),
                };
                if method == Method::HEAD {
                    *response.body_mut() = Default::default();
                }
                Ok::<_, warp::Rejection>(response)
            }
        })
        .boxed()
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page<'a> {
    /// `/homing/hub` without the slash behind it.
    Unslashed,
    Home,
    Welcome(&'a str),
    RevealKeys,
    SecretSauce,
    Asset(&'a str),
}

impl<'a> Page<'a> {
    /// What is at a path below the hub's.
    fn at(path: &'a str) -> Option<Self> {
        match path {
            "" => Some(Self::Unslashed),
            "/" => Some(Self::Home),
            "/utilities/reveal-keys" => Some(Self::RevealKeys),
            "/utilities/secret-sauce" => Some(Self::SecretSauce),
            _ => {
                let named = |name: &&str| !name.is_empty() && !name.contains('/');
                let welcome = path.strip_prefix("/w/").filter(named).map(Self::Welcome);
                welcome.or_else(|| path.strip_prefix("/assets/").filter(named).map(Self::Asset))
            }
        }
    }

    async fn response(self, app: &App, query: &str, headers: &HeaderMap) -> Response {
        match self {
            Self::Unslashed => empty(StatusCode::PERMANENT_REDIRECT, LOCATION, "/homing/hub/"),
            Self::Home => page("Your space", "home.js", HOME, None),
            Self::RevealKeys => page("Reveal keys", "utilities.js", REVEAL_KEYS, None),
            Self::SecretSauce => page("Secret sauce", "utilities.js", SECRET_SAUCE, None),
            Self::Asset(name) => assets::response(name, query, headers),
            Self::Welcome(id) => {
                let merchant = request::target(app, id).await.unwrap_or_else(|error| {
                    tracing::error!(error = %chain(&error), "the page of a welcome does not know its merchant");
                    None
                });
                page("Sign in", "welcome.js", WELCOME, merchant.as_deref())
            }
        }
    }
}

const LAYOUT: &str = include_str!("pages/layout.html");
const HOME: &str = include_str!("pages/home.html");
const WELCOME: &str = include_str!("pages/welcome.html");
const REVEAL_KEYS: &str = include_str!("pages/reveal-keys.html");
const SECRET_SAUCE: &str = include_str!("pages/secret-sauce.html");
const LOCKED: &str = include_str!("pages/locked.html");
const NONE: &str = include_str!("pages/none.html");

/// A page that may send forms to the hub, and to this origin.
fn page(title: &str, script: &str, main: &str, forms_to: Option<&str>) -> Response {
    let mut response = Response::new(html(title, script, main).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Unwrap safety: the origin is printed by the URL parser, in ASCII.
    let policy = HeaderValue::try_from(policy(forms_to)).expect("a header");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// `wasm-unsafe-eval` lets libsodium's WebAssembly be compiled; it lets no text become script.
fn policy(forms_to: Option<&str>) -> String {
    let forms_to = forms_to.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; \
         form-action 'self'{forms_to}; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
    )
}

fn html(title: &str, script: &str, main: &str) -> String {
    LAYOUT
        .replace("{{main}}", main)
        .replace("{{locked}}", LOCKED)
        .replace("{{none}}", NONE)
        .replace("{{title}}", title)
        .replace("{{style}}", &assets::address("style.css"))
        .replace("{{script}}", &assets::address(script))
}

fn empty(status: StatusCode, header: http::HeaderName, value: &'static str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response.headers_mut().insert(header, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: [(&str, &str); 4] =
        [("home.js", HOME), ("welcome.js", WELCOME), ("utilities.js", REVEAL_KEYS), ("utilities.js", SECRET_SAUCE)];

    #[test]
    fn every_path_is_one_page() {
        assert_eq!(Page::at(""), Some(Page::Unslashed));
        assert_eq!(Page::at("/"), Some(Page::Home));
        assert_eq!(Page::at("/w/hsc_0001"), Some(Page::Welcome("hsc_0001")));
        assert_eq!(Page::at("/assets/home.js"), Some(Page::Asset("home.js")));
        for other in ["/w/", "/w/a/b", "/assets/", "/assets/../Cargo.toml", "/api/v1/keys", "x", "/utilities/"] {
            assert_eq!(Page::at(other), None, "{other}");
        }
    }

    #[test]
    fn a_page_has_no_script_or_style_of_its_own_and_nothing_of_others() {
        for (script, main) in PAGES {
            let html = html("Title", script, main);
            assert!(!html.contains("{{"), "something was not filled in: {html}");
            assert_eq!(html.matches("<script").count(), 1, "{script}");
            assert!(html.contains(&format!("<script type=\"module\" src=\"{}\"></script>", assets::address(script))));
            for not in ["<style", " style=", " onclick", " onsubmit", "javascript:", "src=\"http", "href=\"http"] {
                assert!(!html.contains(not), "{script} has {not}");
            }
        }
    }

    /// Every `<input>`, `<select>` and `<textarea>` has its `<label>`.
    #[test]
    fn every_field_has_a_label() {
        for (script, main) in PAGES {
            let html = html("Title", script, main);
            for field in ["<input ", "<select ", "<textarea "] {
                for tag in html.split(field).skip(1) {
                    let id = tag.split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
                    assert!(html.contains(&format!("<label for=\"{id}\"")), "{script}: {field} {id} has no label");
                }
            }
        }
    }

    #[test]
    fn the_words_stay_where_no_script_runs() {
        for (script, main) in PAGES {
            assert!(html("Title", script, main).contains("<noscript>"), "{script}");
        }
        assert!(PAGES.iter().all(|(_, main)| !main.contains("<section") || main.contains("hidden")));
    }

    #[test]
    fn a_form_goes_to_the_hub_and_to_who_asked() {
        assert!(policy(None).contains("form-action 'self'; frame-ancestors 'none'"));
        let asked = policy(Some("https://shop.example:8443"));
        assert!(asked.contains("form-action 'self' https://shop.example:8443; frame-ancestors"), "{asked}");
        let response = page("Title", "home.js", HOME, None);
        let header = |name: http::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header(CACHE_CONTROL), "no-store");
        assert_eq!(header(REFERRER_POLICY), "no-referrer");
    }
}
