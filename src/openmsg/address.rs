//! Addresses: `ID*DOMAIN`.
//!
//! An ID is a text of digits (leading zeros count), a domain is a public host name. Both are canonical once parsed: trimmed, the
//! domain in lower case, because every hash of the protocol is over the very text. Where a peer's own spelling is hashed, the door
//! keeps it beside the address.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest address, in bytes.
const LONGEST_ADDRESS: usize = 255;
/// Longest host name and longest label, in bytes (RFC 1035, 2.3.4).
const LONGEST_DOMAIN: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Longest ID of an account of this node, in digits. Other nodes choose for themselves.
const LONGEST_OWN_ID: usize = 20;

/// A host name that may belong to a peer: at least two labels of letters, digits and inner hyphens, in lower case.
///
/// Never an IP address in any spelling, a port, a path or user information: what parses is safe to put into a URL. Whether it leads
/// to a public machine is checked when it is resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

/// The part of an address before the `*`: digits, kept as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressId(Arc<str>);

/// A whole address. Ordered and hashed by its text; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: Arc<str>,
    domain: Domain,
}

/// Why a text is not a [`Domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing there.
    #[error("a domain is missing")]
    Empty,
    /// Longer than a host name may be.
    #[error("a domain has at most 253 characters")]
    TooLong,
    /// A single label, such as `localhost`.
    #[error("a domain has at least two labels, such as shop.example")]
    OneLabel,
    /// A label that is empty, longer than 63 characters, or has other characters than letters, digits and inner hyphens.
    #[error(
        "a domain consists of letters, digits and hyphens, in labels of at most 63 (no port, no path; write other scripts as xn--…)"
    )]
    Label,
    /// The last label is a number, so this is an IP address or would be read as one.
    #[error("a domain is a name, not an IP address")]
    Number,
}

/// Why a text is not an [`AddressId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing, or something else than digits.
    #[error("the part before the * consists of digits")]
    Digits,
    /// No address has room for it.
    #[error("the part before the * is too long")]
    TooLong,
    /// Fit for a peer, but not for an account of this node.
    #[error(
        "an account of this node has 1 to 20 digits before the *, and not just 0, which other nodes take for nothing"
    )]
    NotIssued,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `*`.
    #[error("an address has the form 12345*shop.example")]
    NoStar,
    /// Longer than 255 characters.
    #[error("an address has at most 255 characters")]
    TooLong,
    /// The part before the `*`.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The part behind the `*`.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl Domain {
    /// The host name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > LONGEST_DOMAIN {
            return Err(DomainError::TooLong);
        }
        if !text.split('.').all(is_label) {
            return Err(DomainError::Label);
        }
        let text = text.to_ascii_lowercase();
        let (_, last) = text.rsplit_once('.').ok_or(DomainError::OneLabel)?;
        if is_number(last) { Err(DomainError::Number) } else { Ok(Self(text.into())) }
    }
}

impl AddressId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an account of this node may have it: 1–20 digits, not `0`, which PHP peers take for a missing field.
    pub fn check_issued(&self) -> Result<(), IdError> {
        if self.0.len() > LONGEST_OWN_ID || &*self.0 == "0" { Err(IdError::NotIssued) } else { Ok(()) }
    }
}

impl FromStr for AddressId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            Err(IdError::Digits)
        } else if text.len() >= LONGEST_ADDRESS {
            Err(IdError::TooLong)
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl Address {
    /// Puts an address together.
    pub fn new(id: &AddressId, domain: &Domain) -> Result<Self, AddressError> {
        let text = format!("{id}*{domain}");
        if text.len() > LONGEST_ADDRESS {
            return Err(AddressError::TooLong);
        }
        Ok(Self { text: text.into(), domain: domain.clone() })
    }

    /// An address of this node, from its full form or the digits alone; why it is none, in words that follow the field's name.
    pub fn of_ours(text: &str, domain: &str) -> Result<Self, String> {
        let not_valid = |error: &dyn fmt::Display| format!("is not valid: {error}");
        if text.contains('*') {
            let address: Self = text.parse().map_err(|error| not_valid(&error))?;
            let ours = address.domain().as_str() == domain;
            return if ours {
                Ok(address)
            } else {
                Err(format!("is not an address of this node: those end in *{domain}"))
            };
        }
        let id: AddressId = text.parse().map_err(|error| not_valid(&error))?;
        let domain: Domain = domain.parse().map_err(|error| format!("has no domain: {error}"))?;
        Self::new(&id, &domain).map_err(|error| not_valid(&error))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `*`.
    pub fn id(&self) -> AddressId {
        AddressId(self.id_str().into())
    }

    /// The part before the `*`, as text.
    pub fn id_str(&self) -> &str {
        &self.text[..self.text.len() - self.domain.0.len() - 1]
    }

    /// The part behind the `*`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (id, domain) = text.split_once('*').ok_or(AddressError::NoStar)?;
        Self::new(&id.parse()?, &domain.parse()?)
    }
}

/// One label of a host name.
fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    (1..=LONGEST_LABEL).contains(&bytes.len())
        && bytes.iter().all(allowed)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// Whether URL parsers would take a name with this last label for an IPv4 address (WHATWG URL, "ends in a number").
fn is_number(last: &str) -> bool {
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

macro_rules! is_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

is_text!(Domain, AddressId, Address);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn domains_are_public_host_names() {
        for (text, expected) in [
            (" Shop.Example ", "shop.example"),
            ("a.b", "a.b"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.example", "1.2.example"),
            ("3com.example", "3com.example"),
            ("example.0xyz", "example.0xyz"),
        ] {
            assert_eq!(text.parse::<Domain>().unwrap().as_str(), expected);
        }
        let long = format!("{}.example", "a".repeat(64));
        let whole = ["abcdefgh."; 29].concat() + "abc";
        for (text, error) in [
            ("", DomainError::Empty),
            ("  ", DomainError::Empty),
            ("localhost", DomainError::OneLabel),
            ("127.0.0.1", DomainError::Number),
            ("127.1", DomainError::Number),
            ("127.0x1", DomainError::Number),
            ("a.0X7F", DomainError::Number),
            ("a.0x", DomainError::Number),
            ("[::1]", DomainError::Label),
            ("a.example:8131", DomainError::Label),
            ("user@a.example", DomainError::Label),
            ("a.example/x?", DomainError::Label),
            ("a.example*b.example", DomainError::Label),
            ("a.example.", DomainError::Label),
            (".a.example", DomainError::Label),
            ("a..example", DomainError::Label),
            ("-a.example", DomainError::Label),
            ("a-.example", DomainError::Label),
            ("a_b.example", DomainError::Label),
            ("bücher.example", DomainError::Label),
            ("a\u{0}.example", DomainError::Label),
            ("a%2e.example", DomainError::Label),
            (&long, DomainError::Label),
            (&whole, DomainError::TooLong),
        ] {
            assert_eq!(text.parse::<Domain>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn ids_are_digits_and_keep_their_zeros() {
        assert_eq!("0012345".parse::<AddressId>().unwrap().as_str(), "0012345");
        assert_ne!("00".parse::<AddressId>(), "0".parse::<AddressId>());
        for text in ["", "12a", "-1", "+1", "1.0", "٣", "1 2"] {
            assert_eq!(text.parse::<AddressId>(), Err(IdError::Digits), "{text:?}");
        }
        assert_eq!("1".repeat(255).parse::<AddressId>(), Err(IdError::TooLong));
        assert!("00".parse::<AddressId>().unwrap().check_issued().is_ok());
        assert_eq!("0".parse::<AddressId>().unwrap().check_issued(), Err(IdError::NotIssued));
        assert_eq!("1".repeat(21).parse::<AddressId>().unwrap().check_issued(), Err(IdError::NotIssued));
    }

    #[test]
    fn addresses_are_canonical() {
        let address: Address = " 0012345*B.Example\r\n".parse().unwrap();
        assert_eq!(address.as_str(), "0012345*b.example");
        assert_eq!((address.id_str(), address.domain().as_str()), ("0012345", "b.example"));
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"0012345*b.example\"");
        assert_eq!(serde_json::from_str::<Address>("\"0012345*b.example\"").unwrap(), address);
        assert_eq!("123".parse::<Address>(), Err(AddressError::NoStar));
        assert_eq!("1*a.example*b.example".parse::<Address>(), Err(DomainError::Label.into()));
        assert_eq!("*a.example".parse::<Address>(), Err(IdError::Digits.into()));
        assert_eq!(format!("{}*a.example", "1".repeat(250)).parse::<Address>(), Err(AddressError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let _ = text.parse::<Address>();
            let _ = text.parse::<Domain>();
        }

        #[test]
        fn a_parsed_address_stays_itself(text in "[0-9]{1,20}\\*[a-zA-Z0-9.-]{1,60}") {
            if let Ok(address) = text.parse::<Address>() {
                let again: Address = address.as_str().parse().unwrap();
                prop_assert_eq!(&again, &address);
                prop_assert_eq!(Address::new(&address.id(), address.domain()).unwrap(), address);
            }
        }

        #[test]
        fn a_url_reads_a_domain_as_the_same_host(text in "[a-z0-9.x-]{1,20}") {
            if let Ok(domain) = text.parse::<Domain>()
                && let Ok(url) = url::Url::parse(&format!("https://{domain}/openmsg/auth/"))
            {
                prop_assert_eq!(url.domain(), Some(domain.as_str()));
            }
        }
    }
}
