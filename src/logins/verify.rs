//! Step 2: a code, or what the application's verifier wants, for a token.
//!
//! Promises: a try is counted, for the address and for the code, and committed before anything is compared; the comparison takes the
//! same time whatever there is; of any number of simultaneous right tries one gets a token. A back end that makes the tokens and is
//! away costs nobody the code. Everything that fails on the caller's side looks the same.

use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::backend::{Said, elsewhere};
use super::ladder::Rules;
use super::sessions::{self, Issuer, NewSession};
use super::standings;
use super::{Address, Application, Error, LONGEST_NAME, Logins, Mode, Origin, Verified, code_of, printable, rooms};
use crate::codes::login::{self, Grace, Held, Proof, Right, Tried, Try};
use crate::codes::subject;
use crate::crypto::Purpose;
use crate::guessing::network;
use crate::jobs::{BackendAnswer, BackendCall};
use crate::telemetry::families::LOGINS;

/// Longest secret that is looked at: what is longer is no code, and no password of anybody's.
const LONGEST_SECRET: usize = 1024;
/// After a call's deadline its answer may still be on its way, clocks differ, and a connection of the pool is waited for.
const ITS_ANSWER: Duration = Duration::from_secs(10);

/// Who signs in where, and from where.
struct Who<'a> {
    application: &'a Application,
    address: &'a Address,
    name: &'a str,
    origin: &'a Origin,
}

/// A right try, and when it was counted.
#[derive(Clone, Copy)]
struct Good {
    code: Right,
    at: Timestamp,
}

impl Logins {
    /// Step 2: takes the code, and gives a token.
    pub async fn verify(
        &self,
        application: &Application,
        address: &Address,
        secret: &str,
        name: &str,
        origin: &Origin,
    ) -> Result<Verified, Error> {
        let verified = self.judge(application, address, secret, name, origin).await;
        LOGINS.one([match &verified {
            Ok(Verified::Token { .. }) => "signed-in",
            Ok(Verified::Wrong) => "wrong",
            Ok(Verified::Limited { .. }) => "limited",
            Ok(Verified::BadAddress) => "bad-address",
            Ok(Verified::Unavailable) => "unavailable",
            Ok(Verified::Refused(_)) => "refused",
            Err(_) => "error",
        }]);
        verified
    }

    async fn judge(
        &self,
        application: &Application,
        address: &Address,
        secret: &str,
        name: &str,
        origin: &Origin,
    ) -> Result<Verified, Error> {
        if application.ways_to(address).is_empty() || !application.enabled {
            return Ok(Verified::BadAddress);
        }
        if let Some(after) = rooms::attempt(&self.app, &application.appid, origin).await? {
            return Ok(Verified::Limited { after });
        }
        if secret.len() > LONGEST_SECRET {
            rooms::nothing_was_tried(&self.app, &application.appid);
            return Ok(Verified::Wrong);
        }
        let name = &printable(name, LONGEST_NAME);
        let who = Who { application, address, name, origin };
        if let Address::User(_) = address {
            return self.verify_elsewhere(&who, secret).await;
        }
        let Some(good) = self.try_code(&who, secret).await? else { return Ok(Verified::Wrong) };
        match application.backend.mode {
            Mode::Local => self.take(&who, good).await,
            Mode::Mesibo | Mode::MesiboLegacy => self.prove(&who, good, secret).await,
        }
    }

    /// Counts, commits, compares.
    async fn try_code(&self, who: &Who<'_>, secret: &str) -> Result<Option<Good>, Error> {
        let (app, settings) = (&self.app, &self.app.config.mesibo);
        let of = code_of(who.application, who.address);
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &who.application.appid, who.address, false).await?;
        let at = app.clock.now();
        let one = Try {
            of: &of,
            may: locked.standing.barred(at).is_none(),
            device: &who.device_hashes(self),
            tries: settings.code_tries,
            more: settings.grace_calls,
        };
        let counted = login::count(&tx, app, &one).await?;
        if counted.is_something() {
            locked.standing.has_tried(at, &Rules::from(settings));
        }
        locked.save(&tx, at).await?;
        tx.commit().await?;
        if !counted.is_something() {
            rooms::nothing_was_tried(app, &who.application.appid);
        }
        Ok(match counted.compare(app, &of, secret) {
            Tried::Right(code) => Some(Good { code, at }),
            Tried::Wrong | Tried::Nothing => None,
        })
    }

    /// Tokens of our own: burns the code and makes the session in one commit.
    async fn take(&self, who: &Who<'_>, good: Good) -> Result<Verified, Error> {
        let app = &self.app;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &who.application.appid, who.address, false).await?;
        locked.standing.was_right(good.at, &Rules::from(&app.config.mesibo));
        locked.save(&tx, app.clock.now()).await?;
        let made = match subject::take(&tx, app, good.code.id).await? {
            true => Some(sessions::create(&tx, app, &who.session(), Issuer::Us).await?),
            false => None,
        };
        tx.commit().await?;
        Ok(made.map_or(Verified::Wrong, |made| made.verified(None)))
    }

    /// Tokens of somebody else's: the code is kept until there is one.
    async fn prove(&self, who: &Who<'_>, good: Good, code: &str) -> Result<Verified, Error> {
        let (app, settings) = (&self.app, &self.app.config.mesibo);
        let deadline = self.deadline();
        let device = who.device_hashes(self);
        let busy_until = deadline + ITS_ANSWER;
        let until = busy_until + settings.grace.duration();
        let grace = Grace { device: &device, busy_until, until, calls: settings.grace_calls };
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &who.application.appid, who.address, false).await?;
        let proof = login::prove(&tx, app, good.code, &grace).await?;
        match proof {
            Proof::Call(_) | Proof::Busy => locked.standing.was_right(good.at, &Rules::from(settings)),
            Proof::Over => locked.standing.was_none(good.at, &Rules::from(settings)),
            Proof::Lost => {}
        }
        locked.save(&tx, app.clock.now()).await?;
        tx.commit().await?;
        drop(client);
        match proof {
            Proof::Over | Proof::Lost => Ok(Verified::Wrong),
            Proof::Busy => Ok(Verified::Unavailable),
            Proof::Call(held) => {
                let is_ours = self.test_code(who.application, who.address).is_some();
                let theirs = who.application.backend.makes_codes() && !is_ours;
                self.add_user(who, deadline, theirs.then(|| code.to_owned()), Some(held)).await
            }
        }
    }

    /// Has the back end make a token; then the code is burnt, and there is a session.
    async fn add_user(
        &self,
        who: &Who<'_>,
        deadline: Timestamp,
        their_code: Option<String>,
        held: Option<Held>,
    ) -> Result<Verified, Error> {
        let app = &self.app;
        let (address, name) = (who.address.as_str().to_owned(), who.name.to_owned());
        let said = self.call(who.application, deadline, BackendCall::AddUser { address, name, code: their_code }).await;
        let free = async |made| match held {
            Some(held) => login::free(app, held, app.config.mesibo.grace.duration(), made).await,
            None => Ok(()),
        };
        let (token, uid) = match said {
            Said::Done(BackendAnswer::Token { token, uid }) => (Zeroizing::new(token), uid),
            Said::Refused(word) => {
                free(true).await?;
                return Ok(Verified::Refused(word));
            }
            Said::NotAsked => {
                free(false).await?;
                return Ok(Verified::Unavailable);
            }
            Said::Done(_) | Said::Nothing => {
                free(true).await?;
                return Ok(Verified::Unavailable);
            }
            // It stays busy until nobody can be calling any more.
            Said::Late => return Ok(Verified::Unavailable),
        };
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        if let Some(held) = held
            && !login::burn(&tx, held).await?
        {
            return Ok(Verified::Wrong);
        }
        let made = sessions::create(&tx, app, &who.session(), Issuer::Them { token }).await?;
        tx.commit().await?;
        Ok(made.verified(uid))
    }

    /// Every try counts, and is taken back when the verifier knows the user, or did not judge.
    async fn verify_elsewhere(&self, who: &Who<'_>, secret: &str) -> Result<Verified, Error> {
        let Some(at) = self.count_elsewhere(who).await? else {
            rooms::nothing_was_tried(&self.app, &who.application.appid);
            return Ok(Verified::Wrong);
        };
        let ask = BackendCall::VerifyElsewhere(elsewhere(who.address, secret, who.origin));
        let said = self.call(who.application, self.deadline(), ask).await;
        let (address, name) = match said {
            Said::Done(BackendAnswer::Verified { address, name }) => (address, name),
            Said::Refused(_) => return Ok(Verified::Wrong),
            Said::Done(_) | Said::NotAsked | Said::Nothing | Said::Late => {
                self.judged(who, at, false).await?;
                return Ok(Verified::Unavailable);
            }
        };
        self.judged(who, at, true).await?;
        // What a verifier calls somebody is bound by the same rules as what is typed.
        let Some(address) = address.as_deref().map_or_else(|| Some(who.address.clone()), super::parse::user) else {
            return Ok(Verified::Unavailable);
        };
        let name = name.map_or_else(|| who.name.to_owned(), |name| printable(&name, LONGEST_NAME));
        let who = Who { address: &address, name: &name, ..*who };
        match who.application.backend.mode {
            Mode::Mesibo | Mode::MesiboLegacy => self.add_user(&who, self.deadline(), None, None).await,
            Mode::Local => {
                let mut client = self.app.db.client().await?;
                let tx = client.transaction().await?;
                let made = sessions::create(&tx, &self.app, &who.session(), Issuer::Us).await?;
                tx.commit().await?;
                Ok(made.verified(None))
            }
        }
    }

    /// `None`: no try is taken from this address now.
    async fn count_elsewhere(&self, who: &Who<'_>) -> Result<Option<Timestamp>, Error> {
        let app = &self.app;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &who.application.appid, who.address, true).await?;
        let at = app.clock.now();
        if locked.standing.barred(at).is_some() {
            return Ok(None);
        }
        locked.standing.has_tried(at, &Rules::from(&app.config.mesibo));
        locked.save(&tx, at).await?;
        tx.commit().await?;
        Ok(Some(at))
    }

    async fn judged(&self, who: &Who<'_>, at: Timestamp, right: bool) -> Result<(), Error> {
        let (app, rules) = (&self.app, Rules::from(&self.app.config.mesibo));
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &who.application.appid, who.address, true).await?;
        match right {
            true => locked.standing.was_right(at, &rules),
            false => locked.standing.was_none(at, &rules),
        }
        locked.save(&tx, app.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

impl<'a> Who<'a> {
    fn session(&self) -> NewSession<'a> {
        NewSession { application: self.application, address: self.address, name: self.name, origin: self.origin }
    }

    /// Under every node key, the current one first. Who names no device is known by its network, as far as that is known.
    fn device_hashes(&self, logins: &Logins) -> Vec<[u8; 32]> {
        let of = code_of(self.application, self.address);
        let Origin { device, ip, .. } = self.origin;
        let network = ip.filter(|_| device.is_empty()).map(network);
        let (kind, what) = network.as_ref().map_or((&b"device"[..], device), |network| (&b"network"[..], network));
        logins.app.keys.hashes(Purpose::Login, &[kind, of.as_bytes(), what.as_bytes()])
    }
}
