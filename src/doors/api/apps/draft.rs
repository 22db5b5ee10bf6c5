//! An application as it is asked for: what may be said, and what must fit together.

use serde_json::Value;

use crate::config::{Mode as NodeMode, Secret, is_http_url};
use crate::doors::api::fields::{Fields, name_of};
use crate::doors::api::problem::Problem;
use crate::doors::api::values;
use crate::logins::apps::{Application, Mode, ResultStyle, Verifier, Way};
use crate::logins::country;
use crate::webhooks::{SecretKind, SigningSecret};

/// Longest id, in characters.
pub(super) const LONGEST_ID: usize = 128;
/// Longest name, in characters.
pub(super) const LONGEST_NAME: usize = 64;
/// Longest message with a code, in characters.
pub(super) const LONGEST_TEXT: usize = 480;
/// Longest token of a back end, in characters.
pub(super) const LONGEST_TOKEN: usize = 1024;
/// Longest life of a user's token, in minutes: ten years.
pub(super) const LONGEST_LIFE: u64 = 5_256_000;
/// Most entries of a list of countries.
pub(super) const MOST_COUNTRIES: usize = 300;

/// What a request changes; `Some` where it says something.
#[derive(Default)]
pub(super) struct Edit {
    name: Option<String>,
    enabled: Option<bool>,
    result_style: Option<ResultStyle>,
    legacy_errors: Option<bool>,
    ways: Option<Vec<Way>>,
    countries: Option<Vec<String>>,
    countries_refused: Option<Vec<String>>,
    text: Option<String>,
    backend: Option<Mode>,
    backend_url: Option<String>,
    backend_token: Option<Secret>,
    token_minutes: Option<u32>,
    makes_codes: Option<bool>,
    revoke_op: Option<String>,
    verifier_url: Option<Option<String>>,
    verifier_secret: Option<Secret>,
}

impl Edit {
    /// A new application, and whether its verifier's secret was made for it.
    pub(super) fn draft(mut fields: Fields, mode: NodeMode) -> Result<(Application, bool), Problem> {
        let appid = fields.required("appid", appid);
        let name = fields.required("name", name);
        let edit = Self { name: None, ..Self::of(&mut fields, false) };
        let (appid, name) = fields.finish(appid.zip(name))?;
        let mut application = Application::new(appid, name);
        let made = edit.apply(&mut application, mode)?;
        Ok((application, made))
    }

    /// A change of one.
    pub(super) fn read(mut fields: Fields) -> Result<Self, Problem> {
        let edit = Self::of(&mut fields, true);
        fields.finish(Some(edit))
    }

    fn of(fields: &mut Fields, with_name: bool) -> Self {
        Self {
            name: if with_name { fields.optional("name", name) } else { None },
            enabled: fields.optional("enabled", values::boolean),
            result_style: fields.optional("result_style", named(ResultStyle::from_name, "is neither bool nor string")),
            legacy_errors: fields.optional("legacy_errors", values::boolean),
            ways: fields.optional("ways", ways),
            countries: fields.optional("countries", countries),
            countries_refused: fields.optional("countries_refused", countries),
            text: fields.optional("text", text),
            backend: fields.optional("backend", named(Mode::from_name, "is none of local, mesibo and mesibo-legacy")),
            backend_url: fields.optional("backend_url", values::text),
            backend_token: fields.optional("backend_token", token).map(Secret::from),
            token_minutes: fields.optional("token_minutes", minutes),
            makes_codes: fields.optional("makes_codes", values::boolean),
            revoke_op: fields.optional("revoke_op", operation),
            verifier_url: fields.nullable("verifier_url", values::text),
            verifier_secret: fields.optional("verifier_secret", secret).map(Secret::from),
        }
    }

    /// Makes the change, if what comes out fits together. True: it made the verifier's secret.
    pub(super) fn apply(&self, app: &mut Application, node: NodeMode) -> Result<bool, Problem> {
        self.keeps_secrets_in_place(app)?;
        set(&mut app.name, &self.name);
        set(&mut app.enabled, &self.enabled);
        set(&mut app.result_style, &self.result_style);
        set(&mut app.legacy_errors, &self.legacy_errors);
        set(&mut app.ways, &self.ways);
        set(&mut app.countries, &self.countries);
        set(&mut app.countries_refused, &self.countries_refused);
        set(&mut app.text, &self.text);
        set(&mut app.backend.mode, &self.backend);
        set(&mut app.backend.url, &self.backend_url);
        set(&mut app.backend.token, &self.backend_token);
        set(&mut app.backend.token_minutes, &self.token_minutes);
        set(&mut app.backend.makes_codes, &self.makes_codes);
        set(&mut app.backend.revoke_op, &self.revoke_op);
        let made = self.set_verifier(app)?;
        fits(app, node)?;
        Ok(made)
    }

    /// What is stored for one place is not carried to another: else who may change an application could read its secrets there.
    fn keeps_secrets_in_place(&self, app: &Application) -> Result<(), Problem> {
        let elsewhere = |given: &Option<String>, had: &str| given.as_deref().is_some_and(|url| url != had);
        if elsewhere(&self.backend_url, &app.backend.url)
            && self.backend_token.is_none()
            && !app.backend.token.is_empty()
        {
            return Err(Problem::field("backend_token", "is needed beside another `backend_url`"));
        }
        let given = self.verifier_url.clone().flatten();
        match &app.verifier {
            Some(had) if elsewhere(&given, &had.url) && self.verifier_secret.is_none() => {
                Err(Problem::field("verifier_secret", "is needed beside another `verifier_url`"))
            }
            _ => Ok(()),
        }
    }

    fn set_verifier(&self, app: &mut Application) -> Result<bool, Problem> {
        let had = app.verifier.take();
        let url = match &self.verifier_url {
            Some(given) => given.clone(),
            None => had.as_ref().map(|verifier| verifier.url.clone()),
        };
        let Some(url) = url else {
            return match &self.verifier_secret {
                Some(_) => Err(Problem::field("verifier_secret", "needs a `verifier_url`")),
                None => Ok(false),
            };
        };
        let given = self.verifier_secret.clone().or(had.map(|verifier| verifier.secret));
        let made = given.is_none();
        let secret = given.unwrap_or_else(|| SigningSecret::generate(SecretKind::Hmac).reveal());
        app.verifier = Some(Verifier { url, secret });
        Ok(made)
    }
}

/// Whether an application is whole.
fn fits(app: &Application, node: NodeMode) -> Result<(), Problem> {
    let url = |field: &str, url: &str| match is_http_url(url, node) {
        true => Ok(()),
        false => Err(Problem::field(field, "must be https://host[/path]")),
    };
    if app.backend.mode != Mode::Local {
        url("backend_url", &app.backend.url)?;
        if app.backend.token.is_empty() {
            return Err(Problem::field("backend_token", "is missing: the application's token at its back end"));
        }
    }
    match &app.verifier {
        Some(verifier) => url("verifier_url", &verifier.url),
        None if app.ways.contains(&Way::Verifier) => Err(Problem::field("verifier_url", "is missing")),
        None => Ok(()),
    }
}

fn set<T: Clone>(what: &mut T, to: &Option<T>) {
    if let Some(to) = to {
        what.clone_from(to);
    }
}

fn appid(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = text.len() <= LONGEST_ID
        && text.bytes().all(inside)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    good.then_some(text)
        .ok_or_else(|| format!("has 1 to {LONGEST_ID} of A-Z, a-z, 0-9, ., _ and -, as in com.example.app"))
}

fn name(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    let length = text.trim().chars().count();
    if !(1..=LONGEST_NAME).contains(&length) || text.chars().any(char::is_control) {
        return Err(format!("has 1 to {LONGEST_NAME} characters and no control characters"));
    }
    Ok(text.trim().to_owned())
}

fn text(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    if text.is_empty() {
        return Ok(text);
    }
    if text.chars().count() > LONGEST_TEXT || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(format!("has at most {LONGEST_TEXT} characters, and of the control characters only \\n"));
    }
    if text.contains("{code}") { Ok(text) } else { Err("does not say where the code goes: {code}".into()) }
}

fn token(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    let good = (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(text).ok_or_else(|| format!("is 1 to {LONGEST_TOKEN} visible ASCII characters, without spaces"))
}

fn secret(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    match text.parse::<SigningSecret>().map(|secret| secret.kind()) {
        Ok(SecretKind::Hmac) => Ok(text),
        Ok(SecretKind::Ed25519) | Err(_) => Err("is not a secret of the form whsec_…".into()),
    }
}

fn operation(value: Value) -> Result<String, String> {
    let text = values::text(value)?;
    let good = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some(text).ok_or_else(|| "is not the name of an operation".into())
}

fn minutes(value: Value) -> Result<u32, String> {
    let number = values::number(1..=LONGEST_LIFE)(value)?;
    u32::try_from(number).map_err(|_| "is too large".into())
}

fn named<T>(read: fn(&str) -> Option<T>, otherwise: &'static str) -> impl FnOnce(Value) -> Result<T, String> {
    move |value| read(&values::text(value)?).ok_or_else(|| otherwise.to_owned())
}

fn texts(value: Value, most: usize) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) if values.len() <= most => values.into_iter().map(values::text).collect(),
        Value::Array(_) => Err(format!("has more than {most} entries")),
        other => Err(format!("is {}, not a list", name_of(&other))),
    }
}

fn ways(value: Value) -> Result<Vec<Way>, String> {
    let mut ways = Vec::new();
    for name in texts(value, Way::ALL.len())? {
        let way = Way::from_name(&name).ok_or("holds something else than sms, voice, email and verifier")?;
        if ways.contains(&way) {
            return Err("names one way twice".into());
        }
        ways.push(way);
    }
    if ways.is_empty() { Err("names no way".into()) } else { Ok(ways) }
}

fn countries(value: Value) -> Result<Vec<String>, String> {
    let countries = texts(value, MOST_COUNTRIES)?;
    if countries.iter().all(|text| country::is_prefix(text)) {
        return Ok(countries);
    }
    Err("holds something else than country codes, as in 49 or 1876".into())
}
