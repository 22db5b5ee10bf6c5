//! People are told of welcomes where they want to hear of them: a webhook of theirs, Web Push, mail.
//!
//! Promises: a notice is committed with the welcome it tells of, as a delivery like any other, and says nothing but who is asked, by
//! which site, when, and where to look; addresses lie sealed; a mailbox hears nothing before its owner has shown a code that was sent
//! there; what a webhook is sent is signed. The places are strangers' choice: workers call them behind the guard. Leaves out the
//! sending (`workers/tell_space.rs`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Error, Hub, Refusal, SENDER, secrets, spaces, url, within};
use crate::App;
use crate::books::{ChannelName, NewMessage};
use crate::codes::Purpose as CodeOf;
use crate::codes::subject::{self, ToSend};
use crate::crypto::{Purpose, encode_hex};
use crate::db::{DbError, Row, Transaction};
use crate::homing::{Persona, values};
use crate::outbound::{Ports, Target};
use crate::providers::push::Subscription;
use crate::webhooks::{SecretKind, SigningSecret};

/// Of one space at the most.
const MOST: i64 = 5;
/// Longest address, in bytes.
const LONGEST: usize = 2000;
/// How long a code for a mailbox is good.
const CODE_LIFE: std::time::Duration = std::time::Duration::from_secs(900);
/// Tries for one code.
const TRIES: u32 = 5;

/// How somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A signed POST.
    Webhook = 1,
    /// A browser's push service, or one of UnifiedPush.
    WebPush = 2,
    /// Mail.
    Email = 3,
}

/// A place, as its owner sees it.
pub struct Notice {
    /// Its id.
    pub id: Uuid,
    /// How.
    pub kind: Kind,
    /// The host of a URL, or the mailbox.
    pub to: String,
    /// Whether it hears anything yet.
    pub confirmed: bool,
    /// Since when its push service knows it no more.
    pub failed_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
}

/// A new place.
pub struct Added {
    /// Its id.
    pub id: Uuid,
    /// What a webhook's deliveries are signed with, shown once.
    pub secret: Option<Zeroizing<String>>,
}

/// What a delivery says: whom to tell what. Where that is stands elsewhere.
#[derive(Serialize, Deserialize)]
pub struct ToTell {
    /// Which place.
    pub notice: Uuid,
    /// Who is asked.
    pub persona: String,
    /// By which site.
    pub site: String,
    /// When.
    pub at: Timestamp,
    /// Where to look.
    pub link: String,
}

/// A place, as far as telling needs it.
pub struct Recipient {
    /// How.
    pub kind: Kind,
    /// URL, subscription or mailbox.
    pub address: Zeroizing<String>,
    /// What a webhook's deliveries are signed with.
    pub secret: Option<SigningSecret>,
}

const ADD: &str = "/* hub::notices::add */
insert into hub_notices (id, space_id, kind, destination, address, secret, created_at, confirmed_at)
select $1, $2, $3::int2, $4, $5, $6, $7::timestamptz, case when $3::int2 <> 3 then $7::timestamptz end
where (select count(*) from hub_notices where space_id = $2) < $8";

const LIST: &str = "/* hub::notices::list */
select id, kind, address, confirmed_at, failed_at, created_at from hub_notices where space_id = $1 order by id";

const CONFIRM: &str = "/* hub::notices::confirm */
update hub_notices set confirmed_at = coalesce(confirmed_at, $3) where id = $1 and space_id = $2";

const IS_MAIL: &str = "/* hub::notices::confirm (mail) */
select 1 from hub_notices where id = $1 and space_id = $2 and kind = 3";

const REMOVE: &str = "/* hub::notices::remove */
delete from hub_notices where id = $1 and space_id = $2";

const OF_SPACE: &str = "/* hub::notices::of_welcome */
select id, destination from hub_notices
where space_id = $1 and confirmed_at is not null and failed_at is null order by id";

const RECIPIENT: &str = "/* hub::notices::recipient */
select kind, address, secret from hub_notices where id = $1 and confirmed_at is not null and failed_at is null";

const FAILED: &str = "/* hub::notices::failed */
update hub_notices set failed_at = $2 where id = $1 and failed_at is null";

const PURGE: &str = "/* hub::notices::purge */
delete from hub_notices where id = any (array(
    select id from hub_notices where confirmed_at is null and created_at <= $1 order by created_at limit 1000))";

impl Kind {
    fn from_number(number: i16) -> Option<Self> {
        [Self::Webhook, Self::WebPush, Self::Email].into_iter().find(|kind| *kind as i16 == number)
    }
}

impl ToTell {
    /// From a delivery's content.
    pub fn decode(content: &[u8]) -> Option<Self> {
        serde_json::from_slice(content).ok()
    }
}

/// Adds a place. A mailbox is sent a code first.
pub async fn add(hub: &Hub, space: Uuid, kind: Kind, address: &str) -> Result<Added, Error> {
    let app = &hub.app;
    let destination = destination(app, kind, address)?;
    let limit = app.config.homing.hub.notices;
    within(app, "hub-notices", &space.to_string(), limit).await?;
    if kind == Kind::Email {
        // Whoever it is who writes to somebody's mailbox.
        let mailbox = encode_hex(&secrets::hash(app, "mailbox", &address.to_ascii_lowercase()));
        within(app, "hub-mailboxes", &mailbox, limit).await?;
    }
    let id = app.new_id();
    let secret = (kind == Kind::Webhook).then(|| SigningSecret::generate(SecretKind::Hmac).reveal());
    let sealed = seal(app, "address", id, address);
    let sealed_secret = secret.as_ref().map(|secret| seal(app, "secret", id, secret.reveal()));
    let (mut client, now) = (app.db.client().await?, app.clock.now());
    let tx = client.transaction().await?;
    spaces::lock(&tx, space).await?;
    let add = tx.prepare_cached(ADD).await?;
    let values = (kind as i16, &sealed, &sealed_secret);
    let added = tx.execute(&add, &[&id, &space, &values.0, &destination, values.1, values.2, &now, &MOST]).await?;
    if added == 0 {
        return Err(Refusal::Full.into());
    }
    let code = match kind {
        Kind::Email => vec![code(&tx, app, id, address).await?],
        Kind::Webhook | Kind::WebPush => Vec::new(),
    };
    let (_, to_publish) = hub.acceptor.accept_in(&tx, code).await?;
    tx.commit().await?;
    hub.acceptor.publish(to_publish);
    Ok(Added { id, secret: secret.map(|secret| Zeroizing::new(secret.reveal().to_owned())) })
}

/// The owner of a mailbox shows the code that was sent there.
pub async fn confirm(app: &App, space: Uuid, id: Uuid, code: &str) -> Result<(), Error> {
    app.db.row(IS_MAIL, &[&id, &space]).await?.ok_or(Refusal::NotFound)?;
    let plain: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).take(16).collect();
    let right = subject::check(app, CodeOf::Mailbox, &id.to_string(), &plain, TRIES).await?;
    let right = right.ok_or(Refusal::WrongCode)?;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    if !subject::take(&tx, app, right).await? {
        return Err(Refusal::WrongCode.into());
    }
    let confirm = tx.prepare_cached(CONFIRM).await?;
    tx.execute(&confirm, &[&id, &space, &app.clock.now()]).await?;
    Ok(tx.commit().await?)
}

/// The places of a space, oldest first.
pub async fn list(app: &App, space: Uuid) -> Result<Vec<Notice>, Error> {
    let rows = app.db.rows(LIST, &[&space]).await?;
    rows.iter().map(|row| read(app, row)).collect()
}

/// Takes a place away.
pub async fn remove(app: &App, space: Uuid, id: Uuid) -> Result<(), Error> {
    match app.db.execute(REMOVE, &[&id, &space]).await? {
        0 => Err(Refusal::NotFound.into()),
        _ => Ok(()),
    }
}

/// What tells a space of a welcome. Of no space it is nothing, at the same cost.
pub(super) async fn of_welcome(
    tx: &Transaction<'_>,
    app: &App,
    space: Option<Uuid>,
    persona: &Persona,
    site: &str,
    id: &str,
    expires_at: Timestamp,
) -> Result<Vec<NewMessage>, Error> {
    let statement = tx.prepare_cached(OF_SPACE).await?;
    let rows = tx.query(&statement, &[&space.unwrap_or_default()]).await?;
    let (link, at) = (format!("{}/w/{id}", url(app)), app.clock.now());
    let message = |row: &Row| {
        let what =
            ToTell { notice: row.get(0), persona: persona.to_string(), site: site.to_owned(), at, link: link.clone() };
        let content = serde_json::to_vec(&what).map_err(|_| DbError::Stored("notice"))?;
        Ok(NewMessage::own(SENDER, ChannelName::Notice, row.get(1), content, expires_at))
    };
    rows.iter().map(message).collect()
}

/// Whom a delivery is for; none: the place was taken away meanwhile, or is not known any more.
pub async fn recipient(app: &App, to: &ToTell) -> Result<Option<Recipient>, Error> {
    let Some(row) = app.db.row(RECIPIENT, &[&to.notice]).await? else { return Ok(None) };
    let stored = || DbError::Stored("notice");
    let kind = Kind::from_number(row.get(0)).ok_or_else(stored)?;
    let secret = match row.get::<_, Option<&[u8]>>(2) {
        Some(sealed) => Some(open(app, "secret", to.notice, sealed)?.parse().map_err(|_| stored())?),
        None => None,
    };
    Ok(Some(Recipient { kind, address: open(app, "address", to.notice, row.get(1))?, secret }))
}

/// Its push service, or whoever answers there, knows this place no more: it hears nothing from now on.
pub async fn failed(app: &App, id: Uuid) -> Result<(), DbError> {
    app.db.execute(FAILED, &[&id, &app.clock.now()]).await?;
    Ok(())
}

/// Removes up to 1,000 mailboxes that nobody confirmed in time; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&(app.clock.now() - CODE_LIFE)]).await
}

/// What the deliveries go to; refused where nobody could be told there.
fn destination(app: &App, kind: Kind, address: &str) -> Result<String, Error> {
    let providers = &app.config.providers;
    let bad = |what| Err(Refusal::BadRequest(what).into());
    if address.len() > LONGEST {
        return bad("address is too long");
    }
    let ports = Ports::of(&app.config);
    match kind {
        Kind::Webhook => match Target::with_ports(address, &ports) {
            Ok(target) => Ok(format!("notice:{}", target.host())),
            Err(_) => bad("address must be https://host/path"),
        },
        Kind::WebPush if !providers.push.web.is_set() => bad("this hub sends no Web Push"),
        Kind::WebPush => match Subscription::parse(address, &ports) {
            Some(subscription) => Ok(format!("notice:{}", subscription.host())),
            None => bad("address must be a push subscription"),
        },
        Kind::Email if providers.email.is_empty() => bad("this hub sends no mail"),
        Kind::Email => match values::take("email", address) {
            Ok(taken) if taken == address && taken.is_ascii() && !taken.is_empty() => Ok("notice:mail".into()),
            _ => bad("address must be a mailbox"),
        },
    }
}

async fn code(tx: &Transaction<'_>, app: &App, id: Uuid, mailbox: &str) -> Result<NewMessage, Error> {
    let made = subject::make(tx, app, CodeOf::Mailbox, &id.to_string(), CODE_LIFE).await?;
    let to_send = ToSend { code: made.id, to: mailbox.to_owned(), service: SENDER.to_owned(), words: None };
    let content = serde_json::to_vec(&to_send).map_err(|_| DbError::Stored("code"))?;
    Ok(NewMessage::own(SENDER, ChannelName::Email, "email:codes".into(), content, made.expires_at))
}

fn read(app: &App, row: &Row) -> Result<Notice, Error> {
    let (id, stored) = (row.get(0), || DbError::Stored("notice"));
    let kind = Kind::from_number(row.get(1)).ok_or_else(stored)?;
    let address = open(app, "address", id, row.get(2))?;
    let to = match kind {
        Kind::Email => address.to_string(),
        Kind::Webhook | Kind::WebPush => destination(app, kind, &address)
            .map(|destination| destination.trim_start_matches("notice:").to_owned())
            .unwrap_or_default(),
    };
    let confirmed = row.get::<_, Option<Timestamp>>(3).is_some();
    Ok(Notice { id, kind, to, confirmed, failed_at: row.get(4), created_at: row.get(5) })
}

fn seal(app: &App, what: &str, id: Uuid, text: &str) -> Vec<u8> {
    app.keys.seal(Purpose::Homing, &secrets::place("hub_notices", &format!("{id}/{what}")), text.as_bytes())
}

fn open(app: &App, what: &str, id: Uuid, sealed: &[u8]) -> Result<Zeroizing<String>, Error> {
    let plain = app.keys.open(Purpose::Homing, &secrets::place("hub_notices", &format!("{id}/{what}")), sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| DbError::Stored("notice"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
