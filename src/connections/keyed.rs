//! Connections with their secrets: what messages in both directions need, a whole batch at a time.

use std::collections::HashMap;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Connection, Error, read};
use crate::App;
use crate::crypto::{self, Purpose};
use crate::db::{DbError, Row};
use crate::openmsg::{Address, AuthCode, CryptKey, IdentCode};

/// The three secrets of a connection. Prints none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Goes into every message hash.
    pub auth_code: AuthCode,
    /// Names the connection to the receiver of a message.
    pub ident_code: IdentCode,
    /// Encrypts the texts.
    pub crypt_key: CryptKey,
}

/// A connection with its secrets.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// The connection.
    pub connection: Connection,
    /// What to send under, and to try first on what comes in.
    pub secrets: Secrets,
    /// Make before break: those that last proved good, where no message has passed under newer ones yet.
    pub older: Option<Secrets>,
    version: Version,
}

impl Keyed {
    /// The secrets as they are here, to say of them later what a message showed.
    pub fn version(&self) -> Version {
        self.version
    }
}

/// Which current secrets of which connection: a verdict about them must not hit what another handshake put in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The connection.
    pub connection: Uuid,
    /// SHA-256 of the sealed current secrets.
    pub(super) hash: [u8; 32],
}

/// What a message that comes in belongs to.
#[derive(Debug, Clone)]
pub struct Found {
    /// The connection with its secrets.
    pub keyed: Keyed,
    /// Our user takes messages.
    pub account_accepts: bool,
    /// Our account is disabled: it answers like one that does not exist.
    pub account_disabled: bool,
    /// Only the older ident code fits: the peer speaks under the older secrets.
    pub used_older: bool,
}

const KEYED: &str = "/* connections::keyed_many */
select c.* from unnest($1::uuid[]) as asked (id) join connections c on c.id = asked.id";

/// Of several that fit, the current code goes before an older one, and the older connection first: nobody can push himself before it.
const FIND_BY_IDENT: &str = "/* connections::find_by_ident_many */
select asked.n, found.*, a.accepts_messages, a.disabled_at is not null as disabled
from unnest($1::int4[], $2::text[], $3::bytea[]) as asked (n, self_address, hash)
cross join lateral (
    (select c.*, false as used_older from connections c
     where c.ident_hash = asked.hash and c.self_address = asked.self_address order by c.id limit 1)
    union all
    (select c.*, true from connections c
     where c.older_ident_hash = asked.hash and c.self_address = asked.self_address order by c.id limit 1)
) as found
join accounts a on a.id = found.account_id";

const IDENT: &str = "/* connections::ident_for */
select id, secrets from connections where self_address = $1 and other_address = $2";

/// The connection that an ident code names at one of our addresses.
pub async fn find_by_ident(app: &App, own: &Address, ident: &IdentCode) -> Result<Option<Found>, Error> {
    let mut found = find_by_ident_many(app, vec![(own.clone(), ident.clone())]).await?;
    found.pop().unwrap_or(Ok(None))
}

/// The same for a whole batch in one statement. An error within belongs to that entry alone: its secrets do not open.
pub async fn find_by_ident_many(
    app: &App,
    asked: Vec<(Address, IdentCode)>,
) -> Result<Vec<Result<Option<Found>, Error>>, Error> {
    let (mut numbers, mut addresses, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (own, ident)) in (0i32..).zip(&asked) {
        for hash in ident_hashes(app, own, ident) {
            numbers.push(n);
            addresses.push(own.as_str());
            hashes.push(hash.to_vec());
        }
    }
    let rows = app.db.rows(FIND_BY_IDENT, &[&numbers, &addresses, &hashes]).await?;
    let mut best: Vec<Option<&Row>> = vec![None; asked.len()];
    let rank = |row: &Row| (row.get::<_, bool>("used_older"), row.get::<_, Uuid>("id"));
    for row in &rows {
        let place = &mut best[row.get::<_, i32>("n") as usize];
        if place.is_none_or(|other| rank(row) < rank(other)) {
            *place = Some(row);
        }
    }
    Ok(best.into_iter().map(|row| row.map(|row| read_found(app, row)).transpose()).collect())
}

/// Connections by id, in one statement. One that does not exist, or whose secrets do not open (logged), is missing.
pub async fn keyed_many(app: &App, ids: &[Uuid]) -> Result<HashMap<Uuid, Keyed>, Error> {
    let rows = app.db.rows(KEYED, &[&ids]).await?;
    let mut keyed = HashMap::with_capacity(rows.len());
    for row in &rows {
        match read_keyed(app, row) {
            Ok(one) => drop(keyed.insert(one.connection.id, one)),
            Err(error) => {
                tracing::error!(connection = %row.get::<_, Uuid>("id"), %error, "a connection cannot be used");
            }
        }
    }
    Ok(keyed)
}

/// The ident code of the connection with a peer, to be kept when the handshake is repeated.
pub async fn ident_for(app: &App, own: &Address, other: &Address) -> Result<Option<IdentCode>, Error> {
    let row = app.db.row(IDENT, &[&own.as_str(), &other.as_str()]).await?;
    let open_ident = |row: Row| open(app, row.get("id"), own, other, row.get("secrets"));
    Ok(row.map(open_ident).transpose()?.map(|secrets| secrets.ident_code))
}

/// For the look-up column: under the current node key.
pub(super) fn ident_hash(app: &App, own: &Address, ident: &IdentCode) -> [u8; 32] {
    app.keys.hash(Purpose::Ident, &[own.as_str().as_bytes(), ident.as_bytes()])
}

fn ident_hashes(app: &App, own: &Address, ident: &IdentCode) -> Vec<[u8; 32]> {
    app.keys.hashes(Purpose::Ident, &[own.as_str().as_bytes(), ident.as_bytes()])
}

pub(super) fn seal(app: &App, own: &Address, other: &Address, secrets: &Secrets) -> Vec<u8> {
    let mut text = Zeroizing::new([0; 96]);
    text[..32].copy_from_slice(secrets.auth_code.as_bytes());
    text[32..64].copy_from_slice(secrets.ident_code.as_bytes());
    text[64..].copy_from_slice(secrets.crypt_key.as_bytes());
    app.keys.seal(Purpose::Connection, &context(own, other), &*text)
}

fn open(app: &App, id: Uuid, own: &Address, other: &Address, sealed: &[u8]) -> Result<Secrets, Error> {
    let text = app.keys.open(Purpose::Connection, &context(own, other), sealed);
    let text = text.map_err(|source| Error::Sealed { id, source })?;
    let ([auth, ident, key], []) = text.as_chunks::<32>() else { return Err(DbError::Stored("secret").into()) };
    Ok(Secrets {
        auth_code: AuthCode::from_bytes(*auth),
        ident_code: IdentCode::from_bytes(*ident),
        crypt_key: CryptKey::from_bytes(*key),
    })
}

/// An address has no space, so the pair is told apart.
fn context(own: &Address, other: &Address) -> Vec<u8> {
    format!("connection {own} {other}").into_bytes()
}

fn read_found(app: &App, row: &Row) -> Result<Found, Error> {
    Ok(Found {
        keyed: read_keyed(app, row)?,
        account_accepts: row.get("accepts_messages"),
        account_disabled: row.get("disabled"),
        used_older: row.get("used_older"),
    })
}

fn read_keyed(app: &App, row: &Row) -> Result<Keyed, Error> {
    let connection = read(row)?;
    let (own, other) = (&connection.self_address, &connection.other_address);
    let sealed: &[u8] = row.get("secrets");
    let secrets = open(app, connection.id, own, other, sealed)?;
    let older = row.get::<_, Option<&[u8]>>("older_secrets");
    let older = older.map(|sealed| open(app, connection.id, own, other, sealed)).transpose()?;
    let version = Version { connection: connection.id, hash: crypto::sha256(&[sealed]) };
    Ok(Keyed { connection, secrets, older, version })
}
