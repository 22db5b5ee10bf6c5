//! URLs of this node that carry their own right: what may be done with which file until when, under a keyed hash.

use std::time::Duration;

use url::form_urlencoded;

use crate::App;
use crate::crypto::{Purpose, decode_hex, encode_hex, same};

/// What a URL lets its holder do; nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Store the file, or store it again.
    Put,
    /// Fetch it, or ask about it.
    Get,
}

/// Why a URL gives no right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Something is missing or twice there, or the signature is not ours: changed, made for another file or another operation.
    #[error("the URL's signature is not valid for this")]
    Signature,
    /// It was good.
    #[error("the URL has expired")]
    Expired,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }
}

/// A URL that is good for `life` from now on, to the second.
pub(super) fn url(app: &App, base: &str, operation: Operation, id: u64, life: Duration) -> String {
    let expires = (app.clock.now() + life).as_second();
    let parts = parts(operation, id, expires);
    let signature = encode_hex(&app.keys.hash(Purpose::Attachment, &parts.each_ref().map(Vec::as_slice)));
    format!("{base}/attachments/{id}?expires={expires}&operation={}&signature={signature}", operation.word())
}

/// Whether the query gives the right now. What it says beside that is ignored, as proxies and applications add things.
pub(super) fn check(app: &App, operation: Operation, id: u64, query: &str) -> Result<(), Denied> {
    let expires = only(query, "expires").and_then(|text| text.parse::<i64>().ok()).ok_or(Denied::Signature)?;
    let said = only(query, "operation").ok_or(Denied::Signature)?;
    let signature: [u8; 32] =
        only(query, "signature").and_then(|text| decode_hex(&text).ok()).ok_or(Denied::Signature)?;
    let parts = parts(operation, id, expires);
    let right = app.keys.hashes(Purpose::Attachment, &parts.each_ref().map(Vec::as_slice));
    // Every key is tried, so that the time says nothing about which of them it was.
    let signed = right.iter().fold(false, |found, hash| found | same(hash, &signature));
    if !signed || said != operation.word() {
        return Err(Denied::Signature);
    }
    if app.clock.now().as_second() < expires { Ok(()) } else { Err(Denied::Expired) }
}

fn parts(operation: Operation, id: u64, expires: i64) -> [Vec<u8>; 3] {
    [operation.word().into(), id.to_be_bytes().into(), expires.to_be_bytes().into()]
}

/// The value of a parameter that is there exactly once.
fn only(query: &str, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then(|| first.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn query_of(app: &App, operation: Operation, id: u64) -> String {
        let url = url(app, "https://a.example", operation, id, LIFE);
        let (path, query) = url.split_once('?').unwrap();
        assert_eq!(path, format!("https://a.example/attachments/{id}"));
        query.to_owned()
    }

    #[tokio::test]
    async fn a_url_is_good_for_its_file_and_operation_until_its_end() {
        let app = App::for_tests("a.example");
        let query = query_of(&app, Operation::Put, 7);
        assert_eq!(check(&app, Operation::Put, 7, &query), Ok(()));
        assert_eq!(check(&app, Operation::Put, 7, &format!("{query}&cache=1")), Ok(()));
        assert_eq!(check(&app, Operation::Put, 8, &query), Err(Denied::Signature));
        assert_eq!(check(&app, Operation::Get, 7, &query), Err(Denied::Signature));
        assert_eq!(check(&app, Operation::Get, 7, &query.replace("=put", "=get")), Err(Denied::Signature));
        app.clock.advance(LIFE + Duration::from_secs(1));
        assert_eq!(check(&app, Operation::Put, 7, &query), Err(Denied::Expired));
    }

    #[tokio::test]
    async fn what_was_changed_left_out_or_said_twice_gives_no_right() {
        let app = App::for_tests("a.example");
        let query = query_of(&app, Operation::Get, 7);
        let expires = only(&query, "expires").unwrap();
        let later = (expires.parse::<i64>().unwrap() + 1).to_string();
        let changed = [
            String::new(),
            query.replace(&expires, &later),
            query.replace(&expires, "-1"),
            query.replace("signature=", "signature=0"),
            query.replace("signature=", "sign="),
            query.replace("operation=get&", ""),
            format!("{query}&operation=get"),
            format!("expires={later}&{query}"),
            query[..query.len() - 1].to_owned(),
        ];
        for query in changed {
            assert_eq!(check(&app, Operation::Get, 7, &query), Err(Denied::Signature), "{query}");
        }
        let other = App::for_tests("a.example");
        assert_eq!(check(&other, Operation::Get, 7, &query), Err(Denied::Signature), "the key of another node");
    }

    #[tokio::test]
    async fn after_a_change_of_keys_older_urls_are_still_good() {
        let (one, two) = (format!("1 {}", "11".repeat(32)), format!("2 {}", "22".repeat(32)));
        let keys = |text: &str| crate::crypto::NodeKeys::parse(text).unwrap().into();
        let before = App { keys: keys(&one), ..App::for_tests("a.example") };
        let after = App { keys: keys(&format!("{two}\n{one}\n")), ..App::for_tests("a.example") };
        assert_eq!(check(&after, Operation::Get, 7, &query_of(&before, Operation::Get, 7)), Ok(()));
        assert_eq!(check(&before, Operation::Get, 7, &query_of(&after, Operation::Get, 7)), Err(Denied::Signature));
    }
}
