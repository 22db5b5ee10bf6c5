//! Input that nobody means well with: always an answer, never a panic, nothing in a log.

use std::time::Duration;

use serde_json::json;

use super::scene::{APP, PHONE, Scene};

#[tokio::test]
async fn every_body_is_answered() {
    let mut scene = Scene::plain().await;
    let deep = |open: &str| format!(r#"{{"op":"login","appid":"{APP}","phone":{}"#, open.repeat(15_000 / open.len()));
    let closed = format!(r#"{{"op":"login","x":{}{}}}"#, "[".repeat(7000), "]".repeat(7000));
    let many = format!("{{{}\"op\":\"login\"}}", "\"a\":1,".repeat(2500));
    let bodies: Vec<Vec<u8>> = vec![
        deep("[").into(),
        deep("{a:").into(),
        deep("{\"a\":").into(),
        closed.into(),
        many.into(),
        vec![0xff; 16 << 10],
        vec![0; 16 << 10],
        b"{\"op\":\"login\xff\xfe\"}".to_vec(),
        b"{\"op\":\"\\ud800\"}".to_vec(),
        b"{op:'\\u{110000}'}".to_vec(),
        b"--\r\n--\r\n--".to_vec(),
        b"--x\r\n\r\n--x--".to_vec(),
        "&".repeat(16 << 10).into(),
        "%".repeat(16 << 10).into(),
        "op=login&".repeat(1800).into(),
        format!(r#"{{"op":"{}"}}"#, "x".repeat(15_000)).into(),
        json!({"op": "login", "appid": APP, "phone": "1".repeat(15_000)}).to_string().into(),
        json!({"op": "login", "appid": APP, "phone": PHONE, "otp": "1".repeat(15_000)}).to_string().into(),
        json!({"op": "login", "appid": APP, "phone": PHONE, "otp": "1\u{0}2", "name": "\u{0}", "device": "\u{0}"})
            .to_string()
            .into(),
        json!({"op": "login", "appid": "' or 1=1 --", "phone": PHONE}).to_string().into(),
        json!({"op": "logout", "token": "\u{0}"}).to_string().into(),
        json!({"op": "logout", "token": ["x"], "appid": {"a": 1}}).to_string().into(),
        json!({"op": "login\r\nSet-Cookie: a=b", "appid": APP}).to_string().into(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let reply = scene.post(&body).await;
        assert!([200, 400].contains(&reply.status), "{shown}: {reply:?}");
        let json = reply.json();
        let good = json["result"] == "OK" && json["op"] == "logout";
        assert!(good || json["error"].as_str().is_some_and(|word| word != "BACKEND"), "{shown}: {json}");
        assert!(reply.header("set-cookie").is_none() && reply.body.len() < 300, "{shown}");
    }
    scene.node.unharmed().await;
}

#[tokio::test]
async fn slow_and_broken_bodies_are_answered_too() {
    let options = super::scene::options().set("public.read_timeout", "1s");
    let scene = Scene::start(&crate::node::Net::new(), options, &[super::scene::app()]).await;
    let head = "POST / HTTP/1.1\r\nHost: home.test\r\nContent-Length: 400\r\n\r\n{\"op\":";
    let reply = scene.node.attacker().raw(head).await.expect("an answer");
    assert_eq!((reply.status, reply.json()["error"].as_str()), (408, Some("TOOSLOW")));
    // Its head comes at once, its body in drops that never end in time.
    let slow = scene.node.attacker().slowly(head.len(), Duration::from_millis(400));
    let reply = slow.raw(format!("{head}{}", " ".repeat(390))).await.expect("an answer");
    assert_eq!(reply.status, 408);
}

/// Many at once with one code: one token.
#[tokio::test]
async fn one_code_is_one_token() {
    let scene = Scene::plain().await;
    let code = scene.code(APP, PHONE).await;
    let login = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code}).to_string();
    let all = (0..50).map(|_| scene.post(login.clone()));
    let replies = futures_util::future::join_all(all).await;
    let tokens = replies.iter().filter(|reply| reply.json()["token"].is_string()).count();
    assert_eq!(tokens, 1);
    for reply in replies {
        let json = reply.json();
        assert!(
            json["token"].is_string() || ["BADCODE", "BACKEND"].contains(&json["error"].as_str().unwrap()),
            "{json}"
        );
    }
}
