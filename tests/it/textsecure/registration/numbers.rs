//! Each status of asking for a code and of confirming one.

use super::*;

#[tokio::test]
async fn a_code_is_asked_for() {
    let scene = start(quiet().set("providers.voice", Vec::<Table>::new())).await;
    let ask = async |path: &str| shown(&scene.call("GET", &format!("/v1/accounts/{path}"), None).await);
    insta::assert_snapshot!(ask("sms/code/+14155550101").await, @"200");
    insta::assert_snapshot!(ask("sms/code/%2B14155550101/").await, @"200");
    insta::assert_snapshot!(ask("fax/code/+14155550101").await, @"415");
    // The number is looked at before the transport.
    let mut bad = Alike::default();
    for number in ["14155550101", "+1415555", "+1415555010a", "ann"] {
        bad.one(ask(&format!("fax/code/{number}")).await);
    }
    insta::assert_snapshot!(bad.all(), @"400");
    insta::assert_snapshot!(ask("voice/code/+14155550101").await, @r"
    503
    retry-after: 5
    ");
    insta::assert_snapshot!(ask("sms/code/").await, @"404");
    let put = scene.call("PUT", "/v1/accounts/sms/code/+14155550101", Some(body())).await;
    insta::assert_snapshot!(shown(&put), @r"
    405
    allow: GET
    ");
    // One code, and one order to send each that there was; of what was refused nothing.
    assert_eq!(count(&scene.node, "codes").await, 1);
    let sql = "select string_agg(channel || ' ' || destination, ',') from messages";
    insta::assert_snapshot!(scene.node.value::<String>(sql).await, @"3 sms:codes,3 sms:codes");
    let late = "messages m, codes c where m.expires_at > c.expires_at";
    assert_eq!(count(&scene.node, late).await, 0, "a late code is not sent");
}

#[tokio::test]
async fn codes_by_voice_go_their_own_way() {
    let scene = start(quiet()).await;
    insta::assert_snapshot!(shown(&scene.call("GET", "/v1/accounts/voice/code/+14155550101", None).await), @"200");
    let sql = "select string_agg(channel || ' ' || destination, ',') from messages";
    insta::assert_snapshot!(scene.node.value::<String>(sql).await, @"4 voice:codes");
    assert_eq!(shown(&scene.confirm(ANN, &scene.pending_code().await).await), "204");
}

#[tokio::test]
async fn too_many_codes_are_not_sent() {
    let bucket = |options: Options, limit: &str, bucket: i64, a_minute: f64| {
        let options = options.set(&format!("textsecure.limits.{limit}.bucket"), bucket);
        options.set(&format!("textsecure.limits.{limit}.per_minute"), a_minute)
    };
    // A leak so slow that the seconds in the answer do not depend on the test's own.
    let options = bucket(bucket(quiet(), "sms", 2, 0.001), "codes_per_ip", 4, 0.001);
    let scene = start(options).await;
    let ask = async |number: &str| shown(&scene.call("GET", &format!("/v1/accounts/sms/code/{number}"), None).await);
    assert_eq!((ask(ANN).await, ask(ANN).await), ("200".into(), "200".into()));
    let mut refused = Alike::default();
    for _ in 0..3 {
        // What is refused for the number takes nothing from its network either.
        refused.one(seconds_hidden(&ask(ANN).await));
    }
    insta::assert_snapshot!(refused.all(), @r"
    413
    retry-after: SECONDS
    ");
    assert_eq!((ask(BEN).await, ask("+14155550103").await), ("200".into(), "200".into()));
    insta::assert_snapshot!(seconds_hidden(&ask("+14155550104").await), @r"
    413
    retry-after: SECONDS
    ");
    assert_eq!(count(&scene.node, "messages").await, 4);
}

#[tokio::test]
async fn a_disabled_number_is_answered_like_any_other_and_sent_nothing() {
    let scene = start(quiet()).await;
    scene.register(ANN).await;
    let code = scene.code(ANN).await;
    let orders = count(&scene.node, "messages").await;
    assert!(handfast::phones::set_disabled(&scene.node.app, &ANN.parse().unwrap(), true).await.unwrap());
    let asked = scene.call("GET", &format!("/v1/accounts/sms/code/{ANN}"), None).await;
    insta::assert_snapshot!(shown(&asked), @"200");
    assert_eq!(count(&scene.node, "messages").await, orders);
    insta::assert_snapshot!(shown(&scene.confirm(ANN, &code).await), @"403");
}

#[tokio::test]
async fn a_code_is_confirmed() {
    let scene = start(quiet()).await;
    let code = scene.code(ANN).await;
    let wrong = other_than(&code);
    let path = |code: &str| format!("/v1/accounts/code/{code}");
    let ann = basic(ANN, PASSWORD);
    // The body comes first, then the header, then the code.
    let mut unread = Alike::default();
    for bad in [json!({}), json!({"signalingKey": ""}), json!({"signalingKey": "AAEC"}), json!([body()]), json!("x")] {
        unread.one(shown(&scene.put(&path(wrong), None, bad).await));
    }
    insta::assert_snapshot!(unread.all(), @"415");
    let headers = [("Authorization", ann.as_str()), ("Content-Type", "text/plain")];
    let plain = scene.node.attacker().request("PUT", &path(&code), &headers, body().to_string()).await.unwrap();
    insta::assert_snapshot!(shown(&plain), @"415");
    let nobody = [None, Some("Basic"), Some("Bearer x"), Some("Basic KzE0MTU1NTUwMTAx")];
    let nameless = [basic("ann", PASSWORD), basic("+14155550101.x", PASSWORD), basic(ANN, "")];
    let mut unknown = Alike::default();
    for header in nobody.into_iter().chain(nameless.iter().map(|header| Some(header.as_str()))) {
        unknown.one(shown(&scene.put(&path(&code), header, body()).await));
    }
    insta::assert_snapshot!(unknown.all(), @"401");
    insta::assert_snapshot!(shown(&scene.confirm(ANN, wrong).await), @"403");
    // Somebody else's code, and something that is no code.
    assert_eq!(shown(&scene.confirm(BEN, &code).await), "403");
    assert_eq!(shown(&scene.confirm(ANN, "%00ann").await), "403");
    assert_eq!(count(&scene.node, "phones").await, 0);
    insta::assert_snapshot!(shown(&scene.confirm(ANN, &code).await), @"204");
    assert!(scene.knows(ANN, PASSWORD).await);
    insta::assert_snapshot!(shown(&scene.confirm(ANN, &code).await), @"403");
}

#[tokio::test]
async fn both_spellings_and_every_form_of_a_code_and_a_body_register() {
    let scene = start(quiet()).await;
    let unpadded = BASE64_STANDARD_NO_PAD.encode(SIGNALING_KEY);
    let bodies = [
        json!({"signalingKey": BASE64_STANDARD.encode(SIGNALING_KEY)}),
        json!({"signalingKey": unpadded, "supportsSms": false, "registrationId": "16380", "colour": ["red"]}),
    ];
    let rooms = ["/v1/accounts/code/", "/v1/acccounts/code/"];
    for (room, body) in rooms.into_iter().flat_map(|room| bodies.iter().map(move |body| (room, body.clone()))) {
        for end in ["", "/"] {
            let code = scene.code(ANN).await;
            let written = format!("{room}{}-{}{end}", &code[..3], &code[3..]);
            let header = basic("+14155550101.1", PASSWORD);
            let unpadded = header.trim_end_matches('=');
            assert_eq!(shown(&scene.put(&written, Some(unpadded), body.clone()).await), "204", "{room}");
            assert!(scene.knows(ANN, PASSWORD).await);
        }
    }
    let id: i32 = scene.node.value("select registration_id from devices").await;
    assert_eq!(id, 16380);
}

#[tokio::test]
async fn passwords_are_taken_whole() {
    let scene = start(quiet()).await;
    let raw: Vec<u8> = [ANN.as_bytes(), b":", &[0, 255, 58, 10, 195, 40]].concat();
    let odd = format!("Basic {}", BASE64_STANDARD.encode(raw));
    for header in [odd, basic(ANN, "a:b:c"), basic(ANN, ":"), basic(ANN, &"x".repeat(1000))] {
        let code = scene.code(ANN).await;
        let registered = scene.put(&format!("/v1/accounts/code/{code}"), Some(&header), body()).await;
        assert_eq!(shown(&registered), "204");
        let gcm = json!({"gcmRegistrationId": "abc"});
        assert_eq!(shown(&scene.put("/v1/accounts/gcm", Some(&header), gcm).await), "204");
        // What comes before the second colon is not the password.
        assert!(!scene.knows(ANN, "a").await && !scene.knows(ANN, "").await);
    }
    let stored: String = scene.node.value("select password from devices").await;
    assert!(stored.starts_with("$argon2id$"), "{stored}");
}

#[tokio::test]
async fn a_number_of_another_node_is_not_registered_here_and_its_code_stays_good() {
    let peer = "name = 'other'\nurl = 'https://other.test'\ntoken = 'a shared secret'";
    let scene = start(quiet().set("textsecure.peers", vec![peer.parse::<Table>().unwrap()])).await;
    let number: handfast::textsecure::Number = ANN.parse().unwrap();
    let listed = async |relay: &str| {
        let sql = "insert into directory (token, relay) values ($1, $2) on conflict (token) do update set relay = $2";
        scene.node.app.db.execute(sql, &[&number.token().0.as_slice(), &relay]).await.unwrap();
    };
    let code = scene.code(ANN).await;
    listed("other").await;
    // Who does not know the code does not learn it either.
    assert_eq!(shown(&scene.confirm(ANN, other_than(&code)).await), "403");
    insta::assert_snapshot!(shown(&scene.confirm(ANN, &code).await), @"417");
    // A peer that is none any more keeps nobody out.
    listed("former").await;
    insta::assert_snapshot!(shown(&scene.confirm(ANN, &code).await), @"204");
}
