//! What is asked, in types.

use std::net::IpAddr;

use url::form_urlencoded;
use zeroize::Zeroizing;

use super::answer::Word;
use super::fields::{Fields, Value};
use crate::logins::apps::{ResultStyle, Way};
use crate::logins::{Address, Application, Origin, parse};

/// Longest id of an application that is looked up, in bytes.
const LONGEST_APPID: usize = 255;
/// Digits of a code: a JSON number has lost the noughts at its beginning.
const DIGITS: usize = 6;
/// Longest operation that is repeated in the answer, in characters.
const LONGEST_OP: usize = 32;

/// A request of any operation.
pub(super) struct Request {
    /// The operation, in lower case; empty: none is named.
    pub(super) op: String,
    /// What the caller wants `result` to look like, this once.
    pub(super) style: Option<ResultStyle>,
    fields: Fields,
}

/// What the caller proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// A code, or whatever else was typed.
    Typed(Zeroizing<String>),
    /// Nothing that could be one: a list, an object.
    Unusable,
}

impl Request {
    /// Reads it; whatever cannot be read is not there.
    pub(super) fn read(body: &[u8], query: &str) -> Self {
        let fields = Fields::read(body, query);
        let op = fields.text("op").chars().take(LONGEST_OP).collect::<String>().to_lowercase();
        Self { op, style: style(query), fields }
    }

    /// The application's id.
    pub(super) fn appid(&self) -> Result<&str, Word> {
        match self.fields.text("appid") {
            "" => Err(Word::MissingAppId),
            appid if appid.len() > LONGEST_APPID || appid.chars().any(char::is_control) => Err(Word::BadApp),
            appid => Ok(appid),
        }
    }

    /// Who wants to sign in. An application whose only way is its own verifier has whatever was typed into whichever field: it alone
    /// knows what its users are called.
    pub(super) fn address(&self, application: &Application) -> Option<Address> {
        let [phone, mail, user] = ["phone", "email", "user"].map(|name| self.fields.text(name));
        let typed = [phone, mail, user].into_iter().find(|text| !text.is_empty())?;
        if !application.ways.is_empty() && application.ways.iter().all(|way| *way == Way::Verifier) {
            return parse::user([user, phone, mail].into_iter().find(|text| !text.is_empty()).unwrap_or(typed));
        }
        match typed {
            _ if !phone.is_empty() => parse::phone(phone),
            _ if !mail.is_empty() => parse::mail(mail),
            _ => parse::user(user),
        }
    }

    /// What it is proven with; nothing: this is step 1. Codes get the noughts back that a JSON number has lost; what a verifier is asked
    /// stays as it was typed.
    pub(super) fn secret(&self, address: &Address) -> Option<Secret> {
        let is_code = !matches!(address, Address::User(_));
        Some(match self.fields.first(["otp", "code"])? {
            Value::Other => Secret::Unusable,
            Value::Number(digits) if is_code => Secret::Typed(Zeroizing::new(format!("{:0>DIGITS$}", digits.as_str()))),
            Value::Text(text) if is_code => Secret::Typed(Zeroizing::new(text.trim().to_owned())),
            Value::Text(text) | Value::Number(text) => Secret::Typed(text.clone()),
        })
    }

    /// What the user is called; empty: not said.
    pub(super) fn name(&self) -> &str {
        self.fields.text("name")
    }

    /// The token of a session.
    pub(super) fn token(&self) -> &str {
        self.fields.text("token")
    }

    /// Where it comes from.
    pub(super) fn origin(&self, ip: IpAddr) -> Origin {
        Origin::new(Some(ip), self.fields.text("device"), self.fields.text("dt"))
    }
}

/// `?result=string` or `?result=bool`, for trying out.
fn style(query: &str) -> Option<ResultStyle> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, value)| match (&*name, &*value) {
        ("result", "string") => Some(ResultStyle::String),
        ("result", "bool") => Some(ResultStyle::Bool),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn application(ways: &[Way]) -> Application {
        let mut application = Application::new("a".into(), "A".into());
        application.ways = ways.to_vec();
        application
    }

    fn phone() -> Address {
        Address::Phone("18005551234".into())
    }

    fn secret(body: &str, address: &Address) -> Option<String> {
        Some(match Request::read(body.as_bytes(), "").secret(address)? {
            Secret::Typed(text) => text.to_string(),
            Secret::Unusable => String::from("unusable"),
        })
    }

    #[test]
    fn a_code_is_there_or_not() {
        let user = Address::User("ann".into());
        for (body, code, password) in [
            (r#"{}"#, None, None),
            (r#"{"otp":null}"#, None, None),
            (r#"{"otp":""}"#, None, None),
            (r#"{"otp":" "}"#, None, None),
            (r#"{"otp":false}"#, None, None),
            (r#"{"otp":"","code":"123456"}"#, Some("123456"), Some("123456")),
            (r#"{"otp":"042137"}"#, Some("042137"), Some("042137")),
            (r#"{"otp":" 042137\n"}"#, Some("042137"), Some(" 042137\n")),
            (r#"{"otp":42137}"#, Some("042137"), Some("42137")),
            (r#"{"code":42137}"#, Some("042137"), Some("42137")),
            (r#"{"otp":0}"#, Some("000000"), Some("0")),
            (r#"{"otp":-1}"#, Some("0000-1"), Some("-1")),
            (r#"{"otp":"12345"}"#, Some("12345"), Some("12345")),
            (r#"{"otp":["123456"]}"#, Some("unusable"), Some("unusable")),
            (r#"{"otp":{}}"#, Some("unusable"), Some("unusable")),
            (r#"{"otp":1.5}"#, Some("unusable"), Some("unusable")),
        ] {
            assert_eq!(secret(body, &phone()).as_deref(), code, "{body}");
            assert_eq!(secret(body, &user).as_deref(), password, "{body}");
        }
    }

    #[test]
    fn addresses_are_read_for_the_application() {
        let read = |body: &str, ways: &[Way]| Request::read(body.as_bytes(), "").address(&application(ways));
        let by_code = [Way::Sms, Way::Email];
        let user = |text: &str| Some(Address::User(text.into()));
        for (body, by_codes, by_verifier) in [
            (r#"{"phone":" +0018005551234 "}"#, Some(phone()), user("+0018005551234")),
            (r#"{"phone":18005551234}"#, Some(phone()), user("18005551234")),
            (
                r#"{"email":"Ann@Mail.example"}"#,
                Some(Address::Mail("ann@mail.example".into())),
                user("Ann@Mail.example"),
            ),
            (r#"{"user":"ann"}"#, user("ann"), user("ann")),
            (r#"{"phone":"18005551234","user":"ann"}"#, Some(phone()), user("ann")),
            (r#"{"phone":"12345678"}"#, None, user("12345678")),
            (r#"{"phone":"","email":"x"}"#, None, user("x")),
            (r#"{"phone":["18005551234"]}"#, None, None),
            (r#"{}"#, None, None),
        ] {
            assert_eq!(read(body, &by_code), by_codes, "{body}");
            assert_eq!(read(body, &[Way::Verifier]), by_verifier, "{body}");
        }
    }

    #[test]
    fn the_rest_is_bounded() {
        let long = "x".repeat(500);
        let body = serde_json::json!({"op": format!("LOGIN{long}"), "appid": "a\u{0}b", "name": "Ann \"A\" Müller",
            "device": long, "dt": 5, "token": " t "});
        let request = Request::read(body.to_string().as_bytes(), "result=string");
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!(request.op.starts_with("loginxxx") && request.op.len() == LONGEST_OP);
        assert_eq!((request.name(), request.token()), ("Ann \"A\" Müller", "t"));
        assert!(request.origin(ip) == Origin::new(Some(ip), &"x".repeat(128), "5"));
        assert_eq!((request.appid(), request.style), (Err(Word::BadApp), Some(ResultStyle::String)));
        assert_eq!(Request::read(b"{}", "result=maybe&result=bool").style, Some(ResultStyle::Bool));
        assert_eq!(Request::read(b"{}", "x=y").appid(), Err(Word::MissingAppId));
    }

    proptest! {
        #[test]
        fn any_request_is_taken_apart(body in prop_oneof![any::<Vec<u8>>(), "\\PC*".prop_map(String::into_bytes)], query: String) {
            let request = Request::read(&body, &query);
            let application = application(&[Way::Sms, Way::Email, Way::Verifier]);
            if let Some(address) = request.address(&application) {
                let _ = request.secret(&address);
            }
            let _ = (request.appid(), request.name(), request.token(), request.origin(IpAddr::from([0, 0, 0, 0])));
        }
    }
}
