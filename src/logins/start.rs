//! Step 1: a code on its way, or the application's verifier told that somebody is there.
//!
//! Promises: whether anybody has ever signed in with an address is looked at by nobody here, so nobody is told; while a code lives,
//! asking again sends the same one, and moves neither its end nor its tries; message and code are one commit.

use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::backend::{Said, elsewhere};
use super::ladder::{MaySend, Rules};
use super::rooms::{self, ToCountry};
use super::standings::{self, Locked};
use super::{Address, Application, Error, Logins, Origin, SENDER, Started, Way, code_of};
use crate::books::{ChannelName, NewMessage, ToPublish};
use crate::codes::login::{self, Theirs};
use crate::codes::subject::{Made, ToSend, Words};
use crate::config::{Secret, TestCode};
use crate::db::Transaction;
use crate::jobs::{BackendAnswer, BackendCall};

/// Digits of a code that a back end may make: as many as ours.
const THEIR_DIGITS: usize = 6;

/// What is to be done, found out while the address's row is locked.
enum Next {
    /// This is the answer; nothing is sent.
    Answer(Started),
    /// This code is sent again.
    Again(Made),
    /// A code is made.
    New,
}

/// What was done.
enum Begun {
    /// A message is on its way.
    Sent,
    /// Nothing was sent.
    Quiet(Started),
    /// A message was counted at that time; what it says, the back end has to make first.
    Reserved(Timestamp),
}

impl Logins {
    /// Step 1: sends a code, or begins whatever the application's own verifier does. An application that is disabled is told
    /// [`Started::BadAddress`]: doors look for that before.
    pub async fn start(&self, application: &Application, address: &Address, origin: &Origin) -> Result<Started, Error> {
        let ways = application.ways_to(address);
        if ways.is_empty() || !application.enabled {
            return Ok(Started::BadAddress);
        }
        let test = self.test_code(application, address);
        let open = ways.into_iter().find(|way| test.is_some() || way.is_open(&self.app.config));
        // Before anything is counted: what nobody can send is nobody's fault.
        let Some(way) = open else { return Ok(Started::Unavailable) };
        if let Some(after) = rooms::begin(&self.app, &application.appid, origin).await? {
            return Ok(Started::Limited { after });
        }
        match (way, test) {
            (Way::Verifier, _) => self.begin_elsewhere(application, address, origin).await,
            (_, Some((code, until))) => self.set_test_code(application, address, &code, until).await,
            (way, None) => self.send(application, address, way).await,
        }
    }

    /// The code that an address has for tests, and its end.
    pub(super) fn test_code(&self, application: &Application, address: &Address) -> Option<(Secret, Timestamp)> {
        let now = self.app.clock.now();
        let its = |test: &&TestCode| {
            test.app == application.appid && test.valid_until > now && super::parse::same(&test.address, address)
        };
        self.app.config.mesibo.test_codes.iter().find(its).map(|test| (test.code.clone(), test.valid_until))
    }

    async fn send(&self, application: &Application, address: &Address, way: Way) -> Result<Started, Error> {
        let room = match ToCountry::take(&self.app, address).await? {
            Ok(room) => room,
            Err(after) => return Ok(Started::Limited { after }),
        };
        let done = match self.begin(application, address, way).await {
            Ok(Begun::Sent) => return Ok(Started::Accepted),
            Ok(Begun::Quiet(answer)) => Ok(answer),
            Ok(Begun::Reserved(at)) => match self.send_theirs(application, address, way, at).await {
                Ok(Started::Accepted) => return Ok(Started::Accepted),
                other => other,
            },
            Err(error) => Err(error),
        };
        room.give_back(&self.app).await?;
        done
    }

    async fn begin(&self, application: &Application, address: &Address, way: Way) -> Result<Begun, Error> {
        let app = &self.app;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &application.appid, address, true).await?;
        let now = app.clock.now();
        let next = match self.next(&tx, application, address, &locked, now).await? {
            Next::Answer(answer) => return Ok(Begun::Quiet(answer)),
            next => next,
        };
        locked.standing.has_sent(now);
        locked.save(&tx, now).await?;
        let made = match next {
            Next::Again(made) => made,
            _ if application.backend.makes_codes() => {
                tx.commit().await?;
                return Ok(Begun::Reserved(now));
            }
            _ => login::make(&tx, app, &code_of(application, address), None, now + self.code_life()).await?,
        };
        let to_publish = self.hand_over(&tx, application, address, way, made).await?;
        tx.commit().await?;
        self.acceptor.publish(to_publish);
        Ok(Begun::Sent)
    }

    async fn next(
        &self,
        tx: &Transaction<'_>,
        application: &Application,
        address: &Address,
        locked: &Locked,
        now: Timestamp,
    ) -> Result<Next, Error> {
        let settings = &self.app.config.mesibo;
        let limited = |after| Next::Answer(Started::Limited { after });
        if let Some(after) = locked.standing.barred(now) {
            return Ok(limited(after));
        }
        let live = login::live(tx, &self.app, &code_of(application, address), settings.code_tries).await?;
        Ok(match (locked.standing.may_send(now, &Rules::from(settings)), live) {
            (MaySend::Over { wait }, _) | (MaySend::Early { wait }, None) => limited(wait),
            (MaySend::Early { .. }, Some(_)) => Next::Answer(Started::Accepted),
            (MaySend::Now, Some(made)) => Next::Again(made),
            (MaySend::Now, None) => Next::New,
        })
    }

    /// The order to send it. The code itself is in its row only.
    async fn hand_over(
        &self,
        tx: &Transaction<'_>,
        application: &Application,
        address: &Address,
        way: Way,
        made: Made,
    ) -> Result<ToPublish, Error> {
        let (channel, destination) = match way {
            Way::Voice => (ChannelName::Voice, "voice:codes"),
            Way::Email => (ChannelName::Email, "email:codes"),
            Way::Sms | Way::Verifier => (ChannelName::Sms, "sms:codes"),
        };
        let to = match address {
            Address::Phone(digits) => format!("+{digits}"),
            Address::Mail(text) | Address::User(text) => text.to_string(),
        };
        let words = Words { name: application.name.clone(), text: application.text.clone() };
        let to_send = ToSend { code: made.id, to, service: application.appid.clone(), words: Some(words) };
        let content = serde_json::to_vec(&to_send)?;
        let message = NewMessage::own(SENDER, channel, destination.to_owned(), content, made.expires_at);
        let (_, to_publish) = self.acceptor.accept_in(tx, vec![message]).await?;
        Ok(to_publish)
    }

    /// The message was counted at `at`; the back end makes the code.
    async fn send_theirs(
        &self,
        application: &Application,
        address: &Address,
        way: Way,
        at: Timestamp,
    ) -> Result<Started, Error> {
        let app = &self.app;
        let ask = BackendCall::MakeCode { address: address.as_str().to_owned() };
        let said = self.call(application, self.deadline(), ask).await;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &application.appid, address, true).await?;
        let until = at + self.code_life();
        let (to_publish, answer) = match said {
            Said::Done(BackendAnswer::Code(code)) if is_code(&code) && until > app.clock.now() => {
                match self.keep_theirs(&tx, application, address, Zeroizing::new(code), until).await? {
                    Some(made) => {
                        (Some(self.hand_over(&tx, application, address, way, made).await?), Started::Accepted)
                    }
                    None => (None, Started::Unavailable),
                }
            }
            said => (None, refused(said)),
        };
        if to_publish.is_none() {
            locked.standing.has_not_sent(at);
            locked.save(&tx, app.clock.now()).await?;
        }
        tx.commit().await?;
        to_publish.into_iter().for_each(|what| self.acceptor.publish(what));
        Ok(answer)
    }

    /// Their code, to be sent; none: it is one that was used or tried too often, which a back end that reuses codes may make again.
    async fn keep_theirs(
        &self,
        tx: &Transaction<'_>,
        application: &Application,
        address: &Address,
        code: Zeroizing<String>,
        until: Timestamp,
    ) -> Result<Option<Made>, Error> {
        let (app, of) = (&self.app, code_of(application, address));
        Ok(match login::theirs(tx, app, &of, &code, app.config.mesibo.code_tries).await? {
            Theirs::New => Some(login::make(tx, app, &of, Some(&code), until).await?),
            Theirs::Live(made) => Some(made),
            Theirs::Spent => None,
        })
    }

    /// A code that nobody is sent. It is tried like any other.
    async fn set_test_code(
        &self,
        application: &Application,
        address: &Address,
        code: &Secret,
        until: Timestamp,
    ) -> Result<Started, Error> {
        let app = &self.app;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let locked = standings::lock(&tx, app, &application.appid, address, true).await?;
        let now = app.clock.now();
        if let Some(after) = locked.standing.barred(now) {
            return Ok(Started::Limited { after });
        }
        let of = code_of(application, address);
        if login::live(&tx, app, &of, app.config.mesibo.code_tries).await?.is_none() {
            let until = until.min(now + self.code_life());
            login::make(&tx, app, &of, Some(code.reveal()), until).await?;
        }
        locked.save(&tx, now).await?;
        tx.commit().await?;
        Ok(Started::Accepted)
    }

    /// A verifier that says no is not believed: who is not known hears the same as who is.
    async fn begin_elsewhere(
        &self,
        application: &Application,
        address: &Address,
        origin: &Origin,
    ) -> Result<Started, Error> {
        if let Some(answer) = self.may_begin_elsewhere(application, address).await? {
            return Ok(answer);
        }
        let ask = BackendCall::BeginElsewhere(elsewhere(address, "", origin));
        Ok(match self.call(application, self.deadline(), ask).await {
            Said::Done(_) | Said::Refused(_) => Started::Accepted,
            Said::NotAsked | Said::Nothing | Said::Late => Started::Unavailable,
        })
    }

    /// A verifier may send something of its own, so it is told no more often than a code would be sent; `Some`: it is not told now.
    async fn may_begin_elsewhere(
        &self,
        application: &Application,
        address: &Address,
    ) -> Result<Option<Started>, Error> {
        let app = &self.app;
        let mut client = app.db.client().await?;
        let tx = client.transaction().await?;
        let mut locked = standings::lock(&tx, app, &application.appid, address, true).await?;
        let now = app.clock.now();
        if let Some(after) = locked.standing.barred(now) {
            return Ok(Some(Started::Limited { after }));
        }
        match locked.standing.may_send(now, &Rules::from(&app.config.mesibo)) {
            MaySend::Over { wait } => return Ok(Some(Started::Limited { after: wait })),
            MaySend::Early { .. } => return Ok(Some(Started::Accepted)),
            MaySend::Now => locked.standing.has_sent(now),
        }
        locked.save(&tx, now).await?;
        tx.commit().await?;
        Ok(None)
    }

    fn code_life(&self) -> Duration {
        self.app.config.mesibo.code_life.duration()
    }
}

fn is_code(code: &str) -> bool {
    code.len() == THEIR_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())
}

fn refused(said: Said) -> Started {
    match said {
        Said::Refused(word) => Started::Refused(word),
        Said::Done(_) | Said::NotAsked | Said::Nothing | Said::Late => Started::Unavailable,
    }
}
