//! Tokens of mesibo's, in both forms of its back end; and whose codes are whose.

use handfast::logins::apps::{Mode, ResultStyle};
use serde_json::{Value, json};

use super::backend::{APP_TOKEN, Backend, LEGACY_URL, Mood, URL};
use super::scene::{APP, PHONE, Scene, options, other_than, with_mesibo};
use crate::node::{Net, eventually};

const NAME: &str = "Ann \"the Ä\" O'Neil \\ 名前 🙂";

#[tokio::test]
async fn the_current_form() {
    let net = Net::new();
    let backend = Backend::start(&net).await;
    let scene = Scene::start(&net, options(), &[with_mesibo(Mode::Mesibo, URL)]).await;
    let code = scene.code(APP, PHONE).await;
    let login = json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code, "name": NAME, "device": "d-1"});
    let answer = scene.json(login).await;
    assert_eq!((&answer["result"], &answer["phone"]), (&json!(true), &json!(PHONE)), "{answer}");
    assert_eq!(answer["token"], format!("{:049x}", 1), "mesibo's, as it is");
    assert_eq!(backend.name_of(PHONE).as_deref(), Some(NAME), "no name is broken on its way");
    let calls = backend.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    insta::assert_snapshot!(
        format!("{} {}\n{}", calls[0].method, calls[0].path, String::from_utf8_lossy(&calls[0].body)),
        @r#"
        POST /backend/
        {"op":"useradd","token":"app-token-0123456789","user":{"name":"Ann \"the Ä\" O'Neil \\ 名前 🙂","address":"18005551234","token":{"appid":"com.messenger.appid","expiry":525600,"v2":true}}}
        "#
    );
    scene.kept_quiet(&[answer["token"].as_str().unwrap(), APP_TOKEN, &code, "O'Neil"]).await;
}

#[tokio::test]
async fn the_older_form() {
    let net = Net::new();
    let backend = Backend::start(&net).await;
    let mut app = with_mesibo(Mode::MesiboLegacy, LEGACY_URL);
    app.result_style = ResultStyle::String;
    app.backend.token_minutes = 60;
    let scene = Scene::start(&net, options(), &[app]).await;
    let code = scene.code(APP, PHONE).await;
    let answer = scene.json(json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code, "name": NAME})).await;
    assert_eq!((&answer["result"], &answer["token"]), (&json!("OK"), &json!(format!("{:049x}", 1))), "{answer}");
    assert_eq!(backend.name_of(PHONE).as_deref(), Some(NAME));
    let calls = backend.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    insta::assert_snapshot!(format!("{} {}", calls[0].method, calls[0].path), @"GET /api.php?op=useradd&name=Ann+%22the+%C3%84%22+O%27Neil+%5C+%E5%90%8D%E5%89%8D+%F0%9F%99%82&addr=18005551234&appid=com.messenger.appid&session=0&expiry=60&flag=0&restrictions=0&token=app-token-0123456789&sig=none");
    scene.kept_quiet(&[answer["token"].as_str().unwrap(), APP_TOKEN, &code]).await;
}

#[tokio::test]
async fn codes_of_mesibo_s() {
    for (mode, url) in [(Mode::Mesibo, URL), (Mode::MesiboLegacy, LEGACY_URL)] {
        let net = Net::new();
        let backend = Backend::start(&net).await;
        let mut app = with_mesibo(mode, url);
        app.backend.makes_codes = true;
        let scene = Scene::start(&net, options(), &[app]).await;
        let code = scene.code(APP, PHONE).await;
        assert_eq!(code, backend.code_for(PHONE), "the one that mesibo made is the one that is sent");
        let login = |otp: &str| json!({"op": "login", "appid": APP, "phone": PHONE, "otp": otp});
        assert_eq!(scene.json(login(other_than(&code))).await["error"], "BADCODE");
        assert_eq!(backend.count("useradd"), 0, "a wrong code is ours to count");
        assert_eq!(scene.json(login(&code)).await["result"], true);
        let called = backend.calls().into_iter().find(|call| call.op == "useradd").unwrap();
        assert_eq!(called.fields["user"]["otp"], Value::from(code), "mesibo is shown its own code");
    }
}

/// Who leaves, leaves mesibo too, where somebody has found out how; it may fail, and the answer is the same.
#[tokio::test]
async fn a_token_is_revoked_at_mesibo() {
    for (mode, url) in [(Mode::Mesibo, URL), (Mode::MesiboLegacy, LEGACY_URL)] {
        let net = Net::new();
        let backend = Backend::start(&net).await;
        let mut app = with_mesibo(mode, url);
        app.backend.revoke_op = "deltoken".into();
        let scene = Scene::start(&net, options(), &[app]).await;
        let code = scene.code(APP, PHONE).await;
        let answer = scene.json(json!({"op": "login", "appid": APP, "phone": PHONE, "otp": code})).await;
        let token = answer["token"].as_str().expect("a token");
        backend.feels([Mood::Refuses("BADOP")]);
        assert_eq!(scene.json(json!({"op": "logout", "token": token})).await["result"], "OK");
        eventually("mesibo is told", async || backend.count("deltoken") == 1).await;
        let called = backend.calls().pop().unwrap();
        assert_eq!(
            (&called.fields["user"]["address"], &called.fields["user"]["token"]),
            (&json!(PHONE), &json!(token))
        );
        assert_eq!(scene.json(json!({"op": "logout", "token": token})).await["result"], "OK");
        scene.kept_quiet(&[token, APP_TOKEN]).await;
    }
}
