//! Envelopes on their way to a device: sealed with the key that the device gave when it registered.
//!
//! Promises the form that the clients of the era open (and nothing else): version, initialisation vector, AES-256-CBC, and the first
//! ten bytes of a MAC over all of it. Leaves out what an envelope is.

use crate::crypto::{hmac_sha256, random, seal_aes256_cbc};

/// Bytes of a signaling key: 32 that encrypt, 20 for the MAC.
pub const KEY_BYTES: usize = 52;
/// The only version there is.
const VERSION: u8 = 1;
/// Of the MAC, so many bytes are sent.
const MAC_BYTES: usize = 10;

/// Seals an envelope for the device whose signaling key this is. In JSON it stands in padded base64, of the standard alphabet.
pub fn seal(signaling_key: &[u8; KEY_BYTES], envelope: &[u8]) -> Vec<u8> {
    seal_with_iv(signaling_key, envelope, &random())
}

fn seal_with_iv(signaling_key: &[u8; KEY_BYTES], envelope: &[u8], iv: &[u8; 16]) -> Vec<u8> {
    let (mut key, mac_key) = ([0; 32], &signaling_key[32..]);
    key.copy_from_slice(&signaling_key[..32]);
    let text = seal_aes256_cbc(envelope, iv, &key);
    let mac = hmac_sha256(mac_key, &[&[VERSION], iv, &text]);
    [&[VERSION], &iv[..], &text, &mac[..MAC_BYTES]].concat()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn key() -> [u8; KEY_BYTES] {
        std::array::from_fn(|n| n as u8)
    }

    /// Decrypted by the clients' own code when they were made.
    #[test]
    fn what_is_sealed_is_what_the_clients_open() {
        let iv = std::array::from_fn(|n| 0xa0 + n as u8);
        let table = [
            (
                "0803120c2b313431353535353031303128809eca98c728320568656c6c6f",
                "AaChoqOkpaanqKmqq6ytrq9nYi2IQExZOQZcFkkbGVYkM8ml93JypL8mLHq9KyZB/1GUG2+wxmpIaA0=",
            ),
            (
                "0803120c2b313431353535353031303128809eca98c728320568656c6c6f3801",
                "AaChoqOkpaanqKmqq6ytrq9nYi2IQExZOQZcFkkbGVYkn3ky9M+hDRzuk4t5UFp0aBmZbYmzJqKxvAExfEO4rY3e3+ewHV/odONt",
            ),
            (
                "0803120c2b31343135353535303130311a056e6f64654228809eca98c728320568656c6c6f3802",
                "AaChoqOkpaanqKmqq6ytrq9nYi2IQExZOQZcFkkbGVYkfx7Qxy1WD88aga4iqog6YZOukL5MvZr5KfNUh342LKOe4NUYzoY6vsbP",
            ),
        ];
        for (plain, sealed) in table {
            assert_eq!(STANDARD.encode(seal_with_iv(&key(), &hex::decode(plain).unwrap(), &iv)), sealed);
        }
    }

    /// As a client does it, by another library.
    fn open(signaling_key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        use cbc::cipher::{BlockDecryptMut, KeyIvInit, block_padding::Pkcs7};
        let (body, mac) = sealed.split_at_checked(sealed.len().checked_sub(MAC_BYTES)?)?;
        let (head, text) = body.split_at_checked(17)?;
        if head[0] != 1 || hmac_sha256(&signaling_key[32..], &[body])[..MAC_BYTES] != *mac {
            return None;
        }
        let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&signaling_key[..32], &head[1..]).ok()?;
        cipher.decrypt_padded_vec_mut::<Pkcs7>(text).ok()
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_with_its_key_and_with_no_other(envelope in prop::collection::vec(any::<u8>(), 0..200), at in 0..1000usize) {
            let sealed = seal(&key(), &envelope);
            prop_assert_eq!(open(&key(), &sealed), Some(envelope));
            let mut damaged = sealed.clone();
            let at = at % damaged.len();
            damaged[at] ^= 1;
            prop_assert_eq!(open(&key(), &damaged), None);
            prop_assert_eq!(open(&[9; KEY_BYTES], &sealed), None);
        }
    }
}
