//! `handfast homing site …`: a merchant's websites at the hub.

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::hub::NewSite;
use super::session::{Session, list};
use crate::cli::Failure;
use crate::cli::hub::DAYS;
use crate::cli::output::harmless;
use crate::cli::table::{Column, Show, fields};

const SITES: [Column; 5] = [
    Column("SITE", "site", Show::Text),
    Column("NAME", "name", Show::Text),
    Column("PERSONA", "persona", Show::Text),
    Column("STATE", "state", Show::Text),
    Column("TRIAL ENDS", "trial_ends_at", Show::Time),
];

const MADE: [Column; 4] = [
    Column("SITE", "site", Show::Text),
    Column("SCOPE PREFIX", "scope_prefix", Show::Text),
    Column("SAUCE", "sauce", Show::Text),
    Column("TRIAL ENDS", "trial_ends_at", Show::Time),
];

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Register a website, and show its secret sauce, this once
    Add(Add),
    /// List the websites
    List,
    /// Make a new sauce, and show it, this once; the old one stays good for a while
    Rotate {
        /// The site's ID, hst_…
        site: String,
        /// The old sauces are good no longer from now on: somebody else has one
        #[arg(long)]
        at_once: bool,
    },
    /// Revoke a website: nobody signs in there any more
    Delete {
        /// The site's ID
        site: String,
    },
    /// Show what happened at a website, day by day
    Stats {
        /// The site's ID
        site: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The merchant's persona, which users see
    #[arg(long)]
    persona: String,
    /// What the website is called
    #[arg(long)]
    name: String,
    /// Where users arrive, exactly; more than once for more
    #[arg(long = "endpoint", value_name = "URL", required = true)]
    endpoints: Vec<String>,
    /// Who shares the fingerprints of users
    #[arg(long, value_enum, default_value = "site")]
    fingerprint: Sector,
    /// How the one-time password is made; md5 is for the original's sample files
    #[arg(long, value_enum, default_value = "hmac")]
    otp: Otp,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sector {
    /// Nobody: another fingerprint at every website
    Site,
    /// All websites of this merchant
    Merchant,
    /// All merchants
    Global,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Otp {
    Hmac,
    Md5,
}

impl What {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (hub, out) = (session.agent.hub(), session.out);
        match self {
            Self::Add(add) => made(session, &session.agent.add_site(&add.site()).await?),
            Self::List => {
                let answer = hub.call(Method::GET, &["sites"], None).await?;
                list(out, &SITES, answer["sites"].as_array().map(Vec::as_slice).unwrap_or_default())
            }
            Self::Rotate { site, at_once } => {
                let body = json!({"at_once": at_once});
                let answer = hub.call(Method::POST, &["sites", &site, "sauce"], Some(body)).await?;
                let words = || answer["sauce"].as_str().map(harmless).unwrap_or_default();
                out.answer(&answer.to_string(), words)
            }
            Self::Delete { site } => {
                hub.call(Method::DELETE, &["sites", &site], None).await?;
                let said = json!({"site": site, "deleted": true});
                out.answer(&said.to_string(), || format!("{} revoked", harmless(&site)))
            }
            Self::Stats { site } => {
                let answer = hub.call(Method::GET, &["sites", &site, "stats"], None).await?;
                if out.json {
                    return out.line(&answer.to_string());
                }
                list(out, &DAYS, answer["days"].as_array().map(Vec::as_slice).unwrap_or_default())
            }
        }
    }
}

impl Add {
    fn site(self) -> NewSite {
        let word = |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned());
        NewSite {
            persona: self.persona,
            name: self.name,
            endpoints: self.endpoints,
            fingerprint_mode: word(self.fingerprint.to_possible_value()).unwrap_or_default(),
            otp_alg: word(self.otp.to_possible_value()).unwrap_or_default(),
        }
    }
}

fn made(session: &Session, site: &Value) -> Result<(), Failure> {
    session.out.answer(&site.to_string(), || fields(&MADE, site))
}
