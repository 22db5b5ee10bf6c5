//! A page around its content, and the headers that keep it from being kept, framed or scripted by others.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};
use warp::reply::Response;

use super::Site;
use super::assets::Assets;
use super::flash::Flash;
use super::pieces;
use super::session::Session;

/// Own files only, nothing inline; forms lead to this origin, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// More links than this are behind a button on a phone.
const FEW_LINKS: usize = 5;

/// Links that belong together.
#[derive(Debug, Clone)]
pub(in crate::doors) struct Group<'a> {
    /// What they are; empty: they need no heading.
    pub(in crate::doors) words: &'a str,
    /// Path and words of each.
    pub(in crate::doors) links: Vec<(String, &'a str)>,
}

/// What is around the content of each page of a site.
pub(in crate::doors) struct Frame<'a> {
    /// Where the site is.
    pub(in crate::doors) site: &'a Site,
    /// Its style sheet and script.
    pub(in crate::doors) assets: &'a Assets,
    /// What it is called.
    pub(in crate::doors) name: &'a str,
    /// Whose it is, beside the name: the node's domain.
    pub(in crate::doors) of: &'a str,
    /// Its pages, as far as this person may see them.
    pub(in crate::doors) groups: &'a [Group<'a>],
    /// The path of the link that leads here.
    pub(in crate::doors) here: &'a str,
    /// Who is signed in: a name, and the session for the form that signs out.
    pub(in crate::doors) signed_in: Option<(&'a str, &'a Session)>,
    /// Beside the name: how the node is.
    pub(in crate::doors) strip: Option<Markup>,
    /// What became of the last change.
    pub(in crate::doors) flash: Option<&'a Flash>,
    /// The stream that keeps this page up to date.
    pub(in crate::doors) stream: Option<&'a str>,
}

impl Frame<'_> {
    /// The page. `main` begins with its `h1`.
    pub(in crate::doors) fn response(&self, status: StatusCode, title: &str, main: &Markup) -> Response {
        let mut response = bare(status);
        *response.body_mut() = self.html(title, main).into_string().into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }

    fn html(&self, title: &str, main: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · " (self.of) " · " (self.name) }
                    link rel="icon" type="image/svg+xml" href=(self.assets.address("icon.svg"));
                    link rel="stylesheet" href=(self.assets.address("site.css"));
                    script src=(self.assets.address("live.js")) defer {}
                }
                body class=[self.groups.is_empty().then_some("alone")] {
                    a .skip href="#main" { "Skip to the content" }
                    (self.head())
                    div .columns {
                        (self.navigation())
                        main #main tabindex="-1" data-stream=[self.stream] {
                            (pieces::flash(self.flash))
                            (main)
                        }
                    }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            header .top {
                a .brand href=(self.site.path) { (self.name) " " span { (self.of) } }
                @if let Some(strip) = &self.strip { div .strip data-live="health" { (strip) } }
                span #live .live hidden {}
                @if let Some((name, session)) = self.signed_in {
                    form .who method="post" action={ (self.site.path) "/sign-out" } {
                        (pieces::token(session))
                        span { span .unseen { "Signed in as " } (name) }
                        button .quiet { "Sign out" }
                    }
                }
            }
        }
    }

    /// On a phone many links are behind a button that needs no script; only one of the two is there for anybody at a time.
    fn navigation(&self) -> Markup {
        let many = self.groups.iter().map(|group| group.links.len()).sum::<usize>() > FEW_LINKS;
        html! {
            @if !self.groups.is_empty() {
                nav .side .wide[many] aria-label="Pages" { (self.links()) }
                @if many {
                    details .menu { summary { "Menu" } nav aria-label="Pages" { (self.links()) } }
                }
            }
        }
    }

    fn links(&self) -> Markup {
        html! {
            @for group in self.groups {
                @if !group.words.is_empty() { p .group { (group.words) } }
                ul { @for (path, words) in &group.links {
                    li { a href=(path) aria-current=[(path == self.here).then_some("page")] { (words) } }
                } }
            }
        }
    }
}

/// No content, with every header a page has.
pub(in crate::doors) fn bare(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Our own forms must say where they come from: browsers send the origin `null` with those of a page that says nothing.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// 303 to a path of ours.
pub(in crate::doors) fn see_other(path: &str) -> Response {
    let mut response = bare(StatusCode::SEE_OTHER);
    let location = HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site::SAMPLE;

    fn page(title: &str, main: &Markup) -> Response {
        let assets = Assets::of(&SITE, &[]);
        let groups = [Group { words: "A & B", links: vec![("/here".into(), "First"), ("/here/x".into(), "<Second>")] }];
        let frame = Frame {
            site: &SITE,
            assets: &assets,
            name: "here",
            of: "shop.example",
            groups: &groups,
            here: "/here",
            signed_in: None,
            strip: None,
            flash: Some(&Flash { good: false, words: "<img src=x>".into() }),
            stream: None,
        };
        frame.response(StatusCode::OK, title, main)
    }

    #[tokio::test]
    async fn nobodys_text_becomes_html_and_nothing_is_inline() {
        let response = page("<script>1</script>", &html! { h1 { ("\"><b>") } });
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let html = std::str::from_utf8(&body).unwrap();
        for not in ["<script>1", "<Second>", "<img src=x>", "<b>", " style=", "onclick", "<style"] {
            assert!(!html.contains(not), "{not} in {html}");
        }
        assert!(html.contains("aria-current=\"page\">First<"), "{html}");
        assert_eq!(html.matches("<script").count(), 1);
    }

    #[test]
    fn no_page_may_be_kept_framed_or_scripted() {
        let response = page("", &html! {});
        let header = |name: http::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header(CACHE_CONTROL), header(X_FRAME_OPTIONS)), ("no-store".into(), "DENY".into()));
        let said = header(CONTENT_SECURITY_POLICY);
        assert!(said.contains("default-src 'none'") && !said.contains("unsafe"), "{said}");
    }
}
