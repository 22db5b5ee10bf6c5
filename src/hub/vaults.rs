//! Vaults: what a space's browser has sealed under a password, kept so that the space can move to another phone.
//!
//! To the hub a vault is text. Whoever has the space's id may fetch it, and has then still to know the password; so the id is as
//! secret as the vault is, and fetching is limited.

use std::net::IpAddr;

use uuid::Uuid;

use super::{Error, Refusal, spaces, within, within_of};
use crate::App;
use crate::db::{DbError, Transaction};

/// Longest vault, in bytes.
pub const LONGEST: usize = 64 * 1024;

const FIRST: &str = "/* hub::vaults::put_first */
insert into hub_vaults (space_id, vault, version, updated_at) values ($1, $2, 1, $3)";

const FETCH: &str = "/* hub::vaults::fetch */
select vault, version from hub_vaults where space_id = $1";

const PUT: &str = "/* hub::vaults::put */
update hub_vaults set vault = $2, version = $3::int8, updated_at = $4 where space_id = $1 and version = $3::int8 - 1";

/// What is kept.
pub struct Vault {
    /// As it was put.
    pub vault: String,
    /// Of 1 on.
    pub version: i64,
}

/// Refuses what can be no vault.
pub(super) fn check(vault: &str) -> Result<(), Error> {
    let good = (1..=LONGEST).contains(&vault.len()) && !vault.contains('\0');
    if good { Ok(()) } else { Err(Refusal::BadRequest("vault must be text of 1 byte to 64 KiB").into()) }
}

pub(super) async fn put_first(tx: &Transaction<'_>, app: &App, space: Uuid, vault: &str) -> Result<(), DbError> {
    let first = tx.prepare_cached(FIRST).await?;
    tx.execute(&first, &[&space, &vault, &app.clock.now()]).await?;
    Ok(())
}

/// The vault of the space with this secret id.
pub async fn fetch(app: &App, ip: IpAddr, space: &str) -> Result<Vault, Error> {
    within_of(app, "hub-vaults", ip, app.config.homing.hub.sign_ins_per_ip).await?;
    let space = spaces::find(app, space).await?.ok_or(Refusal::NotFound)?;
    let row = app.db.row(FETCH, &[&space]).await?.ok_or(Refusal::NotFound)?;
    Ok(Vault { vault: row.get(0), version: row.get(1) })
}

/// Replaces the vault by its next version; refused where another browser was quicker.
pub async fn put(app: &App, space: Uuid, vault: &str, version: i64) -> Result<(), Error> {
    check(vault)?;
    within(app, "hub-vault-puts", &space.to_string(), app.config.homing.hub.vaults_per_space).await?;
    let put = app.db.execute(PUT, &[&space, &vault, &version, &app.clock.now()]).await?;
    if put == 1 { Ok(()) } else { Err(Refusal::Conflict.into()) }
}
