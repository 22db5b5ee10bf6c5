//! An endpoint of the operator's own: a JSON object, signed by the Standard Webhooks convention.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{ANSWER, Carry, Error, Letter, Said, Word};
use crate::config::providers::Carrier;
use crate::outbound::{Answer, Call, Outbound, Ports, Redirects, Target};
use crate::webhooks::{AGENT, DatedSecret, ID, SIGNATURE, Signer, SigningSecret, TIMESTAMP};

/// "It is well-formed, and I will not": this recipient takes nothing.
const UNPROCESSABLE: u16 = 422;

/// One endpoint.
pub(super) struct Webhook {
    outbound: Outbound,
    checked: Checked,
}

/// What was read of the settings.
pub(super) struct Checked {
    target: Target,
    signer: Signer,
}

/// What is sent. Names and meanings never change; fields may be added.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    to: &'a str,
    text: &'a str,
    code: &'a str,
    expires_at: Timestamp,
    service: &'a str,
}

/// Reads the settings.
pub(super) fn check(settings: &Carrier) -> Result<Checked, Error> {
    let name = || settings.name().to_owned();
    let Carrier::Webhook { url, secret, .. } = settings else {
        return Err(Error::Setting { name: name(), setting: "kind", problem: "is another" });
    };
    let target = Target::with_ports(url.reveal(), &Ports::Any)
        .map_err(|error| Error::Url { name: name(), problem: error.to_string() })?;
    let secret = secret.reveal().parse::<SigningSecret>().map_err(|_| Error::Setting {
        name: name(),
        setting: "secret",
        problem: "must be whsec_ and 24 to 64 bytes in base64, or whsk_ and 32",
    })?;
    Ok(Checked { target, signer: Signer::new(&[DatedSecret { secret, until: None }]) })
}

impl Webhook {
    pub(super) fn new(settings: &Carrier, outbound: &Outbound) -> Result<Self, Error> {
        Ok(Self { outbound: outbound.clone(), checked: check(settings)? })
    }

    async fn run(&self, letter: &Letter<'_>, within: Duration) -> Word {
        let Some(call) = self.call(letter, within) else {
            return Word::new(Said::Refused, None, "internal");
        };
        match self.outbound.call(call).await {
            Ok(answer) => judge(&answer, letter.now),
            Err(error) => Word::of_error(&error),
        }
    }

    /// `None`: something in it that no JSON or header can carry, of which there is nothing.
    fn call(&self, letter: &Letter<'_>, within: Duration) -> Option<Call> {
        let text = Zeroizing::new(letter.text());
        let body = Body {
            r#type: letter.type_name(),
            to: letter.to,
            text: &text,
            code: letter.code,
            expires_at: letter.expires_at,
            service: letter.service,
        };
        let body = serde_json::to_vec(&body).ok()?;
        let id = letter.id.to_string();
        let signature = self.checked.signer.sign(&id, letter.now, &body);
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::USER_AGENT, AGENT),
            (ID, HeaderValue::try_from(id).ok()?),
            (TIMESTAMP, HeaderValue::from(letter.now.as_second())),
            (SIGNATURE, HeaderValue::try_from(signature).ok()?),
        ];
        Some(Call {
            target: self.checked.target.clone(),
            method: Method::POST,
            headers: HeaderMap::from_iter(headers),
            body: body.into(),
            timeout: within,
            redirects: Redirects::None,
            answer: ANSWER,
        })
    }
}

impl Carry for Webhook {
    fn carry<'a>(&'a self, letter: &'a Letter<'a>, within: Duration) -> BoxFuture<'a, Word> {
        self.run(letter, within).boxed()
    }
}

pub(super) fn judge(answer: &Answer, now: Timestamp) -> Word {
    let word = Word::of_status(answer, now);
    match answer.status {
        UNPROCESSABLE => Word::new(Said::Never("refused"), answer.status, word.code),
        _ => word,
    }
}
