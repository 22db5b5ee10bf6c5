//! The envelope: what a device is given of a message, before it is encrypted to the device (specification §1.12 and §2).
//!
//! One form for both versions of the protocol: version 1 knows field 4 and not 7, version 2 the other way round, and both skip what
//! they do not know.

use std::fmt;

use prost::Message;
use zeroize::Zeroizing;

/// Says that a message has arrived; has no message itself.
pub const RECEIPT: u32 = 5;

/// As on the wire. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Envelope {
    /// As the sender said: 1 ciphertext, 2 key exchange, 3 prekey bundle, 4 plaintext; [`RECEIPT`].
    #[prost(uint32, optional, tag = "1")]
    pub kind: Option<u32>,
    /// The sender's number.
    #[prost(string, optional, tag = "2")]
    pub source: Option<String>,
    /// The federated node it came from, by the name it has here.
    #[prost(string, optional, tag = "3")]
    pub relay: Option<String>,
    /// Version 1: the other numbers that the same message went to.
    #[prost(string, repeated, tag = "4")]
    pub destinations: Vec<String>,
    /// When it arrived here, in milliseconds since 1970; of a receipt: that of the message.
    #[prost(uint64, optional, tag = "5")]
    pub timestamp: Option<u64>,
    /// What the sender wrote, decoded; none where it was no base64.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub message: Option<Vec<u8>>,
    /// Version 2: the sender's device.
    #[prost(uint32, optional, tag = "7")]
    pub source_device: Option<u32>,
}

impl Envelope {
    /// Its bytes.
    pub fn plaintext(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.encode_to_vec())
    }

    /// From its bytes; none: these are not an envelope.
    pub fn from_plaintext(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::encode_hex;

    fn hello() -> Envelope {
        Envelope {
            kind: Some(3),
            source: Some("+14155550101".into()),
            timestamp: Some(1_393_500_000_000),
            message: Some(b"hello".to_vec()),
            ..Envelope::default()
        }
    }

    /// Specification §1.12: what the official clients of the time decrypted.
    #[test]
    fn the_bytes_are_those_of_the_clients() {
        let table = [
            ("0803120c2b313431353535353031303128809eca98c728320568656c6c6f", hello()),
            (
                "0803120c2b313431353535353031303128809eca98c728320568656c6c6f3801",
                Envelope { source_device: Some(1), ..hello() },
            ),
            (
                "0803120c2b31343135353535303130311a056e6f64654228809eca98c728320568656c6c6f3802",
                Envelope { relay: Some("nodeB".into()), source_device: Some(2), ..hello() },
            ),
        ];
        for (expected, envelope) in table {
            let plaintext = envelope.plaintext();
            assert_eq!(encode_hex(plaintext.as_slice()), expected);
            assert_eq!(Envelope::from_plaintext(&plaintext), Some(envelope));
        }
    }

    /// Proto2: what is there is written, also where it is zero. Field 4 is a string for each number.
    #[test]
    fn zeroes_and_other_numbers_are_written() {
        let envelope = Envelope { kind: Some(0), destinations: vec!["+1".into(), "+2".into()], ..Envelope::default() };
        assert_eq!(encode_hex(envelope.plaintext().as_slice()), "080022022b3122022b32");
    }

    #[test]
    fn debug_shows_nothing_and_rubbish_is_refused() {
        assert_eq!(format!("{:?}", hello()), "Envelope(…)");
        assert_eq!(Envelope::from_plaintext(&[0x0a]), None);
    }
}
