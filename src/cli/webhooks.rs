//! `handfast webhook …`: HTTPS endpoints that messages are delivered to.

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
    Column("NAME", "name", Show::Text),
    Column("URL", "url", Show::Text),
    Column("SIGNING", "signing", Show::Text),
    Column("DISABLED", "disabled", Show::Flag),
    Column("GONE", "gone_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
];

const DETAILS: [Column; 11] = [
    Column("NAME", "name", Show::Text),
    Column("URL", "url", Show::Text),
    Column("SENDER", "sender", Show::Text),
    Column("SIGNING", "signing", Show::Text),
    Column("HEADERS", "headers", Show::Text),
    Column("FINAL", "final_statuses", Show::Text),
    Column("TIMEOUT", "timeout_seconds", Show::Text),
    Column("EVENTS", "events", Show::Text),
    Column("DISABLED", "disabled", Show::Flag),
    Column("GONE", "gone_at", Show::Time),
    Column("CREATED", "created_at", Show::Time),
];

/// Create, list, rotate, try out, disable and delete webhooks.
#[derive(Debug, Args)]
#[command(after_help = "\
A webhook is an HTTPS endpoint with a name; messages go to the name. Every request is signed by the Standard \
Webhooks convention (docs/webhooks.md says how receivers check it). The secret is shown by `create` and `rotate`, \
and never again. Pace and health are those of the destination of the same name: handfast destination show NAME.

Examples:
  handfast webhook create orders https://shop.example/hooks/orders
  handfast webhook create orders https://shop.example/hooks/orders \\
      --header 'x-tenant: 7' --bearer-file token
  handfast webhook create audit https://audit.example/in \\
      --signing both --events delivery.failed,delivery.expired
  handfast webhook test orders
  handfast webhook rotate orders --overlap 24h")]
pub struct WebhookCommand {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a webhook and show its secret, this once
    Create(Box<Create>),
    /// List webhooks
    List(Extent),
    /// Show one webhook, without its secrets
    Show {
        /// Its name
        name: String,
    },
    /// Replace the signing secrets; the old ones go on signing for a while
    Rotate {
        /// Its name
        name: String,
        /// How long the old secrets sign too, at most 30d
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Period,
    },
    /// Send a ping through the books, like any message; see what became of it with `status ID`
    Test {
        /// Its name
        name: String,
    },
    /// Send nothing more for now; everything waits
    Disable {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Undo `disable`
    Enable {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete webhooks; what still waits for them fails
    Delete {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Name, 1-63 of a-z, 0-9, - and _
    name: String,
    /// Where to: https://…
    url: String,
    /// hmac, ed25519 or both
    #[arg(long, value_name = "KIND")]
    signing: Option<String>,
    /// File with a secret of your own, whsec_… [default: one is made]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<std::path::PathBuf>,
    /// Header that goes with every request, 'name: value'; repeat for more
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// File with a bearer token for the Authorization header
    #[arg(long, value_name = "FILE", conflicts_with = "basic_file")]
    bearer_file: Option<std::path::PathBuf>,
    /// File with USER:PASSWORD for the Authorization header
    #[arg(long, value_name = "FILE")]
    basic_file: Option<std::path::PathBuf>,
    /// Answers that end a delivery at once, such as 404,410; several with commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    r#final: Option<Vec<u16>>,
    /// Longest time for a call, 1s to 60s
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
    /// Kinds of status events to send there; several with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    events: Vec<String>,
}

impl WebhookCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let client = &session.client;
        match self.what {
            What::Create(create) => show_secret(&session, client.post(&["webhooks"]).json(create.body()?)).await,
            What::List(extent) => list::print(&session, &extent, &COLUMNS, || client.get(&["webhooks"])).await,
            What::Show { name } => show(&session, client.get(&["webhooks", &name])).await,
            What::Rotate { name, overlap } => {
                let body = json!({"overlap_seconds": overlap.duration().as_secs()});
                show_secret(&session, client.post(&["webhooks", &name, "rotate"]).json(body)).await
            }
            What::Test { name } => test(&session, &name).await,
            What::Disable { names } => switch(&session, &names, "disable").await,
            What::Enable { names } => switch(&session, &names, "enable").await,
            What::Delete { names } => delete(&session, &names).await,
        }
    }
}

impl Create {
    fn body(self) -> Result<Value, Failure> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("name", Some(self.name.into()));
        put("url", Some(self.url.into()));
        put("signing", self.signing.map(Value::from));
        put("secret", self.secret_file.as_deref().map(read).transpose()?.map(|secret| secret.reveal().into()));
        put("headers", headers(&self.headers)?);
        put("auth", auth(self.bearer_file.as_deref(), self.basic_file.as_deref())?);
        put("final_statuses", self.r#final.map(Value::from));
        put("timeout_seconds", self.timeout.map(|timeout| timeout.duration().as_secs().into()));
        put("events", (!self.events.is_empty()).then(|| self.events.into()));
        Ok(body.into())
    }
}

/// A secret from a file, without the line's end.
fn read(path: &std::path::Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    Ok(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn headers(given: &[String]) -> Result<Option<Value>, Failure> {
    let mut headers = Map::new();
    for header in given {
        let split = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = split.ok_or_else(|| Failure::Usage("a header is written 'name: value'".into()))?;
        headers.insert(name.to_owned(), value.into());
    }
    Ok((!headers.is_empty()).then_some(headers.into()))
}

fn auth(bearer: Option<&std::path::Path>, basic: Option<&std::path::Path>) -> Result<Option<Value>, Failure> {
    if let Some(path) = bearer {
        return Ok(Some(json!({"type": "bearer", "token": read(path)?.reveal()})));
    }
    let Some(path) = basic else { return Ok(None) };
    let both = read(path)?;
    let split = both.reveal().split_once(':');
    let (username, password) =
        split.ok_or_else(|| Failure::Usage(format!("{} does not hold USER:PASSWORD", path.display())))?;
    Ok(Some(json!({"type": "basic", "username": username, "password": password})))
}

async fn switch(session: &Session, names: &[String], what: &str) -> Result<(), Failure> {
    for name in names {
        show(session, session.client.post(&["webhooks", name, what]).idempotent()).await?;
    }
    Ok(())
}

async fn delete(session: &Session, names: &[String]) -> Result<(), Failure> {
    for name in names {
        session.client.call(Method::DELETE, &["webhooks", name]).send().await?;
        let said = json!({"name": name, "deleted": true}).to_string();
        session.out.answer(&said, || format!("{} deleted", harmless(name)))?;
    }
    Ok(())
}

async fn test(session: &Session, name: &str) -> Result<(), Failure> {
    let answer = session.client.post(&["webhooks", name, "test"]).send().await?;
    let message: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        format!(
            "{0}\nsee what became of it: handfast status {0}",
            message["id"].as_str().map(harmless).unwrap_or_default()
        )
    })
}

async fn show(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let webhook: Value = answer.parse()?;
    session.out.answer(&answer.text, || fields(&DETAILS, &webhook))
}

async fn show_secret(session: &Session, call: Call<'_>) -> Result<(), Failure> {
    let answer = call.send().await?;
    let webhook: Value = answer.parse()?;
    session.out.answer(&answer.text, || {
        let mut text = fields(&DETAILS, &webhook);
        if let Some(secret) = webhook["secret"].as_str() {
            text.push_str(&format!("secret    {}\n", harmless(secret)));
        }
        for key in webhook["secrets"].as_array().into_iter().flatten() {
            if let Some(public) = key["public_key"].as_str() {
                text.push_str(&format!("public    {}\n", harmless(public)));
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let split = headers(&["x-a: b: c".into(), "X-D:e".into()]).unwrap();
        assert_eq!(split, Some(json!({"x-a": "b: c", "X-D": "e"})));
        assert!(headers(&["nonsense".into()]).is_err());
        assert_eq!(headers(&[]).unwrap(), None);
    }

    #[test]
    fn credentials_come_from_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "shop:a:b\n").unwrap();
        let basic = auth(None, Some(file.path())).unwrap();
        assert_eq!(basic, Some(json!({"type": "basic", "username": "shop", "password": "a:b"})));
        std::fs::write(file.path(), "token\n").unwrap();
        assert_eq!(auth(Some(file.path()), None).unwrap(), Some(json!({"type": "bearer", "token": "token"})));
        assert!(auth(None, Some(file.path())).is_err());
    }
}
