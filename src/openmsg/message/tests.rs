//! Messages: golden bodies, liberal reading, and what must not get through.

use proptest::prelude::*;

use super::*;
use crate::openmsg::WireError::{Malformed, Missing};

const NOW: i64 = 1_761_771_234;
const HASH: &str = "2bd0fe1c60f14da483a7859a214ddf2e01f20e61ca9dcf2629d498c17ea13afc";
const PACKAGE: &str = "8PHy8_T19vf4-fr7_P3-_wABAgMEBQYHUGvo4UUU3fWsv9ID_p7DPUBP-c4GscCTgOxXlQ";
const SALT: &str = "00112233445566778899aabbccddeeff";

struct Secrets {
    id: AddressId,
    ident: IdentCode,
    auth: AuthCode,
    key: CryptKey,
}

impl Secrets {
    fn of_the_vectors() -> Self {
        Self {
            id: "0012345".parse().unwrap(),
            ident: IdentCode::from_bytes([0xcd; 32]),
            auth: AuthCode::from_bytes([0xab; 32]),
            key: CryptKey::from_bytes(std::array::from_fn(|i| i as u8)),
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            receiving_id: &self.id,
            ident_code: &self.ident,
            auth_code: &self.auth,
            key: &self.key,
            alphabet: crate::openmsg::Alphabet::UrlSafe,
        }
    }
}

fn fixed() -> Composed {
    let nonce = Nonce::from_text(&PACKAGE[..32]).unwrap();
    let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    Composed::with(Secrets::of_the_vectors().envelope(), "Grüße 👋", id, NOW, nonce, SALT.parse().unwrap())
}

/// The reference's own body, with one field's value replaced.
fn body_with(field: &str, value: &str) -> String {
    let ident = "cd".repeat(32);
    let fields = [
        ("receiving_openmsg_address_id", "\"0012345\"".to_owned()),
        ("sending_openmsg_address_name", "null".to_owned()),
        ("ident_code", format!("\"{ident}\"")),
        ("message_package", format!("\"{PACKAGE}\"")),
        ("message_hash", format!("\"{HASH}\"")),
        ("message_salt", format!("\"{SALT}\"")),
        ("message_timestamp", NOW.to_string()),
        ("openmsg_version", "1".to_owned()),
        ("handfast", "null".to_owned()),
    ];
    let fields = fields.map(|(name, own)| format!("\"{name}\":{}", if name == field { value } else { &own }));
    format!("{{{}}}", fields.join(","))
}

fn read(field: &str, value: &str) -> Result<MessageReceiveRequest, WireError> {
    MessageReceiveRequest::parse(body_with(field, value).as_bytes())
}

#[test]
fn our_message_is_what_the_reference_sends_and_one_field() {
    let composed = fixed();
    let ident = "cd".repeat(32);
    let head = format!(
        r#"{{"receiving_openmsg_address_id":"0012345","sending_openmsg_address_name":null,"ident_code":"{ident}","message_package":"{PACKAGE}","message_hash":"{HASH}","message_salt":"{SALT}","message_timestamp":1761771234,"openmsg_version":1,"verified_account":{{"verified_account_signature":null,"verified_account_name":null,"verified_account_expires":null}},"handfast":{{"message_id":"01900000-0000-7000-8000-000000000001","proof":""#
    );
    let body = String::from_utf8(composed.body).unwrap();
    let proof = body.strip_prefix(&head).and_then(|rest| rest.strip_suffix("\"}}")).expect(&body);
    // HMAC-SHA-256 of "handfast message id\0", the id's 16 bytes and the 64 digits of the hash; made with Python's hmac.
    assert_eq!(proof, PROOF);
    assert_eq!(composed.message_hash.to_string(), HASH);
    assert_eq!(composed.nonce.to_text(), PACKAGE[..32]);
}

const PROOF: &str = "8aecded9d15f0a51ea00f6d08200c673db423d0c28b1cef21a4d6571d6cda50e";

#[test]
fn a_message_arrives_as_it_was_composed() {
    let secrets = Secrets::of_the_vectors();
    let request = MessageReceiveRequest::parse(&fixed().body).unwrap();
    assert_eq!(request.receiving_id, secrets.id);
    assert_eq!(request.ident_code, secrets.ident);
    assert!(request.is_timely(NOW) && request.is_hashed_with(&secrets.auth));
    assert_eq!(request.package.decode().unwrap().open(&secrets.key).unwrap().as_str(), "Grüße 👋");
    assert_eq!(request.proven_id(&secrets.auth), Some(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)));
    assert_eq!(request.proven_id(&AuthCode::random()), None);
    assert!(!request.is_hashed_with(&AuthCode::random()));
    let sealed = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<MessageReceiveRequest>(&sealed).unwrap(), request, "crosses an ask unchanged");
}

#[test]
fn a_message_composed_anew_shares_nothing_but_its_id() {
    let secrets = Secrets::of_the_vectors();
    let compose = || Composed::new(secrets.envelope(), "text", Uuid::from_u128(7), NOW);
    let (one, two) = (compose(), compose());
    assert_ne!(one.message_hash, two.message_hash);
    assert_ne!(one.nonce, two.nonce);
    let id = |composed: Composed| MessageReceiveRequest::parse(&composed.body).unwrap().proven_id(&secrets.auth);
    assert_eq!((id(one), id(two)), (Some(Uuid::from_u128(7)), Some(Uuid::from_u128(7))));
}

#[test]
fn the_time_may_come_in_any_type() {
    for value in ["1761771234", "1761771234.0", "1.761771234e9", "\"1761771234\""] {
        let request = read("message_timestamp", value).unwrap();
        assert!(request.is_hashed_with(&Secrets::of_the_vectors().auth), "{value}");
    }
    for value in ["\"01761771234\"", "\"1761771234.0\"", "\"now\"", "1761771234.5", "true", "[1]", "1e300"] {
        assert_eq!(read("message_timestamp", value), Err(Malformed("message_timestamp")), "{value}");
    }
}

#[test]
fn the_window_is_sixty_seconds_both_ways_and_ten_digits() {
    let at = |value: &str, now| read("message_timestamp", value).unwrap().is_timely(now);
    assert!(at("1761771234", NOW + 60) && at("1761771234", NOW - 60));
    assert!(!at("1761771234", NOW + 61) && !at("1761771234", NOW - 61));
    for value in ["1", "-1761771234", "12317617712340", "9223372036854775807", "-9223372036854775808"] {
        assert!(!at(value, NOW), "{value}");
    }
    assert!(!at("1000", 1000), "a clock at zero does not open the window to short numbers");
}

#[test]
fn the_moved_salt_digits_are_refused() {
    let forged =
        body_with("message_salt", "\"00112233445566778899aabbccdde\"").replace("1761771234,", "1231761771234,");
    assert_eq!(MessageReceiveRequest::parse(forged.as_bytes()), Err(Malformed("message_salt")));
}

#[test]
fn what_php_takes_for_nothing_is_missing() {
    for field in [
        "receiving_openmsg_address_id",
        "ident_code",
        "message_package",
        "message_hash",
        "message_salt",
        "message_timestamp",
    ] {
        for value in ["null", "\"\"", "\"0\"", "0", "0.0", "false", "[]"] {
            assert_eq!(read(field, value), Err(Missing(field)), "{field} {value}");
        }
    }
    let both = body_with("ident_code", "\"short\"").replace(SALT, "");
    assert_eq!(
        MessageReceiveRequest::parse(both.as_bytes()),
        Err(Missing("message_salt")),
        "missing comes before malformed"
    );
}

#[test]
fn shapes_are_exact() {
    for (field, value) in [
        ("receiving_openmsg_address_id", "\"12a\""),
        ("ident_code", "\"abc\""),
        ("message_package", "{\"a\":1}"),
        ("message_hash", "\"abc\""),
        ("message_salt", "\"0g112233445566778899aabbccddeeff\""),
    ] {
        assert_eq!(read(field, value), Err(Malformed(field)), "{field} {value}");
    }
    assert_eq!(read("message_hash", &format!("\"{}\"", HASH.to_uppercase())), Err(Malformed("message_hash")));
    assert_eq!(
        read("ident_code", &format!("\"{}\"", "CD".repeat(32))).unwrap().ident_code,
        IdentCode::from_bytes([0xcd; 32])
    );
    assert_eq!(read("receiving_openmsg_address_id", "12345").unwrap().receiving_id.as_str(), "12345");
    assert_eq!(read("message_hash", "\"a\",\"message_hash\":\"b\""), Err(WireError::Repeated));
}

#[test]
fn extras_never_refuse_a_message() {
    assert_eq!(
        read("sending_openmsg_address_name", "\" New\\u0000 name \"").unwrap().sending_name.unwrap().as_str(),
        "New name"
    );
    assert_eq!(read("sending_openmsg_address_name", "{\"a\":[]}").unwrap().sending_name, None);
    for value in
        ["1", "\"x\"", "[]", "{}", "{\"message_id\":\"x\",\"proof\":\"y\"}", "{\"message_id\":1,\"message_id\":2}"]
    {
        assert_eq!(read("handfast", value).unwrap().stable_id, None, "{value}");
    }
    let forged = format!("{{\"message_id\":\"{}\",\"proof\":\"{}\"}}", Uuid::from_u128(7), "00".repeat(32));
    let request = read("handfast", &forged).unwrap();
    assert!(request.stable_id.is_some());
    assert_eq!(request.proven_id(&Secrets::of_the_vectors().auth), None);
}

#[test]
fn confirms_are_read_and_written() {
    let hash: MessageHash = HASH.parse().unwrap();
    let body = message_confirm_body(&hash, &PACKAGE[..32]);
    assert_eq!(
        String::from_utf8(body.clone()).unwrap(),
        format!(r#"{{"message_hash":"{HASH}","message_nonce":"8PHy8_T19vf4-fr7_P3-_wABAgMEBQYH"}}"#)
    );
    let nonce = Nonce::from_text("8PHy8/T19vf4+fr7/P3+/wABAgMEBQYH").unwrap();
    assert_eq!(MessageConfirmRequest::parse(&body), Ok(MessageConfirmRequest { message_hash: hash, nonce }));
    let parse = |body: &str| MessageConfirmRequest::parse(body.as_bytes()).unwrap_err();
    assert_eq!(parse("{}"), Missing("message_hash"));
    assert_eq!(parse(&format!(r#"{{"message_hash":"{HASH}"}}"#)), Missing("message_nonce"));
    assert_eq!(
        parse(&format!(r#"{{"message_hash":"{HASH}","message_nonce":"{PACKAGE}"}}"#)),
        Malformed("message_nonce")
    );
    assert_eq!(parse(r#"{"message_hash":"x","message_nonce":"y"}"#), Malformed("message_hash"));
}

#[test]
fn nothing_secret_is_printed() {
    let request = MessageReceiveRequest::parse(&fixed().body).unwrap();
    let shown = format!("{request:?} {:?}", fixed());
    assert!(!shown.contains(&"cd".repeat(32)) && !shown.contains(PACKAGE), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body: Vec<u8>) {
        let _ = MessageReceiveRequest::parse(&body);
        let _ = MessageConfirmRequest::parse(&body);
    }

    #[test]
    fn any_value_in_any_field_is_answered(field in 0usize..9, text: String, number: f64, now: i64) {
        let names = ["receiving_openmsg_address_id", "sending_openmsg_address_name", "ident_code", "message_package",
            "message_hash", "message_salt", "message_timestamp", "openmsg_version", "handfast"];
        let values = [serde_json::to_string(&text).unwrap(), format!("[{number:e}]"), format!("{number:e}")];
        for value in values {
            if let Ok(request) = read(names[field], &value) {
                let _ = request.is_timely(now);
                let _ = request.is_hashed_with(&Secrets::of_the_vectors().auth);
                let _ = request.package.nonce_text();
            }
        }
    }

    #[test]
    fn what_we_send_is_what_we_read(text: String, id: u128, at in 1_000_000_000i64..10_000_000_000) {
        let secrets = Secrets::of_the_vectors();
        let composed = Composed::new(secrets.envelope(), &text, Uuid::from_u128(id), at);
        let request = MessageReceiveRequest::parse(&composed.body).unwrap();
        prop_assert!(request.is_hashed_with(&secrets.auth) && request.is_timely(at));
        prop_assert_eq!(request.proven_id(&secrets.auth), Some(Uuid::from_u128(id)));
        let decoded = request.package.decode().unwrap();
        prop_assert_eq!(decoded.nonce(), &composed.nonce);
        let confirm = message_confirm_body(&request.message_hash, request.package.nonce_text().unwrap());
        let confirm = MessageConfirmRequest::parse(&confirm).unwrap();
        prop_assert_eq!((confirm.message_hash, confirm.nonce), (composed.message_hash, composed.nonce));
        let opened = decoded.open(&secrets.key).unwrap();
        prop_assert_eq!(opened.as_str(), text.as_str());
    }
}
