//! Writing connections: a handshake's result, and what messages show about it.

use uuid::Uuid;

use super::Error;
use super::keyed::{Secrets, Version, ident_hash, seal};
use crate::App;
use crate::db::GenericClient;
use crate::openmsg::{Address, DisplayName};

/// What a handshake has made.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Our account.
    pub account_id: Uuid,
    /// Our account's address.
    pub own: Address,
    /// The peer's address.
    pub other: Address,
    /// How the peer is called.
    pub other_name: DisplayName,
    /// We take messages over it.
    pub self_accepts: bool,
    /// The peer takes messages.
    pub other_accepts: bool,
    /// The peer's node knows a repeated message by its id.
    pub other_remembers: bool,
    /// What both sides agreed on.
    pub secrets: Secrets,
}

/// Where older secrets still lie there, they stay the older ones: whatever was agreed on since has not carried a message.
const STORE: &str = "/* connections::store */
insert into connections as c (id, account_id, self_address, other_address, other_name, other_accepts, other_remembers,
    secrets, ident_hash, created_at, updated_at, self_accepts)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)
on conflict (self_address, other_address) do update set
    account_id = excluded.account_id, other_name = excluded.other_name,
    self_accepts = excluded.self_accepts, other_accepts = excluded.other_accepts, other_remembers = excluded.other_remembers,
    older_secrets = coalesce(c.older_secrets, c.secrets), older_ident_hash = coalesce(c.older_ident_hash, c.ident_hash),
    secrets = excluded.secrets, ident_hash = excluded.ident_hash,
    broken_at = null, broken_why = null, updated_at = excluded.updated_at
returning id";

const PROVE_CURRENT: &str = "/* connections::prove_current */
update connections c set older_secrets = null, older_ident_hash = null
from unnest($1::uuid[], $2::bytea[]) as proved (id, hash)
where c.id = proved.id and c.older_secrets is not null and sha256(c.secrets) = proved.hash";

const PREFER_OLDER: &str = "/* connections::prefer_older */
update connections set secrets = older_secrets, ident_hash = older_ident_hash,
    older_secrets = secrets, older_ident_hash = ident_hash,
    broken_at = null, broken_why = null, updated_at = $3
where id = $1 and sha256(secrets) = $2 and older_secrets is not null";

const MARK_BROKEN: &str = "/* connections::mark_broken */
update connections set broken_at = $4, broken_why = $3, updated_at = $4
where id = $1 and sha256(secrets) = $2 and broken_at is null";

const SET_PADDED: &str = "/* connections::set_padded */
update connections set other_padded = $2, updated_at = $3 where id = $1 and other_padded <> $2";

const RENAME: &str = "/* connections::rename_other */
update connections set other_name = $2, updated_at = $3 where id = $1 and other_name <> $2";

/// Stores a handshake's result in the caller's transaction, over the connection of the same pair if there is one, whose id stays.
pub async fn store(client: &impl GenericClient, app: &App, new: &NewConnection) -> Result<Uuid, Error> {
    let sealed = seal(app, &new.own, &new.other, &new.secrets);
    let hash = ident_hash(app, &new.own, &new.secrets.ident_code);
    let statement = client.prepare_cached(STORE).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &app.new_id(),
                &new.account_id,
                &new.own.as_str(),
                &new.other.as_str(),
                &new.other_name.as_str(),
                &new.other_accepts,
                &new.other_remembers,
                &sealed,
                &hash.as_slice(),
                &app.clock.now(),
                &new.self_accepts,
            ],
        )
        .await?;
    Ok(row.get(0))
}

/// What the peer's node was found to read.
pub async fn set_padded(app: &App, id: Uuid, padded: bool) -> Result<(), Error> {
    app.db.execute(SET_PADDED, &[&id, &padded, &app.clock.now()]).await?;
    Ok(())
}

/// Messages have passed under these: the older secrets go. Costs nothing to speak of where there are none.
pub async fn prove_current(app: &App, proved: &[Version]) -> Result<u64, Error> {
    // In one order everywhere, so that two batches cannot wait for each other.
    let mut proved = proved.to_vec();
    proved.sort_unstable_by_key(|version| version.connection);
    let ids: Vec<Uuid> = proved.iter().map(|version| version.connection).collect();
    let hashes: Vec<&[u8]> = proved.iter().map(|version| version.hash.as_slice()).collect();
    Ok(app.db.execute(PROVE_CURRENT, &[&ids, &hashes]).await?)
}

/// A message has passed under the older secrets while these, the current ones, did not fit: they change places. False: they had
/// already, or there are no older ones.
pub async fn prefer_older(app: &App, current: Version) -> Result<bool, Error> {
    let (id, hash) = (current.connection, current.hash.as_slice());
    Ok(app.db.execute(PREFER_OLDER, &[&id, &hash, &app.clock.now()]).await? == 1)
}

/// The peer has answered that these secrets are void. `why` is a word or a response code, never a peer's text. False: they were
/// replaced meanwhile, or known to be.
pub async fn mark_broken(app: &App, current: Version, why: &'static str) -> Result<bool, Error> {
    let (id, hash) = (current.connection, current.hash.as_slice());
    Ok(app.db.execute(MARK_BROKEN, &[&id, &hash, &why, &app.clock.now()]).await? == 1)
}

/// The peer has announced a new name.
pub async fn rename_other(app: &App, id: Uuid, name: &DisplayName) -> Result<(), Error> {
    app.db.execute(RENAME, &[&id, &name.as_str(), &app.clock.now()]).await?;
    Ok(())
}
