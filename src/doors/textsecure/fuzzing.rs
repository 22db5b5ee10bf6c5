//! Fuzz targets of requests by devices of phone numbers.

use super::{accounts, credentials, directory, keys, keys_v2, messages, newcomer, request};
use crate::fuzzing::text;
use crate::textsecure::{Number, TokenText};

/// Every JSON body.
pub(crate) fn bodies(data: &[u8]) {
    accounts::fuzzed(data);
    directory::fuzzed(data);
    keys::fuzzed(data);
    keys_v2::fuzzed(data);
    messages::fuzzed(data);
    newcomer::fuzzed(data);
}

/// Credentials, paths, numbers and tokens.
pub(crate) fn words(data: &[u8]) {
    let text = text(data);
    credentials::fuzzed(text);
    request::fuzzed(text);
    if let Ok(number) = text.parse::<Number>() {
        assert_eq!(number.as_str(), text);
        let token = number.token();
        assert_eq!(TokenText::read(&token.text()), TokenText::Token(token));
    }
    if let TokenText::Token(token) = TokenText::read(text) {
        assert_eq!(TokenText::read(&token.text()), TokenText::Token(token));
    }
}
