//! The shipped clients, replayed: their requests as bytes, and what each of them makes of the answer.
//!
//! What a client looks for was read in its source: whether `result` is text, what it takes without asking whether it is there, what
//! upsets it. A client that would crash here panics.

use serde_json::Value;

use super::scene::{HOME, PHONE, Scene, app, options, other_than, shipped, shown};
use crate::node::Net;
use crate::peers::Reply;

/// What a client believes to have been told.
#[derive(Debug, PartialEq)]
enum Believes {
    SignedIn { token: String, phone: String },
    Sent,
    SignedOut,
    Refused { error: String },
}

/// A client: its requests, and its reading of answers.
struct Client {
    appid: &'static str,
    /// Headers beside `Host` and the length.
    headers: &'static [&'static str],
    /// Members beside `op`, `appid` and `phone`, in step 1 and 2.
    beside: &'static str,
    /// Members beside these and `otp` in step 2.
    second: &'static str,
    reads: fn(&Value) -> Believes,
}

const ANDROID: Client = Client {
    appid: "org.mesibo.messenger",
    headers: &["Content-Type: application/json", "Accept: */*"],
    beside: r#","dt":"1""#,
    second: r#","device":"b1c9b2f2-1f6e-4f6c-9a6e-0d6d2a1c7e55""#,
    reads: android,
};

const IOS: Client = Client {
    appid: "com.mesibo.ios",
    headers: &["Content-Type: application/json", "Accept: */*"],
    beside: r#","dt":"2""#,
    second: r#","device":"6F9619FF-8B86-D011-B42D-00C04FC964FF""#,
    reads: ios,
};

const SWIFT: Client = Client {
    appid: "com.mesibo.swift",
    // No type is set: the library puts that of a form.
    headers: &["Content-Type: application/x-www-form-urlencoded", "Accept: */*"],
    beside: r#","dt":"2""#,
    second: "",
    reads: swift,
};

const SWIFT_WITHOUT_TYPE: Client = Client { headers: &["Accept: */*"], ..SWIFT };

const WEB: Client = Client {
    appid: "com.mesibo.jsdemo",
    headers: &["Content-Type: application/json", "Origin: https://web.example", "Referer: https://web.example/"],
    beside: "",
    second: "",
    reads: web,
};

const CONFERENCING: Client = Client { beside: r#","name":"Ann \"A\" M\u00fcller","dt":5"#, ..WEB };

/// Gson makes text of whatever a member is; a member that is missing is null.
fn android(json: &Value) -> Believes {
    let text = |name: &str| json.get(name).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    assert!(json.get("message").is_none(), "it would show a dialogue");
    let result = text("result").expect("without a result it says that there is no connection");
    if !result.eq_ignore_ascii_case("OK") {
        assert_eq!(text("errmsg"), None, "it would wait for ever");
        let error = text("error").unwrap_or_default();
        assert_ne!(error, "AUTHFAIL", "it would log out by force");
        return Believes::Refused { error };
    }
    // Taken without a look at whether it is there.
    let op = text("op").expect("NullPointerException");
    believed(&op, text("token"), text("phone"))
}

/// Takes members for strings: anything else throws.
fn ios(json: &Value) -> Believes {
    let text = |name: &str| {
        let value = json.get(name).filter(|value| !value.is_null())?;
        Some(value.as_str().expect("unrecognized selector sent to instance").to_owned())
    };
    if text("result").as_deref() != Some("OK") {
        assert_eq!(text("errmsg"), None);
        let error = text("error").unwrap_or_default();
        assert_ne!(error, "AUTHFAIL", "the spinner would stay");
        return Believes::Refused { error };
    }
    believed(&text("op").unwrap_or_default(), text("token"), text("phone"))
}

/// Casts where it can; an older version takes the time for granted.
fn swift(json: &Value) -> Believes {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    assert!(json["ts"].is_i64(), "unexpectedly found nil");
    if text("result").as_deref() != Some("OK") {
        return Believes::Refused { error: text("error").unwrap_or_default() };
    }
    believed(&text("op").unwrap_or_default(), text("token"), text("phone"))
}

/// `resp.result != "OK"` is an error, and a token has more than 16 characters.
fn web(json: &Value) -> Believes {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    if text("result").as_deref() != Some("OK") {
        return Believes::Refused { error: text("error").unwrap_or_default() };
    }
    let token = text("token").filter(|token| token.len() > 16);
    believed(&text("op").unwrap_or_default(), token, text("phone"))
}

fn believed(op: &str, token: Option<String>, phone: Option<String>) -> Believes {
    match (op, token) {
        ("login", Some(token)) => Believes::SignedIn { token, phone: phone.unwrap_or_default() },
        ("login", None) => Believes::Sent,
        ("logout", _) => Believes::SignedOut,
        _ => panic!("it does not know {op}"),
    }
}

impl Client {
    fn bytes(&self, body: &str) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        format!("POST / HTTP/1.1\r\nHost: {HOME}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    async fn send(&self, scene: &Scene, body: &str) -> Believes {
        let reply = scene.node.attacker().raw(self.bytes(body)).await.expect("an answer");
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json; charset=utf-8")));
        (self.reads)(&reply.json())
    }

    fn login(&self, otp: Option<&str>) -> String {
        let Self { appid, beside, second, .. } = self;
        let otp = otp.map(|otp| format!(r#","otp":"{otp}"{second}"#)).unwrap_or_default();
        format!(r#"{{"op":"login","appid":"{appid}","phone":"{PHONE}"{beside}{otp}}}"#)
    }

    /// Asks for a code, mistypes it, types it, leaves.
    async fn lives(&self) {
        let scene = Scene::start(&Net::new(), options(), &[shipped(self.appid)]).await;
        assert_eq!(self.send(&scene, &self.login(None)).await, Believes::Sent);
        let (to, code) = scene.sent().await;
        assert_eq!(to.trim_start_matches('+'), PHONE);
        // The box of the Android client sends as soon as there are six digits, and wants nothing else.
        assert!(code.len() == 6 && code.parse::<u32>().is_ok(), "{code}");
        let wrong = self.send(&scene, &self.login(Some(other_than(&code)))).await;
        assert_eq!(wrong, Believes::Refused { error: "BADCODE".into() });
        let signed_in = self.send(&scene, &self.login(Some(&code))).await;
        let Believes::SignedIn { token, phone } = signed_in else { panic!("{signed_in:?}") };
        assert!(phone == PHONE && token.len() > 16);
        let again = self.send(&scene, &self.login(Some(&code))).await;
        assert_eq!(again, Believes::Refused { error: "BADCODE".into() });
        let dt = if self.beside.is_empty() { "" } else { r#","dt":"1""# };
        for token in [token.as_str(), "no such token"] {
            let logout = format!(r#"{{"op":"logout","token":"{token}"{dt}}}"#);
            assert_eq!(self.send(&scene, &logout).await, Believes::SignedOut);
        }
        scene.kept_quiet(&[PHONE, &code, &token, "M\u{fc}ller"]).await;
    }
}

#[tokio::test]
async fn the_android_client() {
    ANDROID.lives().await;
}

#[tokio::test]
async fn the_ios_client() {
    IOS.lives().await;
}

#[tokio::test]
async fn the_swift_client() {
    SWIFT.lives().await;
    SWIFT_WITHOUT_TYPE.lives().await;
}

#[tokio::test]
async fn the_web_client() {
    WEB.lives().await;
}

#[tokio::test]
async fn the_conferencing_client() {
    CONFERENCING.lives().await;
}

async fn preflight(scene: &Scene, origin: &str) -> Reply {
    let request = format!(
        "OPTIONS / HTTP/1.1\r\nHost: {HOME}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: content-type\r\n\r\n"
    );
    scene.node.attacker().raw(request).await.expect("an answer")
}

#[tokio::test]
async fn a_browser_asks_beforehand() {
    let scene = Scene::plain().await;
    insta::assert_snapshot!(shown(&preflight(&scene, "https://web.example").await), @r"
    204
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    access-control-allow-methods: POST, GET, OPTIONS
    access-control-allow-headers: content-type
    access-control-max-age: 600
    allow: POST, GET, OPTIONS
    ");
    let answer = scene.node.attacker().request("POST", "/", &[("Origin", "https://web.example")], "{op:'x'}").await;
    insta::assert_snapshot!(shown(&answer.unwrap()), @r#"
    200
    content-type: application/json; charset=utf-8
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: *
    {"op":"x","ts":TS,"error":"BADOP","result":false}
    "#);

    let only = options().set("mesibo.origins", vec!["https://web.example"]);
    let scene = Scene::start(&Net::new(), only, &[app()]).await;
    insta::assert_snapshot!(shown(&preflight(&scene, "https://web.example").await), @r"
    204
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-origin: https://web.example
    access-control-allow-methods: POST, GET, OPTIONS
    access-control-allow-headers: content-type
    access-control-max-age: 600
    vary: Origin
    allow: POST, GET, OPTIONS
    ");
    insta::assert_snapshot!(shown(&preflight(&scene, "https://evil.example").await), @r"
    204
    cache-control: no-cache, no-store, must-revalidate
    pragma: no-cache
    access-control-allow-methods: POST, GET, OPTIONS
    access-control-allow-headers: content-type
    access-control-max-age: 600
    vary: Origin
    allow: POST, GET, OPTIONS
    ");
}

/// The published example, word for word, with the program that it names.
#[tokio::test]
async fn the_line_of_the_documentation() {
    let scene = Scene::plain().await;
    let ca = scene.node.dir().join("ca.pem");
    let line = [
        "--header",
        "Content-Type: application/json",
        "--request",
        "POST",
        "--data",
        r#"{op: "login", phone: "18005551234", appid: "com.messenger.appid"}"#,
    ];
    let to = format!("{HOME}:443:{}", scene.node.public);
    let said = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--connect-to", &to, "--cacert"])
        .arg(&ca)
        .args(line)
        .arg(format!("https://{HOME}"))
        .output()
        .await
        .expect("curl is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    let text = String::from_utf8(said.stdout).unwrap().replace(&json["ts"].to_string(), "1592890269");
    insta::assert_snapshot!(text, @r#"{"op":"login","ts":1592890269,"result":true}"#);
    let (to, code) = scene.sent().await;
    assert_eq!(to.trim_start_matches('+'), PHONE);
    let second = format!(r#"{{op: "login", phone: "18005551234", appid: "com.messenger.appid", otp: "{code}"}}"#);
    let answer = scene.post(second).await.json();
    assert_eq!((&answer["result"], &answer["phone"]), (&Value::Bool(true), &Value::from(PHONE)), "{answer}");
    assert!(answer["token"].as_str().unwrap().len() > 16);
}

/// Both styles for one request, whatever the application's is.
#[tokio::test]
async fn the_style_of_one_answer() {
    let scene = Scene::start(&Net::new(), options(), &[app(), shipped("com.shipped")]).await;
    for (appid, query, expected) in [
        ("com.messenger.appid", "", Value::from(true)),
        ("com.messenger.appid", "?result=string", Value::from("OK")),
        ("com.shipped", "", Value::from("OK")),
        ("com.shipped", "?result=bool", Value::from(true)),
        ("com.shipped", "?result=other", Value::from("OK")),
    ] {
        for path in ["/", "/index.php", "/api.php"] {
            let body = format!(r#"{{"op":"LOGIN","appid":"{appid}","phone":18005551234}}"#);
            let reply = scene.node.attacker().request("POST", &format!("{path}{query}"), &[], body).await.unwrap();
            assert_eq!(
                (&reply.json()["result"], &reply.json()["op"]),
                (&expected, &Value::from("login")),
                "{path}{query}"
            );
        }
    }
    // Both applications sent one message each: the rest came within the spacing.
    scene.sent().await;
    scene.sent().await;
    assert_eq!(scene.codes().len(), 2);
}

/// The first generation's forms.
#[tokio::test]
async fn forms_and_queries() {
    let scene = Scene::plain().await;
    let query = format!("/api.php?op=login&appid=com.messenger.appid&phone={PHONE}");
    let begun = scene.node.attacker().request("GET", &query, &[], "").await.unwrap();
    assert_eq!(begun.json()["result"], true);
    let (_, code) = scene.sent().await;
    let part =
        |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let form = format!("op=login&appid=com.messenger.appid&phone=%2B{PHONE}&code={}", other_than(&code));
    assert_eq!(scene.post(form).await.json()["error"], "BADCODE");
    let multipart =
        [part("op", "login"), part("appid", "com.messenger.appid"), part("phone", PHONE), part("code", &code)];
    let answer = scene.post(format!("{}--x--\r\n", multipart.concat())).await.json();
    assert_eq!((&answer["result"], &answer["phone"]), (&Value::Bool(true), &Value::from(PHONE)), "{answer}");
}

/// A number has lost the noughts at its beginning: found where a code begins with one.
#[tokio::test]
async fn a_code_as_a_number() {
    let code = serde_json::json!({"app": "com.messenger.appid", "address": PHONE, "code": "004217",
        "valid_until": "2099-01-01T00:00:00Z"});
    let options = options().set("mesibo.test_codes", toml::Value::try_from(vec![code]).unwrap());
    let scene = Scene::start(&Net::new(), options, &[app()]).await;
    let login = serde_json::json!({"op": "login", "appid": "com.messenger.appid", "phone": PHONE});
    assert_eq!(scene.json(login.clone()).await["result"], true);
    for (otp, right) in
        [(serde_json::json!(0), false), (serde_json::json!("4217"), false), (serde_json::json!(4217), true)]
    {
        let mut second = login.clone();
        second["otp"] = otp.clone();
        assert_eq!(scene.json(second).await["result"], right, "{otp}");
    }
    assert_eq!(scene.codes(), Vec::<Value>::new(), "a test code is sent to nobody");
}
