//! AES-256 in CBC mode, because envelopes of TextSecure are sealed so. It says nothing about damage: a MAC goes over what comes out.

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// AES-256-CBC with the padding of PKCS #7: one to 16 bytes longer than the text. An initialisation vector is used once with a key,
/// and nobody can guess it.
pub fn seal_aes256_cbc(text: &[u8], iv: &[u8; 16], key: &[u8; 32]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(text.len() + 16);
    sealed.extend_from_slice(text);
    let cipher = UnboundCipherKey::new(&AES_256, key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
    let done = cipher
        .and_then(|cipher| cipher.less_safe_encrypt(&mut sealed, EncryptionContext::Iv128(FixedLength::from(*iv))));
    // Unwrap safety: key and vector have the cipher's own lengths, and a text in memory is not too long for it.
    done.expect("AES takes any text");
    sealed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{decode_hex, encode_hex};

    /// NIST SP 800-38A, F.2.5, first block; the second is the padding of a text that fills its blocks.
    #[test]
    fn the_first_block_is_that_of_the_standard() {
        let key = decode_hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let iv = decode_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        let text: [u8; 16] = decode_hex("6bc1bee22e409f96e93d7e117393172a").unwrap();
        let sealed = seal_aes256_cbc(&text, &iv, &key);
        assert_eq!(encode_hex(&sealed[..16]), "f58c4c04d6e5f1ba779eabfb5f7bfbd6");
        assert_eq!(sealed.len(), 32);
    }
}
