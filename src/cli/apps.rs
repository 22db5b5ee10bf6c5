//! `handfast apps …` and `handfast sessions …`: applications that people sign in to by code, and who is signed in.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Failure;
use super::client::Call;
use super::list::{self, Extent};
use super::output::harmless;
use super::table::{Column, Show, fields};
use super::target::{Session, Target};
use crate::config::{Period, Secret};

const COLUMNS: [Column; 6] = [
    Column("APP", "appid", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("ENABLED", "enabled", Show::Flag),
    Column("WAYS", "ways", Show::Text),
    Column("BACKEND", "backend", Show::Text),
    Column("CREATED", "created_at", Show::Time),
];

const DETAILS: [Column; 18] = [
    Column("APP", "appid", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("ENABLED", "enabled", Show::Flag),
    Column("WAYS", "ways", Show::Text),
    Column("COUNTRIES", "countries", Show::Text),
    Column("REFUSED", "countries_refused", Show::Text),
    Column("TEXT", "text", Show::Text),
    Column("RESULT", "result_style", Show::Text),
    Column("LEGACY ERRORS", "legacy_errors", Show::Flag),
    Column("BACKEND", "backend", Show::Text),
    Column("URL", "backend_url", Show::Text),
    Column("TOKEN", "has_backend_token", Show::Flag),
    Column("TOKEN MINUTES", "token_minutes", Show::Text),
    Column("MAKES CODES", "makes_codes", Show::Flag),
    Column("REVOKE OP", "revoke_op", Show::Text),
    Column("VERIFIER", "verifier_url", Show::Text),
    Column("CREATED", "created_at", Show::Time),
    Column("UPDATED", "updated_at", Show::Time),
];

const SESSIONS: [Column; 8] = [
    Column("SESSION", "id", Show::Text),
    Column("APP", "app", Show::Text),
    Column("ADDRESS", "address", Show::Text),
    Column("DEVICE", "device", Show::Text),
    Column("IP", "ip", Show::Text),
    Column("CREATED", "created_at", Show::Time),
    Column("SEEN", "seen_at", Show::Time),
    Column("REVOKED", "revoked_at", Show::Time),
];

/// Create, list, show, change and delete applications that people sign in to by code.
#[derive(Debug, Args)]
#[command(after_help = "\
The id is what clients send as appid. Without --backend the node makes the tokens; with mesibo it has mesibo make \
them, with the application's token from --backend-token-file. The clients that mesibo has shipped want \
--result string; its documentation says bool. See docs/logins.md and docs/mesibo.md.

Examples:
  handfast apps create com.example.app --name Example
  handfast apps create com.example.app --name Example \\
      --ways sms,voice,email --countries 49,43 --result string
  handfast apps create com.example.app --name Example \\
      --backend mesibo --backend-token-file token
  handfast apps create com.example.intranet --name Intranet \\
      --ways verifier --verifier https://auth.example/login
  handfast apps update com.example.app --text '{code} is your {app} code.'
  handfast apps update com.example.app --enabled false")]
pub struct AppCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

/// List and revoke sessions, and let somebody sign in again who was wrong too often.
#[derive(Debug, Args)]
#[command(after_help = "\
An address is written as it is typed at a login: 18005551234, ann@mail.example, a user id. `unlock` lets it sign in \
again at once; how often it may be sent a code stays as it is.

Examples:
  handfast sessions list --app com.example.app
  handfast sessions list --app com.example.app --address 18005551234 --json
  handfast sessions revoke 0192f0c1-5a3e-7b11-8f00-1234567890ab
  handfast sessions unlock com.example.app 18005551234")]
pub struct SessionCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: SessionWhat,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an application
    Create {
        /// Its id, as clients send it: com.example.app
        app: String,
        #[command(flatten)]
        edit: Box<Edit>,
    },
    /// List applications
    List(Extent),
    /// Show one, without its secrets
    Show {
        /// Its id
        app: String,
    },
    /// Change one; what is not said stays
    Update {
        /// Its id
        app: String,
        #[command(flatten)]
        edit: Box<Edit>,
    },
    /// Delete applications, with everybody's sessions
    Delete {
        /// Their ids
        #[arg(required = true)]
        apps: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum SessionWhat {
    /// List sessions, newest first
    List {
        #[command(flatten)]
        extent: Extent,
        /// Of this application
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// Of this address with it
        #[arg(long, value_name = "ADDRESS", requires = "app")]
        address: Option<String>,
    },
    /// End sessions: their tokens are good for nothing from this moment on
    Revoke {
        /// Their ids
        #[arg(required = true)]
        sessions: Vec<String>,
    },
    /// Forget the wrong codes of an address
    Unlock {
        /// With which application
        app: String,
        /// The address
        address: String,
    },
}

#[derive(Debug, Args)]
struct Edit {
    /// What people know it by, in the words around a code
    #[arg(long)]
    name: Option<String>,
    /// Whether anybody can sign in
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    /// How people prove who they are: sms, voice, email, verifier; several with commas, the first that is there is used
    #[arg(long, value_name = "WAYS", value_delimiter = ',')]
    ways: Option<Vec<String>>,
    /// Country codes whose numbers may sign in; several with commas [default: all]
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    countries: Option<Vec<String>>,
    /// Country codes whose numbers may not
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    refuse_countries: Option<Vec<String>>,
    /// The message, with {code} and {app} put in; '' for the usual one
    #[arg(long)]
    text: Option<String>,
    /// How the mesibo door writes `result`: bool or string
    #[arg(long, value_name = "STYLE")]
    result: Option<String>,
    /// Whether the mesibo door calls a wrong code BADUSER
    #[arg(long, value_name = "true|false")]
    legacy_errors: Option<bool>,
    /// Who makes the tokens: local, mesibo or mesibo-legacy
    #[arg(long, value_name = "MODE")]
    backend: Option<String>,
    /// Where mesibo's API is [default for a mode that needs one: mesibo's own]
    #[arg(long, value_name = "URL")]
    backend_url: Option<String>,
    /// File with the application's token there
    #[arg(long, value_name = "FILE")]
    backend_token_file: Option<PathBuf>,
    /// How long a user's token is good there
    #[arg(long, value_name = "TIME")]
    token_life: Option<Period>,
    /// Whether mesibo makes the codes
    #[arg(long, value_name = "true|false")]
    makes_codes: Option<bool>,
    /// mesibo's operation that revokes one token; '' for none
    #[arg(long, value_name = "OP")]
    revoke_op: Option<String>,
    /// The application's own verifier; '' for none
    #[arg(long, value_name = "URL")]
    verifier: Option<String>,
    /// File with the secret that signs calls to it, whsec_… [default: one is made]
    #[arg(long, value_name = "FILE")]
    verifier_secret_file: Option<PathBuf>,
}

impl AppCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::Create { app, edit } => {
                let mut body = edit.body()?;
                body.insert("appid".into(), app.clone().into());
                body.entry("name").or_insert(app.into());
                show(&session, client.post(&["apps"]).json(Value::from(body))).await
            }
            What::List(extent) => list::print(&session, &extent, &COLUMNS, || client.get(&["apps"])).await,
            What::Show { app } => show(&session, client.get(&["apps", &app])).await,
            What::Update { app, edit } => {
                show(&session, client.call(Method::PATCH, &["apps", &app]).json(Value::from(edit.body()?))).await
            }
            What::Delete { apps } => end(&session, "apps", &apps, "deleted").await,
        }
    }
}

impl SessionCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            SessionWhat::List { extent, app, address } => {
                let call = || {
                    client.get(&["sessions"]).query_maybe("app", app.as_ref()).query_maybe("address", address.as_ref())
                };
                list::print(&session, &extent, &SESSIONS, call).await
            }
            SessionWhat::Revoke { sessions } => end(&session, "sessions", &sessions, "revoked").await,
            SessionWhat::Unlock { app, address } => unlock(&session, &app, &address).await,
        }
    }
}

impl Edit {
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        // `--countries ''` is no country, not one without a name.
        let list = |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().into();
        let url = self.backend_url.or_else(|| self.backend.as_deref().and_then(usual_url).map(str::to_owned));
        put("name", self.name.map(Value::from));
        put("enabled", self.enabled.map(Value::from));
        put("ways", self.ways.map(list));
        put("countries", self.countries.map(list));
        put("countries_refused", self.refuse_countries.map(list));
        put("text", self.text.map(Value::from));
        put("result_style", self.result.map(Value::from));
        put("legacy_errors", self.legacy_errors.map(Value::from));
        put("backend", self.backend.map(Value::from));
        put("backend_url", url.map(Value::from));
        put("backend_token", secret(self.backend_token_file.as_deref())?);
        put("token_minutes", self.token_life.map(|life| (life.duration().as_secs() / 60).into()));
        put("makes_codes", self.makes_codes.map(Value::from));
        put("revoke_op", self.revoke_op.map(Value::from));
        put("verifier_url", self.verifier.map(|url| if url.is_empty() { Value::Null } else { url.into() }));
        put("verifier_secret", secret(self.verifier_secret_file.as_deref())?);
        Ok(body)
    }
}

/// Where mesibo's own service is.
fn usual_url(backend: &str) -> Option<&'static str> {
    match backend {
        "mesibo" => Some("https://api.mesibo.com/backend/"),
        "mesibo-legacy" => Some("https://api.mesibo.com/api.php"),
        _ => None,
    }
}

/// A secret from a file, without the line's end.
fn secret(path: Option<&Path>) -> Result<Option<Value>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    let secret = Secret::from(text);
    Ok(Some(secret.reveal().trim_end_matches(['\r', '\n']).into()))
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let app: Value = answer.parse()?;
    session.out.answer(&answer.text, || words(&app))
}

fn words(app: &Value) -> String {
    let mut text = fields(&DETAILS, app);
    if let Some(secret) = app["verifier_secret"].as_str() {
        text.push_str(&format!("\nverifier secret, shown this once: {}", harmless(secret)));
    }
    text
}

async fn end(session: &Session, what: &str, ids: &[String], done: &str) -> Result<(), Failure> {
    for id in ids {
        session.client.call(Method::DELETE, &[what, id]).send().await?;
        let said = json!({"id": id, done: true}).to_string();
        session.out.answer(&said, || format!("{} {done}", harmless(id)))?;
    }
    Ok(())
}

async fn unlock(session: &Session, app: &str, address: &str) -> Result<(), Failure> {
    let call = session.client.post(&["apps", app, "unlock"]).json(json!({"address": address})).idempotent();
    let answer = call.send().await?;
    let said: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let unlocked = said["unlocked"].as_bool().unwrap_or_default();
        let what = if unlocked { "may sign in again" } else { "had nothing counted against it" };
        format!("{} {what}", harmless(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_shown_without_what_is_secret() {
        let app = json!({
            "appid": "com.example.app", "name": "Example", "enabled": true, "ways": ["sms", "voice"], "countries": ["49"],
            "countries_refused": [], "text": "", "result_style": "bool", "legacy_errors": false, "backend": "mesibo",
            "backend_url": "https://api.mesibo.com/backend/", "has_backend_token": true, "token_minutes": 525_600,
            "makes_codes": false, "revoke_op": "", "verifier_url": null, "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05Z",
        });
        insta::assert_snapshot!(words(&app), @r"
        app            com.example.app
        name           Example
        enabled        yes
        ways           sms voice
        countries      49
        refused
        text
        result         bool
        legacy errors
        backend        mesibo
        url            https://api.mesibo.com/backend/
        token          yes
        token minutes  525600
        makes codes
        revoke op
        verifier
        created        2026-01-02 03:04:05Z
        updated        2026-01-02 03:04:05Z
        ");
        insta::assert_snapshot!(words(&json!({"appid": "a", "verifier_secret": "whsec_abc"})).lines().last().unwrap(), @"verifier secret, shown this once: whsec_abc");
    }
}
