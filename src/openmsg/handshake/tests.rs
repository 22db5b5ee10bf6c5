//! Every dialect's bodies, read and written.

use proptest::prelude::*;

use super::*;
use crate::openmsg::WireError::{Malformed, Missing};

const HASH: &str = "4c41c81c7bff718d74295f095b9dd890a778a8600561c2a4e0888539ab3f4dc2";
const SWAPPED: &str = "27d2773ed410ed018293d98f2413026f3c5846ef5bc8317a2059732de17b800e";

fn code() -> PassCode {
    "042137".parse().unwrap()
}

fn sending() -> Address {
    "1000001*a.example".parse().unwrap()
}

fn receiving() -> Address {
    "0012345*b.example".parse().unwrap()
}

fn confirms(body: &str) -> bool {
    AuthConfirmRequest::parse(body.as_bytes()).unwrap().confirms(&code(), &sending(), &receiving())
}

fn auth(receiving_id: &str, code: &str, sending: &str, name: &str, rest: &str) -> Result<AuthRequest, WireError> {
    let body = format!(
        "{{\"receiving_openmsg_address_id\":{receiving_id},\"pass_code\":{code},\"sending_openmsg_address\":{sending},\
         \"sending_openmsg_address_name\":{name}{rest}}}"
    );
    AuthRequest::parse(body.as_bytes())
}

#[test]
fn our_auth_is_what_every_dialect_sends() {
    let name = "Shop".parse().unwrap();
    let body = |replies| String::from_utf8(auth_body(&receiving().id(), &code(), &sending(), &name, replies)).unwrap();
    let golden = concat!(
        r#"{"receiving_openmsg_address_id":"0012345","pass_code":"042137","sending_openmsg_address":"1000001*a.example","#,
        r#""sending_openmsg_address_name":"Shop","sending_allow_replies":true,"openmsg_version":1,"handfast":1}"#
    );
    assert_eq!(body(true), golden);
    assert_eq!(body(false), golden.replace("replies\":true", "replies\":0"), "false breaks PHP receivers");
    let read = AuthRequest::parse(golden.as_bytes()).unwrap();
    let expected = AuthRequest {
        receiving_id: receiving().id(),
        pass_code: code(),
        sending: sending(),
        sending_verbatim: "1000001*a.example".into(),
        sending_name: name.clone(),
        allow_replies: true,
        handfast: true,
    };
    assert_eq!(read, expected);
    assert!(!AuthRequest::parse(body(false).as_bytes()).unwrap().allow_replies);
}

#[test]
fn our_confirm_satisfies_every_dialect() {
    let body =
        |strict| String::from_utf8(auth_confirm_body(&code(), "1000001*a.example", &receiving(), strict)).unwrap();
    let address = r#""receiving_openmsg_address":"0012345*b.example""#;
    let other = r#""other_openmsg_address":"0012345*b.example""#;
    assert_eq!(body(false), format!(r#"{{{address},{other},"pass_code":"042137","passcode_hash":"{HASH}"}}"#));
    assert_eq!(body(true), format!(r#"{{{address},"passcode_hash":"{HASH}"}}"#));
    assert!(confirms(&body(false)) && confirms(&body(true)));
}

#[test]
fn auth_takes_numbers_for_texts() {
    let read = auth("12345", "42137", "\" 1*A.Example\"", "7", "").unwrap();
    assert_eq!((read.receiving_id.as_str(), read.pass_code), ("12345", code()));
    assert_eq!((read.sending.as_str(), read.sending_verbatim.as_str()), ("1*a.example", " 1*A.Example"));
    assert_eq!(read.sending_name.as_str(), "7");
    assert!(!read.allow_replies && !read.handfast, "absent means no");
    let replies = |value: &str| {
        let rest = format!(",\"sending_allow_replies\":{value}");
        auth("\"1\"", "\"042137\"", "\"1*a.example\"", "\"n\"", &rest).unwrap().allow_replies
    };
    assert!(["true", "1", "\"1\"", "\"true\""].into_iter().all(replies));
    assert!(!["false", "0", "\"0\"", "\"false\"", "null", "[]", "\"yes\""].into_iter().any(replies));
}

#[test]
fn auth_says_what_is_wrong() {
    let (id, code, address, name) = ("\"1\"", "\"042137\"", "\"1*a.example\"", "\"n\"");
    for (id, code, address, name, error) in [
        ("\"\"", code, address, name, Missing("receiving_openmsg_address_id")),
        ("null", code, address, name, Missing("receiving_openmsg_address_id")),
        ("\"1a\"", code, address, name, Malformed("receiving_openmsg_address_id")),
        ("-1", code, address, name, Malformed("receiving_openmsg_address_id")),
        (id, "\"\"", address, name, Missing("pass_code")),
        (id, "\"42137\"", address, name, Malformed("pass_code")),
        (id, "1000000", address, name, Malformed("pass_code")),
        (id, "-1", address, name, Malformed("pass_code")),
        (id, "[\"042137\"]", address, name, Malformed("pass_code")),
        (id, code, "\" \"", name, Missing("sending_openmsg_address")),
        (id, code, "\"1*127.0.0.1\"", name, Malformed("sending_openmsg_address")),
        (id, code, "\"1*a.example:8131/x?\"", name, Malformed("sending_openmsg_address")),
        (id, code, address, "\"\\u202e\"", Missing("sending_openmsg_address_name")),
        (id, "\"x\"", "\"x\"", "\"\"", Missing("sending_openmsg_address_name")),
    ] {
        assert_eq!(auth(id, code, address, name, ""), Err(error), "{id} {code} {address} {name}");
    }
    assert_eq!(AuthRequest::parse(b""), Err(WireError::NotJson));
    assert_eq!(AuthRequest::parse(b"[\"1\",\"042137\",\"1*a.example\",\"n\"]"), Err(WireError::NotObject));
}

#[test]
fn a_long_name_is_cut() {
    let name = format!("\"{}\"", "é".repeat(41));
    let read = auth("\"1\"", "\"042137\"", "\"1*a.example\"", &name, "").unwrap();
    assert_eq!(read.sending_name.as_str(), "é".repeat(40));
}

#[test]
fn every_dialects_confirm_is_understood() {
    let address = "0012345*b.example";
    for body in [
        format!(r#"{{"other_openmsg_address":"{address}","pass_code":"042137"}}"#),
        format!(r#"{{"receiving_openmsg_address":"{address}","pass_code":"042137"}}"#),
        format!(r#"{{"receiving_openmsg_address":"{address}","pass_code":42137}}"#),
        format!(r#"{{"receiving_openmsg_address":"{address}","passcode_hash":"{HASH}"}}"#),
        format!(r#"{{"receiving_openmsg_address":"{address}","passcode_hash":"{}"}}"#, HASH.to_uppercase()),
        format!(r#"{{"receiving_openmsg_address":"{address}","passcode_hash":"{SWAPPED}"}}"#),
        format!(r#"{{"receiving_openmsg_address":"","other_openmsg_address":"{address}","pass_code":"042137"}}"#),
        format!(r#"{{"other_openmsg_address":"{address}","passcode_hash":"","pass_code":"042137"}}"#),
    ] {
        assert!(confirms(&body), "{body}");
    }
}

#[test]
fn a_confirm_in_another_spelling_hashes_that_spelling() {
    let hash = encode_hex(&passcode_hash(&code(), "1000001*a.example", "0012345*B.Example"));
    assert!(confirms(&format!(r#"{{"receiving_openmsg_address":"0012345*B.Example","passcode_hash":"{hash}"}}"#)));
    assert!(!confirms(&format!(r#"{{"receiving_openmsg_address":"0012345*b.example","passcode_hash":"{hash}"}}"#)));
}

#[test]
fn a_confirm_of_something_else_confirms_nothing() {
    let other_hash = HASH.replace('4', "5");
    for body in [
        r#"{"receiving_openmsg_address":"0012345*b.example","pass_code":"042138"}"#.to_owned(),
        r#"{"receiving_openmsg_address":"0012346*b.example","pass_code":"042137"}"#.to_owned(),
        format!(r#"{{"receiving_openmsg_address":"0012346*b.example","passcode_hash":"{HASH}"}}"#),
        format!(r#"{{"receiving_openmsg_address":"0012345*b.example","passcode_hash":"{other_hash}"}}"#),
        format!(
            r#"{{"receiving_openmsg_address":"0012345*b.example","pass_code":"042137","passcode_hash":"{other_hash}"}}"#
        ),
    ] {
        assert!(!confirms(&body), "{body}");
    }
    let parse = |body: &str| AuthConfirmRequest::parse(body.as_bytes()).unwrap_err();
    assert_eq!(parse(r#"{"pass_code":"042137"}"#), Missing("receiving_openmsg_address"));
    assert_eq!(
        parse(r#"{"receiving_openmsg_address":"x","pass_code":"042137"}"#),
        Malformed("receiving_openmsg_address")
    );
    assert_eq!(parse(r#"{"receiving_openmsg_address":"1*b.example"}"#), Missing("pass_code"));
    let malformed = r#"{"receiving_openmsg_address":"1*b.example","pass_code":"042137","passcode_hash":"ab"}"#;
    assert_eq!(parse(malformed), Malformed("passcode_hash"), "a code does not make up for a wrong hash");
}

#[test]
fn requests_show_no_code_when_printed() {
    let read = auth("\"1\"", "\"042137\"", "\"1*a.example\"", "\"n\"", "").unwrap();
    assert!(!format!("{read:?}").contains("042137"));
    let body = auth_confirm_body(&code(), "1000001*a.example", &receiving(), false);
    let shown = format!("{:?}", AuthConfirmRequest::parse(&body).unwrap());
    assert!(!shown.contains("042137") && !shown.contains("76, 65"), "{shown}");
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("[{}]".to_owned()),
        Just("1e300".to_owned()),
    ];
    leaf
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body: Vec<u8>) {
        let _ = AuthRequest::parse(&body);
        let _ = AuthConfirmRequest::parse(&body);
    }

    #[test]
    fn any_values_are_answered(values in proptest::collection::vec(any_json(), 4)) {
        let _ = auth(&values[0], &values[1], &values[2], &values[3], "");
        let body = format!(
            "{{\"receiving_openmsg_address\":{},\"other_openmsg_address\":{},\"pass_code\":{},\"passcode_hash\":{}}}",
            values[0], values[1], values[2], values[3]
        );
        let _ = AuthConfirmRequest::parse(body.as_bytes());
    }

    #[test]
    fn what_we_send_is_what_we_read(id in "[0-9]{1,20}", number in 0u32..1_000_000, name in "\\PC{1,40}", replies: bool) {
        let code = PassCode::from_number(number).unwrap();
        if let Some(name) = DisplayName::from_peer(&name) {
            let id: AddressId = id.parse().unwrap();
            let read = AuthRequest::parse(&auth_body(&id, &code, &sending(), &name, replies)).unwrap();
            prop_assert_eq!(read.receiving_id, id);
            prop_assert_eq!(read.sending_name, name);
            prop_assert_eq!(read.allow_replies, replies);
            let confirm = AuthConfirmRequest::parse(&auth_confirm_body(&code, &read.sending_verbatim, &receiving(), true)).unwrap();
            prop_assert!(confirm.confirms(&code, &sending(), &receiving()));
        }
    }
}
