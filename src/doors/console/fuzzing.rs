//! For the fuzz target of what a browser sends to a site: queries, posted forms, the way back after signing in, cookies.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use url::{Url, form_urlencoded};

use super::deliveries::search::{link, read_fields};
use super::filled::Filled;
use super::{deliveries, sign_in, words};
use crate::doors::site::Site;
use crate::doors::site::fields::Fields;
use crate::doors::site::flash::Flash;
use crate::doors::site::session::Session;
use crate::fuzzing::{app, text};

/// When the fuzzer looks, in Unix seconds.
const NOW: i64 = 1_790_000_000;

/// The same bytes as a query, a form, a path's segment, a way back and a cookie.
pub(in crate::doors) fn pages(data: &[u8]) {
    let text = text(data);
    looked_for(data);
    deliveries::fuzzed_word(text);
    sign_in::fuzzed_way(text);
    segment(text);
    if let Ok(value) = HeaderValue::from_bytes(data) {
        cookies(value);
    }
}

/// What a search found is what its links and its forms look for again: a dry run and the change behind it mean the same.
fn looked_for(data: &[u8]) {
    let fields = Fields::parse(data);
    let now = Timestamp::from_second(NOW).unwrap_or_default();
    let mut form = Filled::of("search", &fields);
    let filter = read_fields(&mut form, "our.example", now);
    if !form.is_right() {
        return;
    }
    let link = link("/console/dead", &filter);
    let query = link.split_once('?').map_or("", |(_, query)| query);
    let again = Fields::parse(query.as_bytes());
    let mut form = Filled::of("search", &again);
    assert!(read_fields(&mut form, "our.example", now) == filter && form.is_right(), "a link looks for something else");
    let page = Fields::parse(fields.with("after", "x").as_bytes());
    assert_eq!(page.get("after"), "x");
}

/// A text of others stays one segment, and comes back as it was.
fn segment(text: &str) {
    let segment = words::segment(text);
    assert!(!segment.contains(['/', '?', '#', '&', '"', '<']) && segment.is_ascii());
    let read = form_urlencoded::parse(segment.as_bytes()).next();
    assert_eq!(read.map(|(name, _)| name.into_owned()).unwrap_or_default(), text);
    let base = Url::parse("https://our.example/console/webhooks/x");
    let led = base.and_then(|base| base.join(&format!("/console/webhooks/{segment}")));
    // "." and ".." are no names of anything of ours; what they lead to is ours all the same.
    assert!(led.is_ok_and(|led| led.host_str() == Some("our.example")));
}

/// Nobody else seals a session, or words for a page.
fn cookies(value: HeaderValue) {
    let site = Site::SAMPLE;
    let headers = HeaderMap::from_iter([(COOKIE, value)]);
    let app = app();
    assert!(Session::from_headers(&app, &site, &headers).is_none(), "a session that nobody began");
    assert!(Flash::from_headers(&app, &site, &headers).is_none(), "words that nobody said");
}
