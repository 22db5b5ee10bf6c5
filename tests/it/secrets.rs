//! What no log may say: every test registers the secrets that it makes, sends or is sent, all processes log to one place, and after
//! the suite one last check (`scan`, a step of `ops/test`) looks for every secret in every log.
//!
//! Nobody has to remember it: bodies that tests send and receive are looked through by the names of their fields ([`of_body`]), and
//! a node's folder by its files ([`of_folder`]). Without `HANDFAST_TEST_LOGS` (a test run by hand) nothing is collected. Promises
//! that a finding names file, line and kind, never the secret. Leaves out what is too short to be told from other words.

mod scan;

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names the folder where logs and secrets of the suite are collected.
const PLACE: &str = "HANDFAST_TEST_LOGS";
/// Of one kind, one process registers so many at the most: a campaign has more texts than are worth looking for.
const MOST: usize = 500;
/// Larger bodies are made of one thing over and over.
const LARGEST: usize = 256 * 1024;
/// Shorter ones cannot be told from other words.
const SHORTEST: usize = 8;
/// A text of a message that short may be a word of ours.
const SHORTEST_TEXT: usize = 14;

/// What kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Kind {
    ApiKey,
    /// Six digits, so looked for only where a word before it says what it is.
    Code,
    /// Auth code, ident code and crypt key of a connection.
    ConnectionKey,
    /// Of sessions, push services and back ends.
    Token,
    Password,
    /// Keys in files: the node's own, and private keys of certificates.
    KeyFile,
    /// Of webhooks, carriers and sites.
    SharedSecret,
    /// What a message says.
    Text,
    PhoneNumber,
}

/// One line of the register.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Entry {
    kind: Kind,
    value: String,
}

/// Fields that hold secrets, whoever's message it is.
const FIELDS: [(&str, Kind); 28] = [
    ("pass_code", Kind::Code),
    ("code", Kind::Code),
    ("otp", Kind::Code),
    ("auth_code", Kind::ConnectionKey),
    ("ident_code", Kind::ConnectionKey),
    ("message_crypt_key", Kind::ConnectionKey),
    ("message_package", Kind::Text),
    ("token", Kind::Token),
    ("access_token", Kind::Token),
    ("apnRegistrationId", Kind::Token),
    ("gcmRegistrationId", Kind::Token),
    ("webPushSubscription", Kind::Token),
    ("session", Kind::Token),
    ("backend_token", Kind::Token),
    ("password", Kind::Password),
    ("signalingKey", Kind::SharedSecret),
    ("secret", Kind::SharedSecret),
    ("verifier_secret", Kind::SharedSecret),
    ("sauce", Kind::SharedSecret),
    ("text", Kind::Text),
    ("body", Kind::Text),
    ("vault", Kind::Text),
    ("phone", Kind::PhoneNumber),
    ("number", Kind::PhoneNumber),
    ("destination", Kind::PhoneNumber),
    ("source", Kind::PhoneNumber),
    ("phone1", Kind::PhoneNumber),
    ("to", Kind::PhoneNumber),
];

/// Where a process logs to: the one place, or the given one when nothing is collected.
pub(crate) fn log_file(dir: &Path, name: &str) -> PathBuf {
    let own = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match place() {
        Some(place) => place.join(format!("{}-{name}.log", own.trim_start_matches('.'))),
        None => dir.join(format!("{name}.log")),
    }
}

/// Keeps what a process said on its standard error.
pub(crate) fn said(name: &str, error_output: &[u8]) {
    let Some(place) = place() else { return };
    let file = place.join(format!("{name}-{}.log", std::process::id()));
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("a log file");
    file.write_all(error_output).expect("written");
}

/// The same of a process that writes there itself.
pub(crate) fn output(name: &str) -> Stdio {
    let Some(place) = place() else { return Stdio::null() };
    let file = place.join(format!("{name}-{}.log", std::process::id()));
    OpenOptions::new().create(true).append(true).open(file).expect("a log file").into()
}

/// Keeps the logs of processes that somebody else started in a folder.
pub(crate) fn keep_logs(folder: &Path) {
    let Some(place) = place() else { return };
    for (at, log) in scan::logs_below(folder).into_iter().enumerate() {
        let name = log.file_stem().expect("a name").to_string_lossy().into_owned();
        fs::copy(&log, place.join(format!("{name}-{}-{at}.log", std::process::id()))).expect("copied");
    }
}

/// Registers one.
pub(crate) fn note(kind: Kind, value: &str) {
    if let (Some(place), Some(value)) = (place(), fit(kind, value)) {
        register(&place, Entry { kind, value });
    }
}

/// Registers whatever a body of a request or an answer holds: JSON, lines of it, or a form.
pub(crate) fn of_body(body: &[u8]) {
    if place().is_none() || body.len() > LARGEST {
        return;
    }
    let body = body.trim_ascii();
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return of_json(&value);
    }
    let lines: Vec<Value> = body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    lines.iter().for_each(of_json);
    if lines.is_empty() && body.is_ascii() {
        for (name, value) in url::form_urlencoded::parse(body) {
            of_field(&name, &value);
        }
    }
}

/// The same of a value.
pub(crate) fn of_json(value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(of_json),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) => of_field(name, text),
                    Value::Number(number) => of_field(name, &number.to_string()),
                    other => of_json(other),
                }
            }
        }
        _ => {}
    }
}

/// The password or token of an `Authorization`.
pub(crate) fn of_authorization(header: &str) {
    match header.split_once(' ') {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => {
            let plain = STANDARD.decode(encoded).ok().and_then(|plain| String::from_utf8(plain).ok());
            if let Some((user, password)) = plain.as_deref().and_then(|plain| plain.split_once(':')) {
                note(Kind::PhoneNumber, user.split('.').next().unwrap_or(user));
                note(Kind::Password, password);
            }
        }
        Some((_, token)) => note(Kind::Token, token),
        None => {}
    }
}

/// What lies in a node's folder: its settings, its keys, the codes that were sent from it.
pub(crate) fn of_folder(folder: &Path) {
    if place().is_none() {
        return;
    }
    for path in scan::files_below(folder) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if name.ends_with(".toml") {
            of_settings(&text);
        } else if name == "codes.jsonl" {
            of_body(text.as_bytes());
        } else if name.ends_with(".key") || name.ends_with(".pem") || name.ends_with("keys") {
            of_key_file(&text);
        }
    }
}

/// Words of a file with keys; a certificate is nobody's secret.
fn of_key_file(text: &str) {
    let secret = !text.contains("BEGIN CERTIFICATE");
    let words = text.lines().filter(|line| !line.starts_with(['#', '-'])).flat_map(str::split_whitespace);
    words.filter(|word| secret && word.len() >= 32).for_each(|word| note(Kind::KeyFile, word));
}

fn of_settings(text: &str) {
    let Ok(settings) = text.parse::<toml::Table>() else { return };
    of_json(&serde_json::to_value(&settings).expect("JSON"));
    let mut urls: Vec<&toml::Value> = settings.values().collect();
    while let Some(value) = urls.pop() {
        match value {
            toml::Value::Table(table) => urls.extend(table.values()),
            toml::Value::Array(list) => urls.extend(list),
            toml::Value::String(text) => {
                if let Some(password) = url::Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned)) {
                    note(Kind::Password, &password);
                }
            }
            _ => {}
        }
    }
}

/// Registers what a browser types into a field of that name and type.
pub(crate) fn of_input(name: &str, kind: &str, value: &str) {
    match name {
        _ if value.starts_with("hf_") => note(Kind::ApiKey, value),
        _ if kind == "password" => note(Kind::Password, value),
        _ => of_field(name, value),
    }
}

fn of_field(name: &str, value: &str) {
    if name == "key" && value.starts_with("hf_") {
        note(Kind::ApiKey, value);
    }
    for (_, kind) in FIELDS.iter().filter(|(known, _)| *known == name) {
        note(*kind, value);
    }
}

/// As it is looked for; none: it could not be told from other words.
fn fit(kind: Kind, value: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let found = match kind {
        Kind::Code => Some(value).filter(|value| value.len() == 6 && digits(value)),
        Kind::PhoneNumber => {
            Some(value.trim_start_matches('+')).filter(|number| (10..=15).contains(&number.len()) && digits(number))
        }
        // As a line of a log has it: what is behind a line's end stands on another.
        Kind::Text => value.lines().find(|line| line.len() >= SHORTEST_TEXT && line.contains(' ') || line.len() > 60),
        _ => Some(value).filter(|value| value.len() >= SHORTEST),
    };
    found.map(|value| value.chars().take(200).collect())
}

fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).filter(|place| !place.is_empty()).map(PathBuf::from)
}

fn register(place: &Path, entry: Entry) {
    static KNOWN: LazyLock<Mutex<HashMap<Kind, HashSet<String>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let of_kind = known.entry(entry.kind).or_default();
    if of_kind.len() < MOST && of_kind.insert(entry.value.clone()) {
        let file = place.join(format!("{}.secrets", std::process::id()));
        let mut file = OpenOptions::new().create(true).append(true).open(file).expect("the register");
        let line = serde_json::to_string(&entry).expect("JSON");
        file.write_all(format!("{line}\n").as_bytes()).expect("written");
    }
}
