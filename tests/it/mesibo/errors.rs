//! Every row of the table of errors: status, headers, body.

use handfast::logins::apps::{Mode, Way};
use serde_json::json;

use super::backend::{Backend, Mood, URL};
use super::scene::{APP, PHONE, Scene, app, body, options, other_than, shipped, shown, with_mesibo};
use crate::node::Net;

#[tokio::test]
async fn requests_that_ask_for_nothing() {
    let scene = Scene::plain().await;
    insta::assert_snapshot!(shown(&scene.post("").await), @r#"
    400
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"error":"NOOP","result":false}
    "#);
    for nothing in ["{}", "{\"op\":null}", "{\"op\":\" \"}", "{\"op\":[]}", "[1]", "hello", "{op", "\u{0}", "phone=1"] {
        assert_eq!(body(&scene.post(nothing).await), r#"{"error":"NOOP","result":false}"#, "{nothing:?}");
    }
    let attacker = scene.node.attacker();
    let got = attacker.request("GET", "/", &[], "").await.unwrap();
    assert_eq!((got.status, body(&got).as_str()), (400, r#"{"error":"NOOP","result":false}"#));
    let styled = attacker.request("POST", "/?result=string", &[], "").await.unwrap();
    assert_eq!(body(&styled), r#"{"error":"NOOP","result":"FAIL"}"#);
    insta::assert_snapshot!(shown(&scene.post("x".repeat(17 << 10)).await), @r#"
    413
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"error":"TOOLARGE","result":false}
    "#);
    insta::assert_snapshot!(shown(&attacker.request("PUT", "/", &[], "{}").await.unwrap()), @r#"
    405
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    allow: POST, GET, OPTIONS
    {"error":"BADMETHOD","result":false}
    "#);
    let picture = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")];
    let shown_elsewhere = format!("/?op=login&appid={APP}&phone={PHONE}");
    insta::assert_snapshot!(shown(&attacker.request("GET", &shown_elsewhere, &picture, "").await.unwrap()), @r#"
    403
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"error":"BADORIGIN","result":false}
    "#);
    assert_eq!(scene.codes().len(), 0);
    assert_eq!(attacker.request("POST", "/other", &[], "{\"op\":\"login\"}").await.unwrap().status, 404);
}

#[tokio::test]
async fn requests_that_ask_for_nothing_are_sent_elsewhere_where_that_is_set() {
    let options = options().set("mesibo.empty_op_redirect", "https://shop.example/start");
    let scene = Scene::start(&Net::new(), options, &[app()]).await;
    insta::assert_snapshot!(shown(&scene.post("").await), @r"
    302
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    location: https://shop.example/start
    ");
    assert_eq!(scene.post("{\"op\":\"x\"}").await.status, 200);
}

#[tokio::test]
async fn operations_and_applications_that_are_none() {
    let mut off = shipped("com.off");
    off.enabled = false;
    let scene = Scene::start(&Net::new(), options(), &[app(), off]).await;
    insta::assert_snapshot!(shown(&scene.post(r#"{"op":"fly"}"#).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"fly","ts":TS,"error":"BADOP","result":false}
    "#);
    // Those of the first generation.
    for op in [
        "loginui",
        "profile",
        "setnotify",
        "upload",
        "getcontacts",
        "delcontacts",
        "setgroup",
        "getgroup",
        "delgroup",
        "setadmin",
        "editmembers",
    ] {
        let answer = scene.json(json!({"op": op, "token": "0123456789abcdef0123"})).await;
        assert_eq!((&answer["op"], &answer["error"], &answer["result"]), (&json!(op), &json!("BADOP"), &json!(false)));
    }
    insta::assert_snapshot!(shown(&scene.post(r#"{"op":"login","phone":"18005551234"}"#).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"login","ts":TS,"error":"MISSINGAPPID","result":false}
    "#);
    for unknown in ["com.unknown", "com.messenger.appid\u{0}", "COM.MESSENGER.APPID", "'", &"a".repeat(300)] {
        let reply = scene.post(json!({"op": "login", "phone": PHONE, "appid": unknown}).to_string()).await;
        assert_eq!(body(&reply), r#"{"op":"login","ts":TS,"error":"BADAPP","result":false}"#, "{unknown}");
    }
    let reply = scene.post(json!({"op": "login", "phone": PHONE, "appid": "com.off"}).to_string()).await;
    assert_eq!(body(&reply), r#"{"op":"login","ts":TS,"error":"BADAPP","result":"FAIL"}"#);
    assert_eq!(scene.codes().len(), 0);
}

#[tokio::test]
async fn addresses_that_are_none() {
    let mut elsewhere = app();
    elsewhere.appid = "com.elsewhere".into();
    elsewhere.countries = vec![String::from("49")];
    let scene = Scene::start(&Net::new(), options(), &[app(), elsewhere]).await;
    let begin = async |appid: &str, name: &str, value: serde_json::Value| {
        let mut login = json!({"op": "login", "appid": appid});
        login[name] = value;
        body(&scene.post(login.to_string()).await)
    };
    let refused = r#"{"op":"login","ts":TS,"error":"BADPHONE","result":false}"#;
    for wrong in
        [json!("12345678"), json!("not-a-phone"), json!(""), json!(null), json!([PHONE]), json!({}), json!(true)]
    {
        assert_eq!(begin(APP, "phone", wrong.clone()).await, refused, "{wrong}");
    }
    for wrong in ["ann", "ann@", "@mail.example", "ann@mail.example\nBcc: x@y.example"] {
        assert_eq!(begin(APP, "email", json!(wrong)).await, refused, "{wrong}");
    }
    assert_eq!(begin(APP, "user", json!("ann")).await, refused, "it has no verifier");
    assert_eq!(begin("com.elsewhere", "phone", json!(PHONE)).await, refused, "another country");
    assert_eq!(begin("com.elsewhere", "phone", json!("491701234567")).await, r#"{"op":"login","ts":TS,"result":true}"#);
    assert_eq!(begin(APP, "phone", json!("123456789")).await, r#"{"op":"login","ts":TS,"result":true}"#);
    assert_eq!(begin(APP, "email", json!("Ann@Mail.example")).await, r#"{"op":"login","ts":TS,"result":true}"#);
}

#[tokio::test]
async fn codes_that_are_wrong() {
    let mut legacy = shipped("com.legacy");
    legacy.legacy_errors = true;
    let scene = Scene::start(&Net::new(), options(), &[app(), legacy]).await;
    let code = scene.code(APP, PHONE).await;
    let wrong = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": other_than(&code)});
    insta::assert_snapshot!(shown(&scene.post(wrong.to_string()).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"login","ts":TS,"error":"BADCODE","result":false}
    "#);
    // Nobody learns whether one was ever sent.
    let refused = r#"{"op":"login","ts":TS,"error":"BADCODE","result":false}"#;
    for (phone, otp) in
        [("18005550000", json!("123456")), (PHONE, json!("12345")), (PHONE, json!("abc")), (PHONE, json!([code]))]
    {
        let login = json!({"op": "login", "appid": APP, "phone": phone, "otp": otp});
        assert_eq!(body(&scene.post(login.to_string()).await), refused, "{otp}");
    }
    let login = json!({"op": "login", "appid": "com.legacy", "phone": PHONE, "otp": "123456"});
    let reply = scene.post(login.to_string()).await;
    assert_eq!(body(&reply), r#"{"op":"login","ts":TS,"error":"BADUSER","result":"FAIL"}"#);
    // The sixth try fails, be it right.
    for _ in 0..5 {
        scene.post(wrong.to_string()).await;
    }
    let right = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code});
    assert_eq!(body(&scene.post(right.to_string()).await), refused);
}

#[tokio::test]
async fn too_often() {
    let options = options()
        .set("mesibo.limits.starts_per_ip.bucket", 2)
        .set("mesibo.limits.starts_per_ip.per_minute", 0.01)
        .set("mesibo.limits.tries_per_ip.bucket", 2)
        .set("mesibo.limits.tries_per_ip.per_minute", 0.01);
    let scene = Scene::start(&Net::new(), options, &[app()]).await;
    for otp in [None, Some("123456")] {
        let mut login = json!({"op": "login", "appid": APP, "phone": PHONE});
        login["otp"] = json!(otp);
        let mut last = scene.post(login.to_string()).await;
        for _ in 0..2 {
            last = scene.post(login.to_string()).await;
        }
        let after = last.json()["retry_after"].as_u64().expect("seconds");
        assert_eq!(last.header("retry-after"), Some(after.to_string().as_str()));
        assert!((1..=6000).contains(&after), "{after}");
        let text = body(&last).replace(&after.to_string(), "SECONDS");
        assert_eq!(text, r#"{"op":"login","ts":TS,"error":"RATELIMIT","retry_after":SECONDS,"result":false}"#);
    }
}

#[tokio::test]
async fn a_back_end_that_says_no() {
    let net = Net::new();
    let backend = Backend::start(&net).await;
    let mut makes_codes = with_mesibo(Mode::Mesibo, URL);
    makes_codes.appid = "com.codes".into();
    makes_codes.backend.makes_codes = true;
    makes_codes.ways = vec![Way::Sms];
    let scene = Scene::start(&net, options(), &[with_mesibo(Mode::Mesibo, URL), makes_codes]).await;
    let code = scene.code(APP, PHONE).await;
    backend.feels([Mood::Refuses("TOKENBREACH")]);
    let begin = json!({"op": "login", "appid": "com.codes", "phone": PHONE});
    insta::assert_snapshot!(shown(&scene.post(begin.to_string()).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"login","ts":TS,"error":"BADAPP","result":false}
    "#);
    let login = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code});
    insta::assert_snapshot!(shown(&scene.post(login.to_string()).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"login","ts":TS,"error":"BADUSER","result":false}
    "#);
    assert!(scene.node.logs().contains("TOKENBREACH"), "operators have to hear of it");
    backend.feels([Mood::Status(500)]);
    let other = json!({"op": "login", "appid": "com.codes", "phone": "18005551235"});
    insta::assert_snapshot!(shown(&scene.post(other.to_string()).await), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"login","ts":TS,"error":"BACKEND","result":false}
    "#);
    scene.kept_quiet(&[&code, PHONE, super::backend::APP_TOKEN]).await;
}

/// Whatever happens, the words are those of the documentation, which says what to do about each.
#[test]
fn every_word_is_in_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mesibo.md")).unwrap();
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doors/mesibo/answer.rs")).unwrap();
    let renamed = source.split("rename = \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let words: Vec<&str> = renamed.chain(["NOOP", "TOOLARGE", "TOOSLOW", "BADMETHOD", "BADORIGIN"]).collect();
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        assert!(page.contains(&format!("| `{word}` |")), "{word} has no row in docs/mesibo.md");
    }
}
