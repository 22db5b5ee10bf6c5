//! Fuzz targets of settings, key files and lengths of time.

use super::{ByteSize, Mode, Period, Secret, host, load};
use crate::crypto::{NodeKeys, decode_hex, decode_hex_any_case, encode_hex};
use crate::fuzzing::{read_back, text};

/// Whole files, and what single values are written like.
pub(crate) fn settings(data: &[u8]) {
    let text = text(data);
    text.parse::<Period>().iter().for_each(read_back);
    text.parse::<ByteSize>().iter().for_each(read_back);
    let _ = (host::is_host(text), host::is_http_url(text, Mode::Production));
    // An empty one says that nothing is set.
    if !text.is_empty() {
        assert_eq!(
            format!("{:?}", Secret::from(text.to_owned())).len(),
            format!("{:?}", Secret::from(String::from("x"))).len()
        );
    }
    if let Ok(bytes) = decode_hex::<8>(text) {
        assert_eq!(encode_hex(&bytes), text);
        assert_eq!(decode_hex_any_case::<8>(text), Ok(bytes));
    }
    let _ = NodeKeys::parse(text).map(|keys| assert!(keys.current() > 0));
    crate::tls::fuzzed(data);
    load::fuzzed(text);
}
