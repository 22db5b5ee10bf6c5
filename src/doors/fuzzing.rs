//! Fuzz targets of headers, cookies and forms of browsers.

use std::net::IpAddr;

use http::HeaderValue;

use super::{attachments, console, form, me};
use crate::events::{Cursor, Kind};
use crate::fuzzing::{read_back, text};
use crate::telemetry::traces;
use crate::{listen, senders};

/// Header values: who forwarded, ranges, cookies, ids to go on behind, traces; and what a browser posts to the form pages.
pub(crate) fn headers(data: &[u8]) {
    let text = text(data);
    if let Ok(value) = HeaderValue::from_bytes(data) {
        listen::fuzzed(&value);
        form::fuzzed_cookie(&value);
    }
    attachments::fuzzed_range(text);
    form::fuzzed_body(data);
    text.parse::<Cursor>().iter().for_each(|cursor| assert_eq!(cursor.to_string(), text, "an id in two ways"));
    text.parse::<Kind>().iter().for_each(read_back);
    if let Ok(scopes) = text.parse::<senders::Scopes>() {
        assert!(scopes.names().join(",").parse::<senders::Scopes>().is_ok_and(|again| again == scopes));
    }
    let _ = text.parse::<IpAddr>();
    // What was read of a trace is told on as it was.
    if let Some(parent) = traces::Parent::from_header(text) {
        assert_eq!(traces::Parent::from_header(&parent.header()), Some(parent));
        assert_eq!(traces::Parent::from_bytes(&parent.bytes()), Some(parent));
    }
}

/// What browsers send to console and mailbox, and what strangers wrote and a page shows.
pub(crate) fn pages(data: &[u8]) {
    console::fuzzing::pages(data);
    me::fuzzed_text(text(data));
}
