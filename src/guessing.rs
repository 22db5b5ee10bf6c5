//! Guessing of pass codes: counted before the code is looked at, over all processes.
//!
//! Six digits are few (Openmsg, weakness 6.1). An account takes `openmsg.wrong_codes_per_account` failures in an hour; with the next
//! try its live codes are withdrawn and its *user* is told, while the caller hears the same as for any wrong code; a new code
//! starts a new count. Source addresses and claimed domains that failed too often are refused before their code is looked at.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::App;
use crate::codes::{self, Purpose};
use crate::inbox;
use crate::limits::{self, Verdict};
use crate::openmsg::Domain;

const HOUR: Duration = Duration::from_secs(3600);
const ACCOUNT: &str = "wrong-code-account";
const IP: &str = "wrong-code-ip";
const DOMAIN: &str = "wrong-code-domain";
/// Counted, so that it costs the same, and asked of nobody: neither an id nor a domain.
const NOBODY: &str = "nobody";
const NOTICE: &str = "Several wrong pass codes were tried for your address within an hour. The pass codes you had were withdrawn \
                      for safety. If you were about to connect with someone, make a new pass code.";

/// Why a guard could not judge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The counters.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
    /// The codes.
    #[error(transparent)]
    Codes(#[from] codes::Error),
    /// The notice.
    #[error(transparent)]
    Inbox(#[from] inbox::Error),
}

/// One try with a code, from where.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    /// For which account; none where there is none, which costs the same.
    pub account: Option<Uuid>,
    /// From which address; none for accounts of this node.
    pub ip: Option<IpAddr>,
    /// For which domain; none for accounts of this node.
    pub domain: Option<&'a Domain>,
}

impl Try<'_> {
    /// Whether the code may be looked at. Counts the try against the account first.
    pub async fn may(&self, app: &App) -> Result<bool, Error> {
        let settings = &app.config.openmsg;
        if let Some(ip) = self.ip
            && limits::peek(app, IP, &network(ip), HOUR).await? >= settings.wrong_codes_per_ip
        {
            return Ok(false);
        }
        if let Some(domain) = self.domain
            && limits::peek(app, DOMAIN, domain.as_str(), HOUR).await? >= settings.wrong_codes_per_domain
        {
            return Ok(false);
        }
        let counted = limits::count(app, ACCOUNT, &self.account_key(), HOUR, settings.wrong_codes_per_account).await?;
        if let (Some(account), Verdict::Over) = (self.account, counted) {
            self.withdraw(app, account).await?;
        }
        Ok(counted == Verdict::Within)
    }

    /// The code was right: the try does not count against the account.
    pub async fn was_right(&self, app: &App) -> Result<(), Error> {
        Ok(limits::take_back(app, ACCOUNT, &self.account_key(), HOUR).await?)
    }

    /// The code was wrong: the try counts against its source too. One that was not `allowed` counts against no domain, which is a
    /// mere claim: who is refused for his address could shut out any domain by naming it. It costs the same statements.
    pub async fn was_wrong(&self, app: &App, allowed: bool) -> Result<(), Error> {
        let settings = &app.config.openmsg;
        if let Some(ip) = self.ip {
            limits::count(app, IP, &network(ip), HOUR, settings.wrong_codes_per_ip).await?;
        }
        let domain = self.domain.filter(|_| allowed).map_or(NOBODY, Domain::as_str);
        limits::count(app, DOMAIN, domain, HOUR, settings.wrong_codes_per_domain).await?;
        Ok(())
    }

    async fn withdraw(&self, app: &App, account: Uuid) -> Result<(), Error> {
        let withdrawn = codes::withdraw(app, Purpose::PassCode, account, None).await?;
        limits::forget(app, ACCOUNT, &self.account_key(), HOUR).await?;
        if withdrawn > 0 {
            tracing::warn!(%account, withdrawn, "too many wrong pass codes: the account's codes are withdrawn and its user is told");
            inbox::notice(app, account, NOTICE).await?;
        }
        Ok(())
    }

    fn account_key(&self) -> String {
        self.account.map_or_else(|| NOBODY.to_owned(), |id| id.to_string())
    }
}

/// What an address is counted as: an IPv6 one as its /64, which is one customer's.
pub(crate) fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
