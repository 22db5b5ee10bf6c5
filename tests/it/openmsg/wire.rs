//! To the byte: what peers see of our requests, and what our endpoints answer.

use serde_json::{Value, json};

use super::scene::{ADA, BOB, Scene, auth, receive, rehash};
use crate::node::Net;
use crate::peers::{Behaviour, Confirming, Dialect, Endpoint, Reply, Seen, Trick};

/// A request as it came, with what differs from run to run replaced.
fn shown(seen: &Seen, hidden: &[(&str, &str)]) -> String {
    let version = format!("{:?}", seen.version);
    let mut headers: Vec<String> = seen.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.retain(|header| !header.starts_with("content-length: "));
    headers.sort();
    let body = std::str::from_utf8(&seen.body).unwrap();
    let text = format!("{} {} {version}\n{}\n\n{body}", seen.method, seen.path, headers.join("\n"));
    hidden.iter().fold(text, |text, (secret, name)| text.replace(secret, name))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[tokio::test]
async fn our_requests_are_what_the_published_nodes_send_and_a_little_more() {
    let Scene { node, peer, .. } = Scene::new(Dialect::V1).await;
    let code = peer.issue_code(BOB);
    node.connected(ADA, &peer.address(BOB), &code).await;
    let asked = &peer.log_of(Endpoint::Auth)[0];
    insta::assert_snapshot!(shown(asked, &[(&code, "CODE")]), @r#"
        POST /openmsg/auth/ HTTP/1.1
        accept: */*
        content-type: application/json
        host: peer.test

        {"receiving_openmsg_address_id":"2000","pass_code":"CODE","sending_openmsg_address":"1000*node.test","sending_openmsg_address_name":"Ada","sending_allow_replies":true,"openmsg_version":1,"handfast":1}
    "#);

    let code = node.code(ADA).await;
    assert_eq!(peer.handshake(BOB, &node.address(ADA), &code).await, Ok(()));
    let asked = &peer.log_of(Endpoint::AuthConfirm)[0];
    let hash = text(&asked.json(), "passcode_hash");
    assert_eq!(hash, super::scene::sha256(&[&code, &peer.address(BOB), &node.address(ADA)]));
    insta::assert_snapshot!(shown(asked, &[(&code, "CODE"), (&hash, "HASH")]), @r#"
        POST /openmsg/auth-confirm/ HTTP/1.1
        accept: */*
        content-type: application/json
        host: peer.test

        {"receiving_openmsg_address":"1000*node.test","other_openmsg_address":"1000*node.test","pass_code":"CODE","passcode_hash":"HASH"}
    "#);

    node.sent(ADA, &peer.address(BOB), "text").await;
    let asked = &peer.log_of(Endpoint::MessageReceive)[0];
    let body = asked.json();
    let (package, stamp) = (text(&body, "message_package"), body["message_timestamp"].to_string());
    let secrets = peer.connections().pop().unwrap();
    let hidden = [
        (package.as_str(), "PACKAGE"),
        (&text(&body, "message_hash"), "HASH"),
        (&text(&body, "message_salt"), "SALT"),
        (&secrets.ident_code, "IDENT"),
        (&stamp, "TIME"),
        (&text(&body["handfast"], "message_id"), "ID"),
        (&text(&body["handfast"], "proof"), "PROOF"),
    ];
    insta::assert_snapshot!(shown(asked, &hidden), @r#"
        POST /openmsg/message-receive/ HTTP/1.1
        accept: */*
        content-type: application/json
        host: peer.test

        {"receiving_openmsg_address_id":"2000","sending_openmsg_address_name":null,"ident_code":"IDENT","message_package":"PACKAGE","message_hash":"HASH","message_salt":"SALT","message_timestamp":TIME,"openmsg_version":1,"verified_account":{"verified_account_signature":null,"verified_account_name":null,"verified_account_expires":null},"handfast":{"message_id":"ID","proof":"PROOF"}}
    "#);
    let own = [package.as_str(), &secrets.auth_code, &text(&body, "message_salt"), &stamp];
    assert_eq!(text(&body, "message_hash"), super::scene::sha256(&own));

    let message = peer.compose(BOB, &node.address(ADA), "text").unwrap();
    assert_eq!(peer.post(&message).await, Ok(()));
    let asked = &peer.log_of(Endpoint::MessageConfirm)[0];
    let hidden = [(message.hash.as_str(), "HASH"), (&message.package[..32], "PACKAGE[0..32]")];
    insta::assert_snapshot!(shown(asked, &hidden), @r#"
        POST /openmsg/message-confirm/ HTTP/1.1
        accept: */*
        content-type: application/json
        host: peer.test

        {"message_hash":"HASH","message_nonce":"PACKAGE[0..32]"}
    "#);
}

#[tokio::test]
async fn a_handshake_without_replies_says_0_which_every_peer_can_store() {
    let Scene { node, peer, .. } = Scene::new(Dialect::V1).await;
    let handshake = node.connect_replying(ADA, &peer.address(BOB), &peer.issue_code(BOB), false).await;
    assert_eq!(handshake["state"], "connected", "{handshake}");
    assert_eq!(peer.log_of(Endpoint::Auth)[0].json()["sending_allow_replies"], json!(0));
}

/// Status, content type and body.
fn answer(reply: &Reply) -> String {
    let kind = reply.header("content-type").unwrap_or_default();
    format!("{} {kind} {}", reply.status, String::from_utf8_lossy(&reply.body))
}

#[tokio::test]
async fn every_form_of_path_leads_to_the_same_endpoint_and_no_other_does() {
    let net = Net::new();
    let node = net.node("node.test").await;
    let by_hand = node.attacker();
    for endpoint in ["auth", "auth-confirm", "message-receive", "message-confirm"] {
        let first = answer(&by_hand.post(&format!("/openmsg/{endpoint}/"), "{}").await.unwrap());
        assert!(first.starts_with("200 application/json {\"error\":true,"), "{first}");
        for path in ["/openmsg/E", "/openmsg/sandbox/E", "/openmsg/sandbox/E/", "/openmsg/E/?x=1", "/openmsg/E?x"] {
            let path = path.replace('E', endpoint);
            assert_eq!(answer(&by_hand.post(&path, "{}").await.unwrap()), first, "{path}");
        }
        // PHP does not look at the method either: no body is an empty body.
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let reply = by_hand.request(method, &format!("/openmsg/{endpoint}/"), &[], "").await;
            if method != "HEAD" {
                assert_eq!(answer(&reply.unwrap()), first, "{method}");
            }
        }
    }
    for path in [
        "/openmsg",
        "/openmsg/",
        "/openmsg/auth//",
        "/openmsg//auth/",
        "/openmsg/AUTH/",
        "/openmsg/auth/x",
        "/openmsg/message/receive/",
    ] {
        assert_eq!(by_hand.post(path, "{}").await.unwrap().status, 404, "{path}");
    }
    for path in ["/", "/api/v1/accounts", "/handshake", "/readyz", "/healthz", "/metrics", "/console", "/auth/"] {
        for method in ["GET", "POST"] {
            let reply = by_hand.request(method, path, &[], "").await.unwrap();
            assert_eq!(reply.status, 404, "{method} {path}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn what_a_handshake_is_answered() {
    let scene = Scene::new(Dialect::V1).await;
    let Scene { node, peer, .. } = &scene;
    let bob = scene.bob();
    let mut shown = String::new();
    let mut show = |what: &str, reply: Reply| shown.push_str(&format!("{what}: {}\n", answer(&reply)));
    show("auth, nothing", scene.call("auth", json!({})).await);
    show("auth, sender is none", scene.auth("nobody", "000000").await);
    show("auth, wrong code", scene.auth(&bob, "000000").await);
    show("auth, unknown account", scene.call("auth", auth("77", &bob, "000000")).await);
    show("auth, not confirmed", scene.auth(&bob, &node.code(ADA).await).await);
    show("auth-confirm, nothing", scene.call("auth-confirm", json!({})).await);
    show(
        "auth-confirm, unknown",
        scene.call("auth-confirm", json!({"receiving_openmsg_address": bob, "pass_code": "000000"})).await,
    );
    insta::assert_snapshot!(shown, @r#"
        auth, nothing: 200 application/json {"error":true,"error_message":"receiving_openmsg_address_id, pass_code, sending_openmsg_address and sending_openmsg_address_name cannot be blank"}
        auth, sender is none: 200 application/json {"error":true,"error_message":"sending_openmsg_address should be digits, a star and a domain"}
        auth, wrong code: 200 application/json {"error":true,"error_message":"pass code not valid"}
        auth, unknown account: 200 application/json {"error":true,"error_message":"pass code not valid"}
        auth, not confirmed: 200 application/json {"error":true,"error_message":"the sending domain did not confirm the handshake"}
        auth-confirm, nothing: 200 application/json {"error":true,"error_message":"unknown pending authorization"}
        auth-confirm, unknown: 200 application/json {"error":true,"error_message":"unknown pending authorization"}
    "#);

    assert_eq!(peer.handshake(BOB, &scene.ada(), &node.code(ADA).await).await, Ok(()));
    let calls = peer.calls();
    let secrets = scene.secrets();
    let hidden = [(&secrets.auth_code, "AUTH"), (&secrets.ident_code, "IDENT"), (&secrets.key, "KEY")];
    let granted = hidden.iter().fold(calls[0].answer.clone(), |text, (secret, name)| text.replace(*secret, name));
    insta::assert_snapshot!(granted, @r#"
        {"success":true,"auth_code":"AUTH","ident_code":"IDENT","message_crypt_key":"KEY","receiving_openmsg_address_name":"Ada","other_openmsg_address_name":"Ada","self_openmsg_address_name":"Ada","handfast":1}
    "#);

    // Our own request is open while the peer waits before it answers: it confirms by itself, and only once.
    node.connected(ADA, &bob, &peer.issue_code(BOB)).await;
    let confirmed = peer.calls().pop().unwrap();
    assert_eq!((confirmed.status, confirmed.answer.as_str()), (200, "{\"success\":true}"));
    let again = scene.call("auth-confirm", serde_json::from_str(&confirmed.body).unwrap()).await;
    assert_eq!(again.json()["error_message"], "unknown pending authorization");
}

#[tokio::test]
async fn what_a_message_is_answered() {
    let scene = Scene::connected().await;
    let peer = &scene.peer;
    let auth_code = scene.secrets().auth_code;
    let mut shown = String::new();
    let mut show = |what: &str, reply: Reply| shown.push_str(&format!("{what}: {}\n", answer(&reply)));
    let change = |what: fn(&mut crate::peers::Message)| {
        let mut message = scene.composed("text");
        what(&mut message);
        rehash(&mut message, &auth_code);
        receive(&message)
    };
    show("nothing", scene.call("message-receive", json!({})).await);
    show("accepted", scene.call("message-receive", change(|_| {})).await);
    show("ident", scene.call("message-receive", change(|m| m.ident_code = "0".repeat(64))).await);
    show("old", scene.call("message-receive", change(|m| m.timestamp -= 70)).await);
    let mut unhashed = receive(&scene.composed("text"));
    unhashed["message_hash"] = json!("0".repeat(64));
    show("hash", scene.call("message-receive", unhashed).await);
    show("package", scene.call("message-receive", change(|m| m.package = "AAAA".into())).await);
    peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::No));
    show("refused by the sender's domain", scene.call("message-receive", change(|_| {})).await);
    peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Status(404, "")));
    show("no confirm endpoint", scene.call("message-receive", change(|_| {})).await);
    peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Code("SM_E009")));
    show("a code passed on", scene.call("message-receive", change(|_| {})).await);
    peer.behave(Behaviour::At(Endpoint::MessageConfirm, Trick::Body(r#"{"success":true}"#.into())));
    // The 24 bytes of the nonce, and then too much or other bytes than were sealed.
    show(
        "damaged",
        scene.call("message-receive", change(|m| m.package = format!("{}{}", &m.package[..32], "A".repeat(32)))).await,
    );
    show("confirm, nothing", scene.call("message-confirm", json!({})).await);
    let unknown = json!({"message_hash": "0".repeat(64), "message_nonce": "A".repeat(32)});
    show("confirm, unknown", scene.call("message-confirm", unknown).await);
    insta::assert_snapshot!(shown, @r#"
        nothing: 200 application/json {"error":true,"response_code":"SM_E000","error_code":"message_data_missing","error_message":"Fields are missing or malformed"}
        accepted: 200 application/json {"success":true,"response_code":"SM_S888"}
        ident: 200 application/json {"error":true,"response_code":"SM_E001","error_code":"ident_code_invalid","error_message":"There is no connection with this ident_code for the receiving address"}
        old: 200 application/json {"error":true,"response_code":"SM_E005","error_code":"message_expired","error_message":"The message_timestamp is more than 60 seconds from the time here"}
        hash: 200 application/json {"error":true,"response_code":"SM_E004","error_code":"message_hash_invalid","error_message":"The message_hash is not the one calculated here"}
        package: 200 application/json {"error":true,"response_code":"SM_E006","error_code":"message_decryption_error","error_message":"The message_package could not be decrypted"}
        refused by the sender's domain: 200 application/json {"error":true,"response_code":"SM_E000","error_code":"unknown_error","error_message":"The message could not be processed"}
        no confirm endpoint: 200 application/json {"error":true,"response_code":"SM_E003","error_code":"message_unknown","error_message":"The sending domain did not confirm the message"}
        a code passed on: 200 application/json {"error":true,"response_code":"SM_E009","error_code":"message_rejected_perm","error_message":"Messages from this domain are not taken"}
        damaged: 200 application/json {"error":true,"response_code":"SM_E006","error_code":"message_decryption_error","error_message":"The message_package could not be decrypted"}
        confirm, nothing: 200 application/json {"error":true,"response_code":"SM_E000","error_code":"message_data_missing","error_message":"Fields are missing or malformed"}
        confirm, unknown: 200 application/json {"error":true,"response_code":"SM_E003","error_code":"message_unknown","error_message":"The sending domain did not confirm the message"}
    "#);
    assert_eq!(scene.node.texts(ADA).await, ["text"]);
}

#[tokio::test]
async fn confirms_are_answered_while_our_post_is_open() {
    let scene = Scene::connected().await;
    scene.peer.behave(Behaviour::Confirming(Confirming::Twice));
    assert_eq!(scene.ada_writes("text").await, "delivered");
    let calls = scene.peer.calls();
    let confirms: Vec<(u16, &str)> = calls
        .iter()
        .filter(|call| call.url.ends_with("/message-confirm/"))
        .map(|call| (call.status, call.answer.as_str()))
        .collect();
    assert_eq!(confirms, [(200, r#"{"success":true}"#), (200, r#"{"success":true}"#)]);
}
