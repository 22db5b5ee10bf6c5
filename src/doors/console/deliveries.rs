//! Deliveries: searched by anything, looked at one by one, replayed, cancelled.
//!
//! | file | what |
//! |---|---|
//! | `search`, `meant` | the box and the fields, into a filter; what a word of the box says |
//! | `rows` | deliveries in a list |
//! | `one` | a delivery with its attempts |
//!
//! A search is a link. Leaves out what a message says: that is sealed, and nobody's business here.

mod meant;
mod one;
mod rows;
pub(super) mod search;

pub(super) use one::{cancel, replay, show};
pub(super) use rows::table;

use maud::html;

use super::call::{Answer, Call, Turned, page};
use super::filled::Filled;
use super::words;
use crate::books::{self, Found};
use crate::doors::site::pieces;
use crate::senders::Scope;

/// Deliveries on one page.
const SHOWN: usize = 50;
const PATH: &str = "/console/deliveries";

/// `GET /console/deliveries`
pub(super) async fn list(call: Call) -> Answer {
    let mut form = Filled::of("find", &call.query);
    let search = search::read(&call, &mut form).await?;
    let after = form.optional("after", |text| text.parse().map_err(|_| "is not an id".into()));
    let found = match search.one {
        _ if !form.is_right() => Found { items: Vec::new(), next: None },
        Some(id) => Found { items: books::delivery(call.app(), id).await?.into_iter().collect(), next: None },
        None => books::deliveries(call.app(), &search.filter, after, SHOWN).await?,
    };
    let next = found.next.map(|next| call.next(PATH, &next.to_string()));
    let everything = search.filter.is_everything();
    let more = !everything && search.one.is_none();
    let empty = match next {
        Some(_) => "None among those looked at so far; the next page looks further back.",
        None => "Nothing was found.",
    };
    let content = html! {
        form .filter role="search" method="get" action=(PATH) {
            (form.line("q", "Search", "", "An id, an address, a domain, a webhook, a tag, a campaign, a state, a status or a code; several words narrow it down."))
            button { "Search" } " " a href=(PATH) { "Clear" }
            details #find-more .wide open[!form.is_right()] {
                summary { "More fields" }
                div .filter { (search::fields(&form, "")) button { "Search" } }
            }
        }
        @if more { (search::said(&search.filter)) }
        (table("Deliveries, newest first", &found.items, empty))
        (pieces::pager(call.first(PATH).as_deref(), next.as_deref()))
        @if more && form.is_right() && call.may_change(Scope::Deliveries) {
            p .actions {
                a href=(search::link("/console/replays/new", &search.filter)) { "Replay what this finds…" }
                a href=(search::link("/console/cancellations/new", &search.filter)) { "Cancel what this finds…" }
            }
        }
    };
    page("Deliveries", &content)
}

/// A link to the deliveries of a filter in one field.
pub(super) fn link(field: &str, value: &str) -> String {
    words::link(PATH, &[(field, value)])
}

fn at(id: uuid::Uuid) -> String {
    format!("{PATH}/{id}")
}

fn missing() -> Turned {
    Turned::missing("delivery")
}

/// For the fuzzer: whatever stands in the box means something.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed_word(text: &str) {
    for word in text.split_whitespace() {
        let _ = meant::meant(word, "our.example");
    }
}
