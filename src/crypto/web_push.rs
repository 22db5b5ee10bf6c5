//! What Web Push asks for: messages that the push service cannot read (RFC 8291, in the form of RFC 8188), and the public half of a
//! P-256 key.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};

use super::{hmac_sha256, random};

/// Bytes of a point of P-256 in its uncompressed form.
pub const P256_POINT_BYTES: usize = 65;
/// One record holds the whole message (RFC 8291, 4): its size, in bytes.
const RECORD: u32 = 4096;
/// After the text of the last record (RFC 8188, 2).
const LAST: u8 = 2;

/// It is not a key on the curve P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key on the curve P-256")]
pub struct BadKey;

/// Encrypts `text`, at most 3993 bytes, to the receiver's public key and authentication secret, with a key pair and a salt of its own.
pub fn seal_web_push(text: &[u8], receiver: &[u8], auth: &[u8; 16]) -> Result<Vec<u8>, BadKey> {
    let own = PrivateKey::generate(&ECDH_P256).map_err(|_| BadKey)?;
    seal(text, receiver, auth, &own, &random())
}

/// The public point of a private key (PKCS #8 or SEC 1, DER), uncompressed.
pub fn p256_public_of(private_der: &[u8]) -> Result<[u8; P256_POINT_BYTES], BadKey> {
    let key = PrivateKey::from_private_key_der(&ECDH_P256, private_der).map_err(|_| BadKey)?;
    public_of(&key)
}

fn public_of(key: &PrivateKey) -> Result<[u8; P256_POINT_BYTES], BadKey> {
    let public = key.compute_public_key().map_err(|_| BadKey)?;
    public.as_ref().try_into().map_err(|_| BadKey)
}

/// RFC 8291, 3.4.
fn seal(text: &[u8], receiver: &[u8], auth: &[u8; 16], own: &PrivateKey, salt: &[u8; 16]) -> Result<Vec<u8>, BadKey> {
    let sender = public_of(own)?;
    let input = agree(own, UnparsedPublicKey::new(&ECDH_P256, receiver), BadKey, |secret| {
        Ok(hmac_sha256(&hmac_sha256(auth, &[secret]), &[b"WebPush: info\0", receiver, &sender, &[1]]))
    })?;
    // HKDF (RFC 5869) of less than a hash: one step of each kind.
    let derived = hmac_sha256(salt, &[&input]);
    let key = hmac_sha256(&derived, &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = hmac_sha256(&derived, &[b"Content-Encoding: nonce\0", &[1]]);
    let cipher = UnboundKey::new(&AES_128_GCM, &key[..16]).map(LessSafeKey::new).map_err(|_| BadKey)?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(|_| BadKey)?;
    let mut record = [text, &[LAST]].concat();
    cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| BadKey)?;
    let mut sealed = Vec::with_capacity(86 + record.len());
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(&RECORD.to_be_bytes());
    sealed.push(P256_POINT_BYTES as u8);
    sealed.extend_from_slice(&sender);
    sealed.append(&mut record);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// RFC 8291, 5 and appendix A.
    #[test]
    fn a_message_is_that_of_the_standard() {
        let own =
            PrivateKey::from_private_key(&ECDH_P256, &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let receiver = bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let auth: [u8; 16] = bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap();
        let salt: [u8; 16] = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let sealed = seal(b"When I grow up, I want to be a watermelon", &receiver, &auth, &own, &salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8\
                        wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed), expected);
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for receiver in [vec![], vec![4; 65], vec![0; 65]] {
            assert_eq!(seal_web_push(b"x", &receiver, &[7; 16]), Err(BadKey));
        }
        assert_eq!(p256_public_of(b"no key"), Err(BadKey));
    }
}
