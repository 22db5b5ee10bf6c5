//! What a request says about a webhook, into types: making one, and changing one.

use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, Secret};
use crate::destinations::Setting;
use crate::events::Kind;
use crate::webhooks::{
    Auth, CustomHeaders, Definition, LONGEST_TIMEOUT, Ports, Signing, SigningSecret, Target, WebhookName,
};

use super::super::destinations;
use super::super::fields::{Fields, name_of};
use super::super::problem::Problem;
use super::super::values;

/// Statuses in one list.
pub(super) const MOST_STATUSES: usize = 100;
/// Kinds of events in one list.
pub(super) const MOST_KINDS: usize = 32;

/// A webhook to be made.
pub(super) struct Draft {
    pub(super) name: WebhookName,
    pub(super) definition: Definition,
    pub(super) events: Vec<String>,
    /// Of its destination.
    pub(super) pace: Setting,
}

/// What is to be changed; what is `None` stays.
pub(super) struct Edit {
    target: Option<Target>,
    signing: Option<Signing>,
    headers: Option<CustomHeaders>,
    auth: Option<Option<Auth>>,
    final_statuses: Option<Option<Vec<u16>>>,
    timeout: Option<Option<Duration>>,
    events: Option<Vec<String>>,
}

impl Draft {
    pub(super) fn read(mut fields: Fields, config: &Config) -> Result<Self, Problem> {
        let name = fields.required("name", values::parsed::<WebhookName>);
        let target = fields.required("url", url(config));
        let given = fields.optional("secret", secret);
        let edit = Edit::read_fields(&mut fields);
        let pace = destinations::setting(&mut fields);
        let signing = edit.signing.unwrap_or(Signing::Hmac);
        if let Err(why) = fits(given.as_ref(), signing) {
            fields.mistake("secret", why);
        }
        let (name, target) = fields.finish((|| Some((name?, target?)))())?;
        let mut draft = Self { name, definition: Definition::new(target, signing, given), events: Vec::new(), pace };
        edit.apply(&mut draft.definition, &mut draft.events)?;
        Ok(draft)
    }
}

impl Edit {
    /// Also what it says about the pace of its destination.
    pub(super) fn read(mut fields: Fields, config: &Config) -> Result<(Self, Setting), Problem> {
        let target = fields.optional("url", url(config));
        let edit = Self { target, ..Self::read_fields(&mut fields) };
        let pace = destinations::setting(&mut fields);
        fields.finish(Some((edit, pace)))
    }

    /// All but the URL.
    fn read_fields(fields: &mut Fields) -> Self {
        Self {
            target: None,
            signing: fields.optional("signing", signing),
            headers: fields.optional("headers", headers),
            auth: fields.nullable("auth", auth),
            final_statuses: fields.nullable("final_statuses", statuses),
            timeout: fields.nullable("timeout_seconds", values::seconds(1..=LONGEST_TIMEOUT.as_secs())),
            events: fields.optional("events", kinds),
        }
    }

    pub(super) fn apply(self, definition: &mut Definition, events: &mut Vec<String>) -> Result<(), Problem> {
        if let Some(target) = self.target {
            definition.target = target;
        }
        if let Some(signing) = self.signing {
            definition.set_signing(signing);
        }
        if let Some(headers) = self.headers {
            definition.headers = headers;
        }
        if let Some(auth) = self.auth {
            definition.auth = auth;
        }
        if let Some(statuses) = self.final_statuses {
            definition.final_statuses = statuses;
        }
        if let Some(timeout) = self.timeout {
            definition.timeout = timeout;
        }
        if let Some(kinds) = self.events {
            *events = kinds;
        }
        if definition.auth.is_some() && definition.headers.contains(&http::header::AUTHORIZATION) {
            return Err(Problem::field("auth", "and a header `authorization` exclude each other"));
        }
        Ok(())
    }
}

/// Whether a secret can be one of a webhook that is signed so.
pub(super) fn fits(given: Option<&SigningSecret>, signing: Signing) -> Result<(), String> {
    match given.map(SigningSecret::kind).filter(|kind| !signing.kinds().contains(kind)) {
        Some(kind) => Err(format!("is for {}, and the webhook is signed by {}", kind.name(), signing.name())),
        None => Ok(()),
    }
}

/// A signing secret. What is wrong is said without repeating it.
pub(super) fn secret(value: Value) -> Result<SigningSecret, String> {
    values::text(value)?.parse().map_err(|error| format!("is not valid: {error}"))
}

fn url(config: &Config) -> impl FnOnce(Value) -> Result<Target, String> {
    let ports = Ports::of(config);
    move |value| Target::with_ports(&values::text(value)?, &ports).map_err(|error| format!("is not valid: {error}"))
}

fn signing(value: Value) -> Result<Signing, String> {
    let known = || Signing::ALL.map(|(_, name)| name).join(", ");
    Signing::from_name(&values::text(value)?).ok_or_else(|| format!("is none of {}", known()))
}

fn headers(value: Value) -> Result<CustomHeaders, String> {
    serde_json::from_value(value).map_err(|error| format!("cannot be sent: {error}"))
}

fn auth(value: Value) -> Result<Auth, String> {
    let Value::Object(mut map) = value else {
        return Err(format!("is {}, not an object with a `type`", name_of(&value)));
    };
    let mut take = |name: &str| match map.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let auth = match take("type").as_deref() {
        Some("basic") => take("username")
            .zip(take("password"))
            .map(|(username, password)| Auth::Basic { username, password: Secret::from(password) }),
        Some("bearer") => take("token").map(|token| Auth::Bearer { token: Secret::from(token) }),
        _ => None,
    };
    let form = r#"is {"type":"basic","username":…,"password":…} or {"type":"bearer","token":…}, of characters a header can carry"#;
    auth.filter(|auth| map.is_empty() && auth.header().is_some()).ok_or_else(|| form.into())
}

fn statuses(value: Value) -> Result<Vec<u16>, String> {
    let status =
        |value: &Value| value.as_u64().filter(|status| (300..=599).contains(status)).map(|status| status as u16);
    match &value {
        Value::Array(values) if values.len() <= MOST_STATUSES => {
            let mut statuses = values
                .iter()
                .map(status)
                .collect::<Option<Vec<u16>>>()
                .ok_or("holds something that is no status from 300 to 599")?;
            statuses.sort_unstable();
            statuses.dedup();
            Ok(statuses)
        }
        Value::Array(_) => Err(format!("has more than {MOST_STATUSES} entries")),
        other => Err(format!("is {}, not a list", name_of(other))),
    }
}

/// Kinds of events by name or group, such as `delivery.*`; an empty list is none.
fn kinds(value: Value) -> Result<Vec<String>, String> {
    if value.as_array().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let names = values::list(MOST_KINDS)(value)?.into_iter().map(values::text).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(|_| "holds something that is not text")?;
    if names.iter().any(|name| name.trim().is_empty() || name.contains(',')) {
        return Err("holds something that is no kind of event".into());
    }
    let kinds = Kind::list(&names.join(",")).map_err(|error| format!("is not valid: {error}"))?;
    Ok(kinds.into_iter().map(|kind| kind.name().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::SecretKind;
    use proptest::prelude::*;

    fn draft(json: &str) -> Result<Draft, Vec<String>> {
        let fields = Fields::parse(json.as_bytes()).unwrap();
        Draft::read(fields, &Config::default())
            .map_err(|problem| problem.errors().iter().map(|error| error.field.clone()).collect())
    }

    #[test]
    fn a_name_and_a_url_are_enough() {
        let draft = draft(r#"{"name":"orders","url":"https://shop.example/hook?x=1"}"#).unwrap();
        assert_eq!((draft.name.as_str(), draft.definition.signing), ("orders", Signing::Hmac));
        assert!(draft.definition.current(SecretKind::Hmac).is_some());
        assert!(draft.definition.final_statuses.is_none() && draft.events.is_empty());
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let json = r#"{"name":"Or.ders","url":"http://shop.example","secret":"x","signing":"md5","headers":{"Host":"x"},
            "auth":{"type":"basic","username":"a:b","password":"c"},"final_statuses":[200],"timeout_seconds":61,"events":"all","odd":1}"#;
        let all = [
            "name",
            "url",
            "secret",
            "signing",
            "headers",
            "auth",
            "final_statuses",
            "timeout_seconds",
            "events",
            "odd",
        ];
        assert_eq!(draft(json).err().unwrap(), all);
        let good = r#""name":"a","url":"https://a.example""#;
        for (more, field) in [
            (r#""secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","signing":"ed25519""#, "secret"),
            (r#""auth":{"type":"bearer","token":"t"},"headers":{"Authorization":"x"}"#, "auth"),
            (r#""auth":{"type":"bearer","token":"t","more":1}"#, "auth"),
            (r#""auth":{"type":"bearer","token":"t\r\nx: y"}"#, "auth"),
            (r#""auth":"basic""#, "auth"),
            (r#""events":["delivery.lost"]"#, "events"),
            (r#""events":[""]"#, "events"),
            (r#""events":["a,b"]"#, "events"),
        ] {
            assert_eq!(draft(&format!("{{{good},{more}}}")).err().unwrap(), [field], "{more}");
        }
        let refused = draft(r#"{"name":"a","url":"https://a.example:22/"}"#);
        assert_eq!(refused.err().unwrap(), ["url"]);
    }

    #[test]
    fn an_edit_changes_what_it_names_and_null_means_the_default() {
        let Draft { mut definition, mut events, .. } = draft(
            r#"{"name":"a","url":"https://a.example","auth":{"type":"bearer","token":"t"},"final_statuses":[],"timeout_seconds":5,
                "headers":{"x-a":"b"},"events":["delivery.failed"]}"#,
        )
        .unwrap();
        let edit = |json: &str| Edit::read(Fields::parse(json.as_bytes()).unwrap(), &Config::default()).unwrap().0;
        edit(r#"{"auth":null,"final_statuses":null}"#).apply(&mut definition, &mut events).unwrap();
        assert!(definition.auth.is_none() && definition.final_statuses.is_none());
        assert_eq!(definition.timeout, Some(Duration::from_secs(5)));
        assert_eq!(events, ["delivery.failed"]);
        edit(r#"{"timeout_seconds":null,"headers":{},"events":[]}"#).apply(&mut definition, &mut events).unwrap();
        assert!(definition.timeout.is_none() && definition.headers.is_empty() && events.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let json = serde_json::json!({"name": text, "url": text, "secret": text, "signing": text,
                "headers": {"x-a": text, text.clone(): "b"}, "auth": {"type": "bearer", "token": text}, "events": [text]});
            let _ = draft(&json.to_string());
        }
    }
}
