//! mesibo's back end, in both of its forms: JSON by POST, and the older query by GET.
//!
//! Sources: mesibo's samples of its back end API, its published pages, and the requests of the back end that it shipped. Where these
//! leave an answer open (whether an id is a string, where a code stands), every form is taken.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{ANSWER, UNSET, Unavailable, word};
use crate::config::Mesibo;
use crate::jobs::{BackendAnswer, BackendCall};
use crate::logins::apps::{Application, Mode};
use crate::outbound::{Answer, Call, Ports, Redirects, Target};
use crate::webhooks::AGENT;

/// Longest token that is believed, in bytes.
const LONGEST_TOKEN: usize = 4096;
/// Digits of a code that is believed: with fewer the odds would be others. One that comes as a number has lost the noughts at its
/// beginning.
const DIGITS: usize = 6;

/// The current form.
#[derive(Serialize)]
struct Request<'a> {
    op: &'a str,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<Otp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
}

#[derive(Serialize)]
struct Otp<'a> {
    address: &'a str,
    tries: u32,
    expiry: u64,
    reuse: u8,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<&'a str>,
    token: Token<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Token<'a> {
    Wanted { appid: &'a str, expiry: u32, v2: bool },
    Known(&'a str),
}

/// The call for a question; nothing where there is nothing to call: no operation to revoke with, or an application without mesibo.
pub(super) fn call(app: &Application, call: &BackendCall, settings: &Mesibo) -> Result<Option<Call>, Unavailable> {
    let Some(operation) = operation(app, call) else { return Ok(None) };
    let mut headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
    let (method, url, body) = match app.backend.mode {
        Mode::Local => return Err(Unavailable("no-backend")),
        Mode::Mesibo => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let request = request(app, call, operation, settings);
            let body = serde_json::to_vec(&request).map_err(|_| Unavailable("internal"))?;
            (Method::POST, app.backend.url.clone(), Bytes::from(body))
        }
        Mode::MesiboLegacy => {
            let joint = if app.backend.url.contains('?') { '&' } else { '?' };
            let query = query(app, call, operation, settings);
            (Method::GET, format!("{}{joint}{query}", app.backend.url), Bytes::new())
        }
    };
    let target = Target::with_ports(&url, &Ports::Any).map_err(|_| Unavailable("bad-url"))?;
    Ok(Some(Call { target, method, headers, body, timeout: UNSET, redirects: Redirects::None, answer: ANSWER }))
}

fn operation<'a>(app: &'a Application, call: &BackendCall) -> Option<&'a str> {
    match call {
        BackendCall::MakeCode { .. } => Some("otp"),
        BackendCall::AddUser { .. } => Some("useradd"),
        BackendCall::Revoke { .. } => Some(app.backend.revoke_op.as_str()).filter(|op| !op.is_empty()),
        BackendCall::BeginElsewhere(_) | BackendCall::VerifyElsewhere(_) => None,
    }
}

fn request<'a>(app: &'a Application, call: &'a BackendCall, op: &'a str, settings: &Mesibo) -> Request<'a> {
    let mut request = Request { op, token: app.backend.token.reveal(), otp: None, user: None };
    match call {
        BackendCall::MakeCode { address } => {
            let expiry = settings.code_life.duration().as_secs();
            request.otp = Some(Otp { address, tries: settings.code_tries, expiry, reuse: 1 });
        }
        BackendCall::AddUser { address, name, code } => {
            let token = Token::Wanted { appid: &app.appid, expiry: app.backend.token_minutes, v2: true };
            request.user = Some(User { name: Some(name), address, otp: code.as_deref(), token });
        }
        BackendCall::Revoke { address, token } => {
            request.user = Some(User { name: None, address, otp: None, token: Token::Known(token) });
        }
        BackendCall::BeginElsewhere(_) | BackendCall::VerifyElsewhere(_) => {}
    }
    request
}

/// The older form, its parameters in the order of the shipped back end.
fn query(app: &Application, call: &BackendCall, op: &str, settings: &Mesibo) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("op", op);
    match call {
        BackendCall::MakeCode { address } => {
            let expiry = settings.code_life.duration().as_secs();
            query.append_pair("addr", address).append_pair("tries", &settings.code_tries.to_string());
            query.append_pair("expiry", &expiry.to_string()).append_pair("reuse", "1");
        }
        BackendCall::AddUser { address, name, code } => {
            query.append_pair("name", name).append_pair("addr", address).append_pair("appid", &app.appid);
            query.append_pair("session", "0").append_pair("expiry", &app.backend.token_minutes.to_string());
            query.append_pair("flag", "0");
            if let Some(code) = code {
                query.append_pair("otp", code);
            }
            query.append_pair("restrictions", "0");
        }
        BackendCall::Revoke { address, token } => {
            query.append_pair("addr", address).append_pair("usertoken", token);
        }
        BackendCall::BeginElsewhere(_) | BackendCall::VerifyElsewhere(_) => {}
    }
    query.append_pair("token", app.backend.token.reveal()).append_pair("sig", "none");
    query.finish()
}

/// What an answer says.
pub(super) fn read(call: &BackendCall, answer: &Answer) -> Result<BackendAnswer, Unavailable> {
    let json = serde_json::from_slice::<Value>(&answer.body).ok().filter(Value::is_object);
    let Some(json) = json else { return Err(Unavailable("not-json")) };
    match succeeded(&json["result"]) {
        Some(true) if (200..300).contains(&answer.status) => made(call, &json),
        Some(false) => Ok(BackendAnswer::Refused(word(json["error"].as_str(), "refused"))),
        _ => Err(Unavailable("no-result")),
    }
}

fn made(call: &BackendCall, json: &Value) -> Result<BackendAnswer, Unavailable> {
    match call {
        BackendCall::MakeCode { .. } => code(json).map(BackendAnswer::Code).ok_or(Unavailable("no-code")),
        BackendCall::AddUser { .. } => {
            let token = token(&json["user"]["token"]).ok_or(Unavailable("no-token"))?;
            Ok(BackendAnswer::Token { token, uid: text(&json["user"]["uid"]) })
        }
        _ => Ok(BackendAnswer::Done),
    }
}

/// Documented is a boolean; the older form's clients write words.
fn succeeded(result: &Value) -> Option<bool> {
    match result {
        Value::Bool(result) => Some(*result),
        Value::String(word) if ["OK", "true"].iter().any(|good| word.eq_ignore_ascii_case(good)) => Some(true),
        Value::String(word) if ["FAIL", "false"].iter().any(|bad| word.eq_ignore_ascii_case(bad)) => Some(false),
        _ => None,
    }
}

/// At the top, or in an object. Never the top-level `token`: that is the application's own, should it come back.
fn token(token: &Value) -> Option<String> {
    let token = token.as_str().or_else(|| token["token"].as_str())?;
    let good = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| token.to_owned())
}

fn code(json: &Value) -> Option<String> {
    let otp = &json["otp"];
    let places = [otp, &otp["otp"], &otp["code"], &json["user"]["otp"], &json["code"]];
    let digits = places.into_iter().find_map(|place| match place {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(format!("{number:0>DIGITS$}", number = number.to_string())),
        _ => None,
    })?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    ((1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn app(mode: Mode) -> Application {
        let mut app = Application::new("com.messenger.appid".into(), "M".into());
        app.backend.mode = mode;
        app.backend.url =
            if mode == Mode::Mesibo { "https://m.test/backend/" } else { "https://m.test/api.php" }.to_owned();
        app.backend.token = String::from("APPTOKEN").into();
        app
    }

    fn make_code() -> BackendCall {
        BackendCall::MakeCode { address: "18005551234".into() }
    }

    fn add_user(name: &str, code: Option<&str>) -> BackendCall {
        BackendCall::AddUser { address: "18005551234".into(), name: name.into(), code: code.map(str::to_owned) }
    }

    fn shown(mode: Mode, question: &BackendCall) -> String {
        let Ok(Some(made)) = call(&app(mode), question, &Mesibo::default()) else { panic!("no call") };
        format!("{} {} {}", made.method, made.target.reveal(), String::from_utf8_lossy(&made.body))
    }

    #[test]
    fn both_forms_are_those_that_were_recorded() {
        let table = [
            (
                Mode::MesiboLegacy,
                make_code(),
                "GET https://m.test/api.php?op=otp&addr=18005551234&tries=5&expiry=300&reuse=1&token=APPTOKEN&sig=none ",
            ),
            (
                Mode::MesiboLegacy,
                add_user("Ann", Some("123456")),
                "GET https://m.test/api.php?op=useradd&name=Ann&addr=18005551234&appid=com.messenger.appid&session=0\
                 &expiry=525600&flag=0&otp=123456&restrictions=0&token=APPTOKEN&sig=none ",
            ),
            (
                Mode::Mesibo,
                make_code(),
                r#"POST https://m.test/backend/ {"op":"otp","token":"APPTOKEN","otp":{"address":"18005551234","tries":5,"expiry":300,"reuse":1}}"#,
            ),
            (
                Mode::Mesibo,
                add_user("Ann \"Ä\"", Some("123456")),
                r#"POST https://m.test/backend/ {"op":"useradd","token":"APPTOKEN","user":{"name":"Ann \"Ä\"","address":"18005551234","otp":"123456","token":{"appid":"com.messenger.appid","expiry":525600,"v2":true}}}"#,
            ),
        ];
        for (mode, question, expected) in table {
            assert_eq!(shown(mode, &question), expected);
        }
        assert!(!shown(Mode::Mesibo, &add_user("Ann", None)).contains("\"otp\""));
        assert!(!shown(Mode::MesiboLegacy, &add_user("Ann", None)).contains("otp="));
        assert!(shown(Mode::MesiboLegacy, &add_user("A&b=c ü", None)).contains("name=A%26b%3Dc+%C3%BC&"));
    }

    #[test]
    fn a_token_is_revoked_only_where_somebody_said_how() {
        let revoke = BackendCall::Revoke { address: "18005551234".into(), token: "t".into() };
        assert!(matches!(call(&app(Mode::Mesibo), &revoke, &Mesibo::default()), Ok(None)));
        let mut named = app(Mode::Mesibo);
        named.backend.revoke_op = "deltoken".into();
        let Ok(Some(made)) = call(&named, &revoke, &Mesibo::default()) else { panic!("no call") };
        let expected = r#"{"op":"deltoken","token":"APPTOKEN","user":{"address":"18005551234","token":"t"}}"#;
        assert_eq!(made.body, expected.as_bytes());
    }

    fn said(question: &BackendCall, status: u16, body: &str) -> String {
        let body = body.to_owned().into();
        let answer = Answer { status, body, truncated: false, retry_after: None, elapsed: Duration::ZERO };
        match read(question, &answer) {
            Ok(BackendAnswer::Done) => String::from("done"),
            Ok(BackendAnswer::Code(code)) => format!("code {code}"),
            Ok(BackendAnswer::Token { token, uid }) => format!("token {token} {}", uid.unwrap_or_default()),
            Ok(BackendAnswer::Refused(word)) => format!("refused {word}"),
            Ok(BackendAnswer::Verified { .. } | BackendAnswer::Unavailable(_)) => String::from("?"),
            Err(Unavailable(problem)) => format!("unavailable {problem}"),
        }
    }

    #[test]
    fn answers_are_read_in_every_form() {
        let token = [
            (200, r#"{"user":{"uid":"5302","token":"abc"},"op":"useradd","result":true}"#, "token abc 5302"),
            (200, "\u{20}{\"user\":{\"uid\":5302,\"token\":{\"token\":\"abc\"}},\"result\":true}\n", "token abc 5302"),
            (200, r#"{"user":{"token":"abc"},"result":"OK"}"#, "token abc "),
            (200, r#"{"user":{"uid":1},"result":true}"#, "unavailable no-token"),
            (200, r#"{"token":"APPTOKEN","result":true}"#, "unavailable no-token"),
            (200, r#"{"user":{"token":""},"result":true}"#, "unavailable no-token"),
            (200, r#"{"user":{"token":"a\nb"},"result":true}"#, "unavailable no-token"),
            (200, r#"{"op":"useradd","result":false,"error":"BADOP"}"#, "refused BADOP"),
            (403, r#"{"op":"useradd","result":false,"error":"TOKENBREACH"}"#, "refused TOKENBREACH"),
            (200, r#"{"result":false}"#, "refused refused"),
            (200, r#"{"result":"FAIL","error":"a sentence"}"#, "refused refused"),
            (404, r#"{"result":true,"user":{"token":"abc"}}"#, "unavailable no-result"),
            (200, "{}", "unavailable no-result"),
            (200, "[]", "unavailable not-json"),
            (200, "<html>", "unavailable not-json"),
            (200, "", "unavailable not-json"),
        ];
        for (status, body, expected) in token {
            assert_eq!(said(&add_user("Ann", None), status, body), expected, "{body}");
        }
        let code = [
            (r#"{"op":"otp","result":true,"otp":"042137"}"#, "code 042137"),
            (r#"{"result":true,"otp":42137}"#, "code 042137"),
            (r#"{"result":true,"otp":{"otp":"042137"}}"#, "code 042137"),
            (r#"{"result":true,"otp":{"code":"042137"}}"#, "code 042137"),
            (r#"{"result":true}"#, "unavailable no-code"),
            (r#"{"result":true,"otp":"abc"}"#, "unavailable no-code"),
            (r#"{"result":true,"otp":"4711"}"#, "unavailable no-code"),
            (r#"{"result":true,"otp":"1234567"}"#, "unavailable no-code"),
        ];
        for (body, expected) in code {
            assert_eq!(said(&make_code(), 200, body), expected, "{body}");
        }
    }
}
