//! The inbox: what arrived, until it is acknowledged.
//!
//! | file | what |
//! |---|---|
//! | `stream` | entries as they arrive, as server-sent events |
//!
//! `after` is a position in time. Entries are written by several workers, so one may become visible a moment after a later one:
//! who polls asks for `unacknowledged=true` and acknowledges, and misses nothing.

pub(super) mod describe;

mod stream;

pub(super) use stream::stream;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::accounts;
use crate::inbox::{self, Entry};
use crate::openmsg::Address;
use crate::senders::Standing;

use super::call::{Answer, Call, ok, revoked};
use super::page::{Page, Wanted};
use super::problem::Problem;
use super::values;

/// Longest `wait`, in seconds.
const LONGEST_WAIT: u64 = 60;
/// Entries acknowledged at once.
const MOST: usize = 1000;

/// An entry as the API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "InboxEntry")]
struct View {
    id: Uuid,
    account: Address,
    from: Address,
    from_name: String,
    text: String,
    received_at: Timestamp,
    sent_at: Timestamp,
    acknowledged_at: Option<Timestamp>,
}

impl From<Entry> for View {
    fn from(entry: Entry) -> Self {
        let Entry { id, account, from, from_name, text, received_at, sent_at, acknowledged_at } = entry;
        Self { id, account, from, from_name, text, received_at, sent_at, acknowledged_at }
    }
}

/// The account's id, if there is one that this key may see.
pub(super) async fn account_id(call: &Call, address: &Address) -> Result<Uuid, Problem> {
    call.act_for(address)?;
    let account = accounts::find(call.app(), address).await?;
    Ok(account.ok_or_else(|| Problem::not_found("account"))?.id)
}

/// `GET /inbox`
pub(super) async fn list(call: Call) -> Answer {
    let mut query = call.query();
    let wanted = Wanted::read(&mut query);
    let address = query.required("account", values::our_address(call.domain()));
    let open = query.optional("unacknowledged", values::boolean).unwrap_or(false);
    let wait = query.optional("wait", values::seconds(0..=LONGEST_WAIT)).unwrap_or_default();
    let address = query.finish(address)?;
    let account = account_id(&call, &address).await?;
    let page = Lookup { call: &call, account, wanted, open }.wait(wait).await?;
    ok(&page.map(View::from))
}

/// A look into one account's inbox.
struct Lookup<'a> {
    call: &'a Call,
    account: Uuid,
    wanted: Wanted,
    open: bool,
}

impl Lookup<'_> {
    async fn look(&self) -> Result<Page<Entry>, Problem> {
        let Self { account, wanted, open, .. } = *self;
        let entries = inbox::list(self.call.app(), account, wanted.after, wanted.rows(), open).await?;
        Ok(wanted.page(entries, |entry| entry.id))
    }

    /// The page once it holds something, or as it is after `wait`, or when the process is asked to stop.
    async fn wait(&self, wait: Duration) -> Result<Page<Entry>, Problem> {
        let page = self.look().await?;
        if !page.items.is_empty() || wait.is_zero() {
            return Ok(page);
        }
        let until = Instant::now() + wait;
        let _room = self.call.wait()?;
        let mut key = Standing::of(self.call.app(), &self.call.key);
        // Subscribed first, then looked at again: nothing falls in between.
        let mut arrivals = self.call.shared.arrivals.subscribe(self.account).await?;
        loop {
            let page = self.look().await?;
            if !key.holds().await? {
                return Err(revoked());
            }
            if !page.items.is_empty() {
                return Ok(page);
            }
            if arrivals.next_before(until).await.is_none() {
                return Ok(page);
            }
        }
    }
}

/// The entry the path names, if this key may see it.
async fn find(call: &Call) -> Result<Entry, Problem> {
    call.no_query()?;
    let entry = inbox::get(call.app(), call.id(0, "entry in the inbox")?).await?;
    entry.filter(|entry| call.may_see(&entry.account)).ok_or_else(|| Problem::not_found("entry in the inbox"))
}

/// `GET /inbox/{id}`
pub(super) async fn show(call: Call) -> Answer {
    ok(&View::from(find(&call).await?))
}

/// `POST /inbox/{id}/ack`
pub(super) async fn acknowledge(mut call: Call) -> Answer {
    let id = find(&call).await?.id;
    call.fields().await?.finish(Some(()))?;
    acknowledge_these(&call, vec![id]).await
}

/// `POST /inbox/ack`
pub(super) async fn acknowledge_many(mut call: Call) -> Answer {
    call.no_query()?;
    let mut fields = call.fields().await?;
    let ids = fields.required("ids", values::ids(MOST));
    let ids = fields.finish(ids)?;
    acknowledge_these(&call, ids).await
}

async fn acknowledge_these(call: &Call, ids: Vec<Uuid>) -> Answer {
    let own = call.key.account.as_ref().map(|account| account.id);
    let acknowledged = inbox::acknowledge(call.app(), own, &ids).await?;
    ok(&json!({ "acknowledged": acknowledged }))
}

/// `GET /inbox/count`
pub(super) async fn count(call: Call) -> Answer {
    let mut query = call.query();
    let address = query.optional("account", values::our_address(call.domain()));
    query.finish(Some(()))?;
    let account = match (&address, &call.key.account) {
        (Some(address), _) => Some(account_id(&call, address).await?),
        (None, Some(own)) => Some(own.id),
        (None, None) => None,
    };
    let (total, unacknowledged) = inbox::count(call.app(), account).await?;
    ok(&json!({"total": total, "unacknowledged": unacknowledged}))
}
