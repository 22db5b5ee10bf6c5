//! The specification's vectors for hashes and packages (§2.3, §3.1).

use super::super::{
    dialect::Alphabet,
    seal::{self, NONCE},
};

#[test]
fn hashes_match_the_vectors() {
    let (sending, receiving) = ("1000001*a.example", "0012345*b.example");
    let right = "4c41c81c7bff718d74295f095b9dd890a778a8600561c2a4e0888539ab3f4dc2";
    let swapped = "27d2773ed410ed018293d98f2413026f3c5846ef5bc8317a2059732de17b800e";
    assert_eq!(seal::passcode_hash("042137", sending, receiving), right);
    assert_eq!(seal::passcode_hash("042137", receiving, sending), swapped);
    let package = "8PHy8_T19vf4-fr7_P3-_wABAgMEBQYHUGvo4UUU3fWsv9ID_p7DPUBP-c4GscCTgOxXlQ";
    let hash = |salt: &str, timestamp: &str| seal::message_hash(package, &"ab".repeat(32), salt, timestamp);
    let plain = "2bd0fe1c60f14da483a7859a214ddf2e01f20e61ca9dcf2629d498c17ea13afc";
    let ambiguous = "7081781aa7caa672dd87fd3c23a70ce847aff00d1d3fc81abebabc11fa551c4e";
    assert_eq!(hash("00112233445566778899aabbccddeeff", "1761771234"), plain);
    assert_eq!(hash("00112233445566778899aabbccdde123", "1761771234"), ambiguous);
    assert_eq!(hash("00112233445566778899aabbccdde", "1231761771234"), ambiguous);
}

#[test]
fn packages_match_the_vectors() {
    let key: String = (0..32u8).map(|byte| format!("{byte:02x}")).collect();
    let nonce: [u8; NONCE] =
        hex::decode("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff0001020304050607").expect("hex").try_into().expect("24 bytes");
    let sealed = seal::seal(&key, &nonce, "Grüße 👋".as_bytes());
    let url_safe = "8PHy8_T19vf4-fr7_P3-_wABAgMEBQYHUGvo4UUU3fWsv9ID_p7DPUBP-c4GscCTgOxXlQ";
    let standard = "8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHUGvo4UUU3fWsv9ID/p7DPUBP+c4GscCTgOxXlQ==";
    assert_eq!(hex::encode(&sealed[NONCE..]), "506be8e14514ddf5acbfd203fe9ec33d404ff9ce06b1c09380ec5795");
    for (alphabet, package) in [(Alphabet::UrlSafe, url_safe), (Alphabet::Standard, standard)] {
        assert_eq!(seal::encode(alphabet, &sealed), package);
        assert_eq!(seal::encode(alphabet, &nonce), package[..32], "the nonce is the package's start");
        let opened = seal::decode(alphabet, package).and_then(|bytes| seal::open(&key, &bytes));
        assert_eq!(opened.as_deref(), Some("Grüße 👋".as_bytes()));
    }
    assert_eq!(seal::decode(Alphabet::UrlSafe, standard), None);
}
