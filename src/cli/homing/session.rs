//! What every command works with: the space's file, its password, the agent that both make, and where answers go.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use url::Url;

use super::hub::Hub;
use super::space_file::{self, SpaceFile};
use super::{Agent, AgentError, Reach, Web};
use crate::cli::Failure;
use crate::cli::output::{Output, harmless};
use crate::cli::password::Asking;
use crate::cli::table::{Column, Show, Table, fields};
use crate::config::Secret;

/// The space's password: nothing else keeps the hub, which has the vault, from guessing.
const PASSWORD: Asking = Asking {
    variable: "HANDFAST_HOMING_PASSWORD",
    known: "Password of the space: ",
    new: "Password for the new space: ",
    why: "it is all that keeps the space shut",
};

const HEADING: &str = "Which space, and how to answer";

const SPACE: [Column; 3] =
    [Column("HUB", "hub", Show::Text), Column("CODE", "space", Show::Text), Column("FILE", "file", Show::Text)];

/// Options every command has.
#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// The space's file [default: ~/.config/handfast/space.json]
    #[arg(long, env = "HANDFAST_HOMING_SPACE", value_name = "FILE", global = true, help_heading = HEADING)]
    space: Option<PathBuf>,
    /// File with the space's password, in its first line
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    password_file: Option<PathBuf>,
    /// Print JSON instead of words; one object a line for lists
    #[arg(long, global = true, help_heading = HEADING)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A space that has been opened.
pub(super) struct Session {
    pub(super) agent: Agent,
    pub(super) out: Output,
    password: Secret,
    file: PathBuf,
}

impl Options {
    /// Opens the space and signs in to its hub.
    pub(super) async fn unlock(&self) -> Result<Session, Failure> {
        let file = self.file()?;
        let SpaceFile { hub, space, vault } = SpaceFile::read(&file)?;
        let hub = hub.parse().map_err(|_| Failure::Refused(format!("{}: names no hub", file.display())))?;
        let password = PASSWORD.known(self.password_file.as_deref())?;
        let agent = Agent::unlock(self.hub(hub)?, &space, vault, &password).await?;
        Ok(Session { agent, out: Output::new(self.json), password, file })
    }

    fn file(&self) -> Result<PathBuf, Failure> {
        self.space.clone().map_or_else(space_file::default_place, Ok)
    }

    fn hub(&self, url: Url) -> Result<Hub, Failure> {
        Ok(Hub::new(Web::new(&self.reach).map_err(AgentError::from)?, url))
    }

    /// Where a new space is to be kept; nothing is ever overwritten.
    fn new_file(&self) -> Result<PathBuf, Failure> {
        let file = self.file()?;
        if file.exists() {
            let hint = "name another with --space, or move it away";
            return Err(Failure::Usage(format!("{}: there is a space already; {hint}", file.display())));
        }
        Ok(file)
    }
}

/// `create`.
pub(super) async fn create(options: &Options, hub: Url) -> Result<(), Failure> {
    let (file, hub) = (options.new_file()?, options.hub(hub)?);
    let password = PASSWORD.new(options.password_file.as_deref())?;
    let agent = Agent::create(hub, &password).await?;
    begin(Session { agent, out: Output::new(options.json), password, file }).await
}

/// `open`.
pub(super) async fn open(options: &Options, hub: Url, code: &Secret) -> Result<(), Failure> {
    let (file, hub) = (options.new_file()?, options.hub(hub)?);
    let password = PASSWORD.known(options.password_file.as_deref())?;
    let agent = Agent::open(hub, code.reveal().trim(), &password).await?;
    begin(Session { agent, out: Output::new(options.json), password, file }).await
}

/// Keeps a space that has just come here, and says what it is.
async fn begin(mut session: Session) -> Result<(), Failure> {
    session.keep()?;
    let _ = session.agent.sign_out().await;
    let here = session.here();
    session.out.answer(&here.to_string(), || {
        let kept = "Keep the code where others do not look: with the password it opens the space anywhere.";
        format!("{}\n{kept}", fields(&SPACE, &here))
    })
}

impl Session {
    /// Writes the vault down as it is now.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let (hub, space) = (self.agent.hub().base().to_string(), self.agent.space().to_owned());
        SpaceFile { hub, space, vault: self.agent.sealed().to_owned() }.write(&self.file)
    }

    /// Takes what another device has written down meanwhile.
    pub(super) async fn refresh(&mut self) -> Result<(), Failure> {
        let before = self.agent.sealed().to_owned();
        self.agent.refresh(&self.password).await?;
        if before == self.agent.sealed() { Ok(()) } else { self.keep() }
    }

    /// `set`.
    pub(super) async fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Failure> {
        self.agent.set(name, value, &self.password).await?;
        self.keep()?;
        let said = json!({"name": name, "set": value.is_some()});
        self.out.answer(&said.to_string(), || {
            format!("{} {}", harmless(name), if value.is_some() { "written down" } else { "taken away" })
        })
    }

    /// `show`.
    pub(super) async fn show(&mut self) -> Result<(), Failure> {
        self.refresh().await?;
        let mut all = self.here();
        all["personas"] = json!(self.agent.personas().await?);
        all["properties"] = json!(self.agent.properties());
        self.out.answer(&all.to_string(), || {
            let mut text = fields(&SPACE, &all);
            let personas = all["personas"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = personas.iter().filter_map(|persona| persona["name"].as_str()).collect::<Vec<_>>();
            text.push_str(&format!("personas  {}\n\n", names.join(" ")));
            let mut table = Table::new(["PROPERTY", "VALUE"]);
            let properties = self.agent.properties();
            properties.iter().for_each(|(name, value)| table.row([name.clone(), value.clone()]));
            text + &table.page()
        })
    }

    fn here(&self) -> Value {
        json!({"hub": self.agent.hub().base().as_str(), "space": self.agent.space(), "file": self.file})
    }
}

/// A list: a table for people, an object a line for programs.
pub(super) fn list(out: Output, columns: &[Column], items: &[Value]) -> Result<(), Failure> {
    if out.json {
        return items.iter().try_for_each(|item| out.line(&item.to_string()));
    }
    if items.is_empty() {
        eprintln!("(none)");
        return Ok(());
    }
    let mut table = Table::new(columns.iter().map(|column| column.0));
    items.iter().for_each(|item| table.object(columns, item));
    out.line(&table.page())
}
