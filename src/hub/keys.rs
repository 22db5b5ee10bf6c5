//! The hub's own keys: one signs releases, one opens what merchants box, one makes fingerprints.
//!
//! They are made when they are first needed; of processes that begin together one makes them. A new signing key is shown at once and
//! signs later, so that merchants, who pin it, have time to learn of it; the old one is shown until its own end, and not pinned
//! by anybody who comes later. The key of fingerprints never
//! changes: nobody would be known again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Error, secrets};
use crate::App;
use crate::clock::Instant;
use crate::crypto::sodium::BoxKey;
use crate::crypto::{Purpose, SigningKey, encode_hex, random, sha256};
use crate::db::{DbError, Row};

/// How old what a process knows may be. A key signs later than it is shown, so this only bounds how soon it is shown.
const FRESH: Duration = Duration::from_secs(2);
/// How long a key is of use after its successor has taken over: requests boxed to it are still on their way.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Signs releases.
    Sign = 1,
    /// Opens what merchants box.
    Box = 2,
    /// Makes fingerprints; never shown.
    Fingerprint = 3,
}

/// One key.
pub struct Key {
    /// What it is called.
    pub kid: String,
    /// What it is for.
    pub usage: Use,
    /// What others need of it.
    pub public: [u8; 32],
    /// Used from then on.
    pub not_before: Timestamp,
    /// Of no use any more after that.
    pub not_after: Option<Timestamp>,
    secret: Zeroizing<[u8; 32]>,
}

/// All of them that have not had their time.
pub struct Ring {
    /// Newest first, by use.
    keys: Vec<Key>,
    fingerprint: Zeroizing<[u8; 32]>,
}

/// What this process knows of them; cheap to clone.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Option<Read>>>);

/// What was read, and until when it is not read again.
type Read = (Instant, Arc<Ring>);

const ALL: &str = "/* hub::keys::ring */
select kind, kid, public, secret, not_before, not_after from hub_keys
where not_after is null or not_after > $1 order by kind, generation desc";

const MAKE: &str = "/* hub::keys::make */
insert into hub_keys (kind, generation, kid, public, secret, created_at, not_before)
select $1, coalesce(max(generation), 0) + 1, $2, $3, $4, $5, $6 from hub_keys where kind = $1
having $7::bool or count(*) = 0
on conflict do nothing";

const RETIRE: &str = "/* hub::keys::rotate */
update hub_keys set not_after = $2 where kind = $1 and kid <> $3 and not_after is null";

impl Use {
    /// As others read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Box => "box",
            Self::Fingerprint => "fingerprint",
        }
    }

    fn from_number(number: i16) -> Option<Self> {
        [Self::Sign, Self::Box, Self::Fingerprint].into_iter().find(|usage| *usage as i16 == number)
    }
}

impl Ring {
    /// What is shown of them: all but the key of fingerprints, newest first.
    pub fn shown(&self) -> &[Key] {
        &self.keys
    }

    /// What signs now.
    pub fn signing(&self, now: Timestamp) -> Option<&Key> {
        self.keys.iter().find(|key| key.usage == Use::Sign && key.not_before <= now)
    }

    /// What may have been boxed to, newest first.
    pub fn boxes(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.usage == Use::Box && key.not_after.is_none_or(|end| now < end))
    }

    /// What fingerprints are made with.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

impl Key {
    /// What signs, of a key for that.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&self.secret)
    }

    /// What opens, of a key for that.
    pub fn opening(&self) -> BoxKey {
        BoxKey::from_seed(&self.secret)
    }
}

impl Known {
    pub(super) async fn get(&self, app: &App) -> Result<Arc<Ring>, Error> {
        if let Some((until, ring)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && !until.is_past()
        {
            return Ok(Arc::clone(ring));
        }
        let ring = Arc::new(ring(app).await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now().after(FRESH), Arc::clone(&ring)));
        Ok(ring)
    }
}

/// The keys; made, if there are none yet.
pub async fn ring(app: &App) -> Result<Ring, Error> {
    let found = read(app).await?;
    if let Some(ring) = found {
        return Ok(ring);
    }
    let now = app.clock.now();
    for usage in [Use::Sign, Use::Box, Use::Fingerprint] {
        make(app, usage, now, now, false).await?;
    }
    tracing::info!("the hub has made its keys");
    read(app).await?.ok_or(Error::Db(DbError::Stored("hub key")))
}

/// Makes a new signing key and a new box key: shown at once, used `after` that time. The old ones are shown for a day longer.
pub async fn rotate(app: &App, after: Duration) -> Result<Ring, Error> {
    ring(app).await?;
    let now = app.clock.now();
    let not_before = now + after;
    for usage in [Use::Sign, Use::Box] {
        // None: another rotation was at it at the same moment, and has made one.
        if let Some(kid) = make(app, usage, now, not_before, true).await? {
            app.db.execute(RETIRE, &[&(usage as i16), &(not_before + OVERLAP), &kid]).await?;
        }
    }
    tracing::info!(%not_before, "the hub has new keys");
    ring(app).await
}

async fn make(
    app: &App,
    usage: Use,
    now: Timestamp,
    not_before: Timestamp,
    further: bool,
) -> Result<Option<String>, DbError> {
    let secret = Zeroizing::new(random::<32>());
    let public = match usage {
        Use::Sign => SigningKey::from_seed(&secret).public().to_vec(),
        Use::Box => BoxKey::from_seed(&secret).public().to_vec(),
        Use::Fingerprint => Vec::new(),
    };
    let name = if public.is_empty() { random::<32>() } else { sha256(&[&public]) };
    let kid = format!("hsk_{}", encode_hex(&name[..8]));
    let sealed = app.keys.seal(Purpose::Homing, &secrets::place("hub_keys", &kid), secret.as_slice());
    let made = app.db.execute(MAKE, &[&(usage as i16), &kid, &public, &sealed, &now, &not_before, &further]).await?;
    Ok((made == 1).then_some(kid))
}

/// None: not all of them are there.
async fn read(app: &App) -> Result<Option<Ring>, Error> {
    let (mut keys, mut fingerprint) = (Vec::new(), None);
    for row in &app.db.rows(ALL, &[&app.clock.now()]).await? {
        let (usage, secret) = opened(app, row)?;
        match usage {
            Use::Fingerprint => fingerprint = Some(secret),
            Use::Sign | Use::Box => keys.push(Key {
                kid: row.get(1),
                usage,
                public: row.get::<_, &[u8]>(2).try_into().map_err(|_| DbError::Stored("hub key"))?,
                not_before: row.get(4),
                not_after: row.get(5),
                secret,
            }),
        }
    }
    let whole = [Use::Sign, Use::Box].iter().all(|usage| keys.iter().any(|key| key.usage == *usage));
    Ok(fingerprint.filter(|_| whole).map(|fingerprint| Ring { keys, fingerprint }))
}

fn opened(app: &App, row: &Row) -> Result<(Use, Zeroizing<[u8; 32]>), Error> {
    let stored = || DbError::Stored("hub key");
    let usage = Use::from_number(row.get(0)).ok_or_else(stored)?;
    let plain = app.keys.open(Purpose::Homing, &secrets::place("hub_keys", row.get(1)), row.get(3))?;
    let secret = plain.as_slice().try_into().map_err(|_| stored())?;
    Ok((usage, Zeroizing::new(secret)))
}
