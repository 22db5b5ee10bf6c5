//! Fuzz targets of the API: paths, queries, and the bodies of requests.

use http::Method;

use super::campaigns;
use super::fields::Fields;
use super::messages::row::{Keyed, Row};
use super::page::Wanted;
use super::problem::Problem;
use super::values;
use super::{accounts, apps, deliveries, destinations, otp, routes, webhooks};
use crate::books::Lane;
use crate::fuzzing::{app, text};

/// A stranger's words that a refusal repeats are short.
const LONGEST_FIELD: usize = 120;

/// Paths, queries, and every body that is an object.
pub(crate) fn fields(data: &[u8]) {
    let text = text(data);
    path(text);
    query(text);
    let app = app();
    for keyed in [Keyed::ByRow, Keyed::ByHeader(None)] {
        refused(Fields::parse_with_raw(data).and_then(|fields| Row::read(fields, &app, Lane::Bulk, keyed)));
    }
    let parsed = || Fields::parse(data);
    refused(parsed().and_then(|fields| accounts::fuzzed(fields, &app.config.domain)));
    refused(parsed().and_then(|fields| webhooks::fuzzed(fields, &app.config)));
    refused(parsed().and_then(apps::fuzzed));
    refused(parsed().and_then(otp::fuzzed));
    refused(parsed().and_then(|mut fields| {
        let setting = destinations::setting(&mut fields);
        fields.finish(Some(setting))
    }));
}

/// Definitions of campaigns, and rows under them.
pub(crate) fn campaigns(data: &[u8]) {
    refused(campaigns::fuzzed(data));
}

fn path(text: &str) {
    for method in [Method::GET, Method::PUT] {
        if let Ok((_, parameters)) = routes::find(&method, text) {
            assert!(text.split('/').count() >= parameters.len());
            assert!(parameters.iter().map(String::len).sum::<usize>() <= text.len());
        }
    }
}

fn query(text: &str) {
    let mut fields = Fields::query(text);
    let _ = deliveries::filter::read(&mut fields, "our.example");
    let page = Wanted::read(&mut fields);
    assert!((1..=1000).contains(&page.limit()));
    refused(fields.finish(Some(())));
    if let Ok(address) = values::read_our_address(text, "our.example") {
        assert_eq!(address.domain().as_str(), "our.example");
    }
}

/// Every refusal can be told, names what is wrong, and repeats little.
fn refused<T>(read: Result<T, Problem>) {
    let Err(problem) = read else { return };
    assert!(serde_json::to_vec(&problem).is_ok());
    for error in problem.errors() {
        assert!(error.field.chars().count() <= LONGEST_FIELD, "a name of {} characters", error.field.chars().count());
        assert!(!error.message.is_empty() && !error.field.chars().any(char::is_control));
    }
}
