//! What a word of the search box says.
//!
//! Words are told apart by their form: an id, an address, a state, a status, a domain; or as `tag:spring`. A word that may be several
//! things is what something is found by: destination, tag, code, sender, in this order. Each look is bounded.

use uuid::Uuid;

use super::super::call::{Call, Turned};
use crate::books::{self, Filter, State, Status};
use crate::destinations;
use crate::openmsg::{Address, Domain};

/// What a word of the box says.
#[derive(Debug, PartialEq)]
pub(super) enum Meant {
    Id(Uuid),
    Campaign(Uuid),
    From(String),
    To(String),
    State(State),
    Status(Status),
    Destination(String),
    Code(String),
    Tag(String),
    Sender(String),
    /// Any of the last four.
    Word(String),
}

/// By its form.
pub(super) fn meant(word: &str, domain: &str) -> Meant {
    if let Some(meant) = word.split_once(':').and_then(|(name, value)| named(name, value, domain)) {
        return meant;
    }
    if let Ok(id) = word.parse() {
        return Meant::Id(id);
    }
    if let Ok(address) = word.parse::<Address>() {
        let ours = address.domain().as_str() == domain;
        return if ours { Meant::From(address.to_string()) } else { Meant::To(address.to_string()) };
    }
    if let Some(state) = State::from_name(&word.to_ascii_lowercase()) {
        return Meant::State(state);
    }
    if let Ok(status) = word.parse() {
        return Meant::Status(status);
    }
    match word.parse::<Domain>() {
        Ok(name) => Meant::Destination(name.to_string()),
        Err(_) => Meant::Word(word.to_owned()),
    }
}

/// `tag:spring` and the like.
fn named(name: &str, value: &str, domain: &str) -> Option<Meant> {
    let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
    match name {
        "id" => value.parse().ok().map(Meant::Id),
        "campaign" => value.parse().ok().map(Meant::Campaign),
        "from" => Address::of_ours(value, domain).ok().map(|address| Meant::From(address.to_string())),
        "to" => value.parse::<Address>().ok().map(|address| Meant::To(address.to_string())),
        "state" => State::from_name(value).map(Meant::State),
        "status" => value.parse().ok().map(Meant::Status),
        "destination" => text().map(Meant::Destination),
        "code" => text().map(Meant::Code),
        "tag" => text().map(Meant::Tag),
        "sender" => text().map(Meant::Sender),
        _ => None,
    }
}

/// What a word is that may be several things: the first that something is found by, else a tag.
pub(super) async fn found_by(call: &Call, word: &str) -> Result<Meant, Turned> {
    let text = || Some(word.to_owned());
    let lower = word.to_ascii_lowercase();
    if destinations::is_name(&lower) && destinations::find(call.app(), &lower).await?.is_some() {
        return Ok(Meant::Destination(lower));
    }
    let tries = [
        (Filter { tag: text(), ..Filter::default() }, Meant::Tag(word.to_owned())),
        (Filter { code: text(), ..Filter::default() }, Meant::Code(word.to_owned())),
        (Filter { sender: text(), ..Filter::default() }, Meant::Sender(word.to_owned())),
    ];
    for (filter, meant) in tries {
        if !books::deliveries(call.app(), &filter, None, 1).await?.items.is_empty() {
            return Ok(meant);
        }
    }
    Ok(Meant::Word(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_told_apart_by_their_form() {
        let id: Uuid = "0192f0c1-5a3e-7b11-8f00-1234567890ab".parse().unwrap();
        let text = |text: &str| text.to_owned();
        for (word, expected) in [
            ("0192f0c1-5a3e-7b11-8f00-1234567890ab", Meant::Id(id)),
            ("campaign:0192f0c1-5a3e-7b11-8f00-1234567890ab", Meant::Campaign(id)),
            ("1000*our.example", Meant::From(text("1000*our.example"))),
            ("1000*Their.example", Meant::To(text("1000*their.example"))),
            ("from:1000", Meant::From(text("1000*our.example"))),
            ("Failed", Meant::State(State::Failed)),
            ("5xx", Meant::Status("5xx".parse().unwrap())),
            ("404", Meant::Status("404".parse().unwrap())),
            ("peer.example", Meant::Destination(text("peer.example"))),
            ("tag:failed", Meant::Tag(text("failed"))),
            ("sms:codes", Meant::Word(text("sms:codes"))),
            ("status:odd", Meant::Word(text("status:odd"))),
            ("spring", Meant::Word(text("spring"))),
        ] {
            assert_eq!(meant(word, "our.example"), expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_word_is_answered(text: String) {
            let _ = meant(&text, "our.example");
        }
    }
}
