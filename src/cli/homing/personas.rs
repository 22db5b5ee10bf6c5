//! `handfast homing persona …` and `handfast homing keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::session::{Session, list};
use super::space_file::write_secret;
use crate::cli::Failure;
use crate::cli::output::harmless;
use crate::cli::table::{Column, Show};

const COLUMNS: [Column; 3] = [
    Column("NAME", "name", Show::Text),
    Column("SLOT", "slot", Show::Text),
    Column("CREATED", "created_at", Show::Time),
];

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Take a name, of 3 to 32 characters a-z, 0-9, _ and -; a space has seven at most
    Add {
        /// The name
        name: String,
    },
    /// List the space's names
    List,
    /// Give a name up: nobody ever gets it again, and its sites are revoked
    Delete {
        /// The name
        name: String,
    },
}

/// Write a persona's secret keys to files, for a merchant's server.
#[derive(Debug, Args)]
pub(super) struct Keys {
    /// The persona
    persona: String,
    /// The folder to write homing-sign.key and homing-box.key to, readable by their owner only
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
}

impl What {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let agent = &session.agent;
        match self {
            Self::Add { name } => {
                let made = agent.add_persona(&name).await?;
                let words = || format!("{} is yours ({} of 7)", harmless(&made.name), made.slot);
                session.out.answer(&json!(made).to_string(), words)
            }
            Self::List => {
                let answer = agent.hub().call(Method::GET, &["personas"], None).await?;
                list(session.out, &COLUMNS, answer["personas"].as_array().map(Vec::as_slice).unwrap_or_default())
            }
            Self::Delete { name } => {
                agent.delete_persona(&name).await?;
                let said = json!({"name": name, "deleted": true});
                session.out.answer(&said.to_string(), || format!("{} given up", harmless(&name)))
            }
        }
    }
}

impl Keys {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let keys = session.agent.keys(&self.persona).await?;
        let (sign, opening) = keys.lines();
        let files = [("homing-sign.key", sign), ("homing-box.key", opening)];
        let files = files.map(|(name, line)| (self.to.join(name), line));
        // Both or none: half a pair is found out when it is needed.
        if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
            return Err(Failure::Usage(format!("{}: is there already, and is not overwritten", path.display())));
        }
        for (path, line) in &files {
            let written = write_secret(path, &format!("{}\n", line.as_str()));
            written.map_err(|source| Failure::File { path: path.clone(), source })?;
        }
        let [sign, opening] = files.map(|(path, _)| path.display().to_string());
        let said = json!({
            "sign": sign, "box": opening, "sign_public": keys.sign_public(), "box_public": keys.box_public(),
        });
        session.out.answer(&said.to_string(), || format!("{sign}\n{opening}"))
    }
}
