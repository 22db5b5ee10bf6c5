//! Accounts: who is at home at this node.
//!
//! Promises: an address is given once and never again; a disabled account stays in the books, and the doors answer for it as for
//! one that does not exist. Leaves out which ids may be issued (the API door checks) and everything an account owns.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::db::{DbError, Row};
use crate::openmsg::{Address, DisplayName};

/// Someone of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Its Openmsg address.
    pub address: Address,
    /// Its display name, told to peers.
    pub name: String,
    /// False: peers are answered SM_E002.
    pub accepts_messages: bool,
    /// Answers like one that does not exist.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

const CREATE: &str = "/* accounts::create_many */
insert into accounts (id, address, name, accepts_messages, created_at)
select id, address, name, accepts, $5
from unnest($1::uuid[], $2::text[], $3::text[], $4::bool[]) as new (id, address, name, accepts)
on conflict (address) do nothing
returning id";

const FIND: &str = "/* accounts::find */
select id, address, name, accepts_messages, disabled_at, created_at from accounts where address = $1";

const LIST: &str = "/* accounts::list */
select id, address, name, accepts_messages, disabled_at, created_at from accounts where id > $1 order by id limit $2";

const UPDATE: &str = "/* accounts::update */
update accounts set name = coalesce($2, name), accepts_messages = coalesce($3, accepts_messages) where address = $1
returning id, address, name, accepts_messages, disabled_at, created_at";

const SET_DISABLED: &str = "/* accounts::set_disabled */
update accounts set disabled_at = case when $2 then coalesce(disabled_at, $3) end where address = $1
returning id, address, name, accepts_messages, disabled_at, created_at";

/// Whoever was signed in to the mailbox is not any more, also when the account is enabled again.
const SIGN_OUT: &str = "/* accounts::sign_out */
delete from mailbox_sessions where account_id = $1";

/// Makes one account; `None`: the address is taken.
pub async fn create(
    app: &App,
    address: &Address,
    name: &DisplayName,
    accepts: bool,
) -> Result<Option<Account>, DbError> {
    let created = create_many(app, vec![(address.clone(), name.clone(), accepts)]).await?;
    if created.first() == Some(&true) { find(app, address).await } else { Ok(None) }
}

/// Makes many in one statement; says for each whether it was made (`false`: the address is taken, also by one before it here).
pub async fn create_many(app: &App, new: Vec<(Address, DisplayName, bool)>) -> Result<Vec<bool>, DbError> {
    let mut ids: Vec<Uuid> = new.iter().map(|_| app.new_id()).collect();
    ids.sort_unstable();
    let addresses: Vec<&str> = new.iter().map(|(address, ..)| address.as_str()).collect();
    let names: Vec<&str> = new.iter().map(|(_, name, _)| name.as_str()).collect();
    let accepts: Vec<bool> = new.iter().map(|(.., accepts)| *accepts).collect();
    let rows = app.db.rows(CREATE, &[&ids, &addresses, &names, &accepts, &app.clock.now()]).await?;
    let created: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    Ok(ids.iter().map(|id| created.contains(id)).collect())
}

/// Looks one up, disabled or not.
pub async fn find(app: &App, address: &Address) -> Result<Option<Account>, DbError> {
    app.db.row(FIND, &[&address.as_str()]).await?.map(|row| read(&row)).transpose()
}

/// Up to `limit` accounts, oldest first, those after the id `after`.
pub async fn list(app: &App, after: Option<Uuid>, limit: i64) -> Result<Vec<Account>, DbError> {
    app.db.rows(LIST, &[&after.unwrap_or(Uuid::nil()), &limit]).await?.iter().map(read).collect()
}

/// Changes what is given; `None`: there is no such account.
pub async fn update(
    app: &App,
    address: &Address,
    name: Option<&DisplayName>,
    accepts: Option<bool>,
) -> Result<Option<Account>, DbError> {
    let name = name.map(DisplayName::as_str);
    app.db.row(UPDATE, &[&address.as_str(), &name, &accepts]).await?.map(|row| read(&row)).transpose()
}

/// Disables or enables; `None`: there is no such account. Saying it twice changes nothing. Disabling ends the account's sessions in
/// the mailbox.
pub async fn set_disabled(app: &App, address: &Address, disabled: bool) -> Result<Option<Account>, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let set = tx.prepare_cached(SET_DISABLED).await?;
    let row = tx.query_opt(&set, &[&address.as_str(), &disabled, &app.clock.now()]).await?;
    let account = row.map(|row| read(&row)).transpose()?;
    if let Some(account) = account.as_ref().filter(|account| account.disabled) {
        // In a statement of its own: it sees what was committed while the first one waited for the row.
        tx.execute(&tx.prepare_cached(SIGN_OUT).await?, &[&account.id]).await?;
    }
    tx.commit().await?;
    Ok(account)
}

fn read(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        id: row.get("id"),
        address: row.get::<_, &str>("address").parse().map_err(|_| DbError::Stored("address"))?,
        name: row.get("name"),
        accepts_messages: row.get("accepts_messages"),
        disabled: row.get::<_, Option<Timestamp>>("disabled_at").is_some(),
        created_at: row.get("created_at"),
    })
}
