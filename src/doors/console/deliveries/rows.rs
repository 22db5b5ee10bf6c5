//! Deliveries in a list.

use maud::{Markup, Render, html};

use crate::books::{Delivery, WaitsFor};
use crate::doors::site::pieces::{Table, text, time};

use super::super::words;

/// Deliveries, newest first.
pub(in crate::doors::console) fn table(caption: &str, items: &[Delivery], empty: &str) -> Markup {
    let columns =
        [text("Delivery"), text("Accepted"), text("To"), text("State"), text("Why"), text("Tag"), text("Next try")];
    let row = |delivery: &Delivery| {
        vec![
            words::id_link("/console/deliveries", delivery.id),
            time(delivery.created_at),
            to(delivery),
            words::state(delivery.state),
            why(delivery),
            words::maybe(delivery.tag.as_deref()),
            words::moment(delivery.next_attempt_at),
        ]
    };
    Table { caption, columns: &columns, rows: items.iter().map(row).collect(), empty }.render()
}

/// Where it goes, and whose it is.
fn to(delivery: &Delivery) -> Markup {
    html! {
        (delivery.to.as_ref().unwrap_or(&delivery.destination))
        @if let Some(from) = &delivery.from { br; small { "from " (from) } }
    }
}

/// Why it is not delivered: what it waits for, or what the last try said.
pub(super) fn why(delivery: &Delivery) -> Markup {
    let waits = delivery.waits_for.map(waits_for);
    let code = delivery.reason.as_deref().or(delivery.last_code.as_deref());
    html! {
        @if let Some(code) = code { span .code { (code) } }
        @if let Some(status) = delivery.last_status.filter(|status| *status >= 300) { " HTTP " (status) }
        @if let Some(waits) = waits { @if code.is_some() { br; } small { "waits for " (waits) } }
        @if waits.is_none() && code.is_none() { (words::maybe(None)) }
    }
}

/// What it waits for, in words.
pub(super) fn waits_for(what: WaitsFor) -> &'static str {
    match what {
        WaitsFor::Time => "its time",
        WaitsFor::Destination => "its destination",
        WaitsFor::Turn => "those before it in its line",
        WaitsFor::Campaign => "its campaign, which is paused",
    }
}
