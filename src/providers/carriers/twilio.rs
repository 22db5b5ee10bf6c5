//! Twilio's REST API of 2010-04-01, or a service that speaks it: `Messages.json` and `Calls.json`.
//!
//! Sources: Twilio's references of the Message and the Call resource, and its list of error numbers.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use url::form_urlencoded;

use super::{ANSWER, Carry, Error, Kind, Letter, Said, Word};
use crate::config::providers::Carrier;
use crate::outbound::{Answer, Call, Outbound, Ports, Redirects, Target};
use crate::webhooks::{AGENT, Auth};

/// "To" is no number, or none that can take messages.
const NO_SUCH_NUMBER: [u32; 5] = [21211, 21217, 21401, 21421, 21614];
/// The recipient has answered STOP to this sender's number; other senders may go on.
const UNSUBSCRIBED: u32 = 21610;

/// One account.
pub(super) struct Twilio {
    outbound: Outbound,
    checked: Checked,
    from: String,
}

/// What was read of the settings.
pub(super) struct Checked {
    messages: Target,
    calls: Target,
    authorization: HeaderValue,
}

/// The answer to what was refused; everything else in it repeats the request.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

/// Reads the settings.
pub(super) fn check(settings: &Carrier) -> Result<Checked, Error> {
    let wrong = |setting, problem| Error::Setting { name: settings.name().to_owned(), setting, problem };
    let Carrier::Twilio { url, account, token, from, .. } = settings else {
        return Err(wrong("kind", "is another"));
    };
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(wrong("account", "has letters and digits: AC…"));
    }
    if from.is_empty() {
        return Err(wrong("from", "is not set"));
    }
    let target = |what: &str| {
        let whole = format!("{}/2010-04-01/Accounts/{account}/{what}.json", url.trim_end_matches('/'));
        Target::with_ports(&whole, &Ports::Any)
            .map_err(|error| Error::Url { name: settings.name().to_owned(), problem: error.to_string() })
    };
    let basic = Auth::Basic { username: account.clone(), password: token.clone() };
    let authorization = basic.header().filter(|_| !token.is_empty());
    Ok(Checked {
        messages: target("Messages")?,
        calls: target("Calls")?,
        authorization: authorization.ok_or_else(|| wrong("token", "is none"))?,
    })
}

impl Twilio {
    pub(super) fn new(settings: &Carrier, outbound: &Outbound) -> Result<Self, Error> {
        let from = match settings {
            Carrier::Twilio { from, .. } => from.clone(),
            _ => String::new(),
        };
        Ok(Self { outbound: outbound.clone(), checked: check(settings)?, from })
    }

    async fn run(&self, letter: &Letter<'_>, within: Duration) -> Word {
        match self.outbound.call(self.call(letter, within)).await {
            Ok(answer) => judge(&answer, letter.now),
            Err(error) => Word::of_error(&error),
        }
    }

    fn call(&self, letter: &Letter<'_>, within: Duration) -> Call {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", letter.to).append_pair("From", &self.from);
        let target = match letter.kind {
            Kind::Voice => {
                form.append_pair("Twiml", &twiml(letter));
                &self.checked.calls
            }
            Kind::Sms | Kind::Email => {
                form.append_pair("Body", &letter.text());
                &self.checked.messages
            }
        };
        let headers = [
            (header::AUTHORIZATION, self.checked.authorization.clone()),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (header::USER_AGENT, AGENT),
        ];
        Call {
            target: target.clone(),
            method: Method::POST,
            headers: HeaderMap::from_iter(headers),
            body: form.finish().into(),
            timeout: within,
            redirects: Redirects::None,
            answer: ANSWER,
        }
    }
}

impl Carry for Twilio {
    fn carry<'a>(&'a self, letter: &'a Letter<'a>, within: Duration) -> BoxFuture<'a, Word> {
        self.run(letter, within).boxed()
    }
}

/// Says it twice: who picks up misses the beginning.
fn twiml(letter: &Letter<'_>) -> String {
    // An application may be called "Salt & Pepper".
    let spoken = letter.spoken().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<Response><Pause length=\"1\"/><Say>{spoken}</Say><Pause length=\"2\"/><Say>{spoken}</Say></Response>")
}

pub(super) fn judge(answer: &Answer, now: jiff::Timestamp) -> Word {
    let word = Word::of_status(answer, now);
    let refusal = serde_json::from_slice::<Refusal>(&answer.body).ok().filter(|_| word.said != Said::Sent);
    let Some(Refusal { code }) = refusal else { return word };
    let said = match code {
        code if NO_SUCH_NUMBER.contains(&code) => Said::Never("no-such-number"),
        UNSUBSCRIBED => Said::Refused,
        _ => word.said,
    };
    Word::new(said, answer.status, format!("{}/{code}", word.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), truncated: false, retry_after: None, elapsed: Duration::ZERO }
    }

    #[test]
    fn error_numbers_decide_and_nothing_else_is_kept() {
        let trouble = Said::Trouble { pause: None };
        let table = [
            (201, r#"{"sid":"SM1","error_code":null}"#, Said::Sent, "sent"),
            (201, r#"{"code":21211}"#, Said::Sent, "sent"),
            (
                400,
                r#"{"code":21211,"message":"The 'To' number +1415 is not valid.","status":400}"#,
                Said::Never("no-such-number"),
                "http_400/21211",
            ),
            (400, r#"{"code":21614}"#, Said::Never("no-such-number"), "http_400/21614"),
            (400, r#"{"code":21610}"#, Said::Refused, "http_400/21610"),
            (400, r#"{"code":21606}"#, Said::Refused, "http_400/21606"),
            (400, "what?", Said::Refused, "http_400"),
            (401, r#"{"code":20003}"#, trouble, "http_401/20003"),
            (404, r#"{"code":20404}"#, trouble, "http_404/20404"),
            (429, r#"{"code":20429}"#, trouble, "http_429/20429"),
            (503, "<html>", trouble, "http_503"),
        ];
        for (status, body, said, code) in table {
            let word = judge(&answer(status, body), jiff::Timestamp::UNIX_EPOCH);
            assert_eq!((word.said, word.code.as_str(), word.status), (said, code, Some(status)), "{body}");
        }
    }

    #[test]
    fn a_name_is_spoken_and_no_markup() {
        let words = crate::codes::subject::Words { name: "Salt & <Pepper>".into(), text: String::new() };
        let letter = Letter { words: Some(&words), ..super::super::letter::of_tests() };
        assert!(
            twiml(&letter)
                .contains("<Say>Your Salt &amp; &lt;Pepper&gt; verification code is: 1, 2, 3, 4, 5, 6.</Say>")
        );
    }

    #[test]
    fn settings_that_are_none_are_named() {
        let settings = |url: &str, account: &str, token: &str, from: &str| Carrier::Twilio {
            name: "t".into(),
            url: url.into(),
            account: account.into(),
            token: token.to_owned().into(),
            from: from.into(),
        };
        let good = check(&settings("https://api.twilio.com/", "AC1", "t0ken", "+1")).ok().unwrap();
        assert_eq!(good.messages.reveal(), "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json");
        assert_eq!(good.calls.reveal(), "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls.json");
        for (settings, word) in [
            (settings("http://api.twilio.com", "AC1", "t0ken", "+1"), "url"),
            (settings("https://api.twilio.com", "A/C", "t0ken", "+1"), "account"),
            (settings("https://api.twilio.com", "AC1", "", "+1"), "token"),
            (settings("https://api.twilio.com", "AC1", "t0\nken", "+1"), "token"),
            (settings("https://api.twilio.com", "AC1", "t0ken", ""), "from"),
        ] {
            let said = check(&settings).err().unwrap().to_string();
            assert!(said.contains(word) && !said.contains("t0"), "{said}");
        }
    }
}
