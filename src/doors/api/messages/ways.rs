//! What each message goes over: look-ups of connections of all requests in flight share their statements, webhooks are at hand.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::App;
use crate::batch::Batcher;
use crate::connections::{self, State, Way};
use crate::openmsg::Address;
use crate::webhooks::Webhooks;

use super::super::problem::{Kind, Problem};
use super::row::To;

/// Look-ups in one statement.
const MOST: usize = 500;
/// How long a look-up lingers for others, under load only.
const LINGER: Duration = Duration::from_millis(1);

type Pair = (Address, Address);
type Found = Result<Option<Way>, Arc<connections::Error>>;

/// Look-ups of connections by both addresses.
pub(in super::super) struct Ways {
    app: App,
    batcher: Batcher<Pair, Found>,
    webhooks: Webhooks,
}

impl Ways {
    /// Starts the task that gathers look-ups.
    pub(in super::super) fn start(app: App) -> Self {
        let own = app.clone();
        let batcher = Batcher::spawn(MOST, LINGER, move |pairs: Vec<Pair>| {
            let app = own.clone();
            async move {
                match connections::find_many_by_addresses(&app, &pairs).await {
                    Ok(ways) => ways.into_iter().map(Ok).collect(),
                    Err(error) => {
                        let error = Arc::new(error);
                        pairs.iter().map(|_| Err(Arc::clone(&error))).collect()
                    }
                }
            }
        });
        Self { webhooks: Webhooks::start(&app), app, batcher }
    }

    /// What one message goes over: its connection's id, none for a webhook that exists.
    pub(in super::super) async fn open(&self, to: &To) -> Result<Option<Uuid>, Problem> {
        match to {
            To::Peer { from, to } => open(self.find(from, to).await?).map(Some),
            To::Webhook(name) => match self.webhooks.find(name.as_str()).await {
                Ok(Some(_)) => Ok(None),
                Ok(None) => Err(Problem::field("webhook", "is not known; it is created with POST /webhooks")),
                Err(error) => Err(Problem::failure(&error)),
            },
        }
    }

    /// One connection.
    async fn find(&self, from: &Address, to: &Address) -> Result<Option<Way>, Problem> {
        let found = self.batcher.call((from.clone(), to.clone())).await;
        let found = found.map_err(|stopped| Problem::failure(&stopped))?;
        found.map_err(|error| Problem::failure(&*error))
    }

    /// Many at once, in order.
    pub(in super::super) async fn find_many(&self, pairs: &[Pair]) -> Result<Vec<Option<Way>>, Problem> {
        Ok(connections::find_many_by_addresses(&self.app, pairs).await?)
    }
}

/// The connection's id, if a message may go over it.
pub(in super::super) fn open(way: Option<Way>) -> Result<Uuid, Problem> {
    let closed = |why: &str| Err(Problem::new(Kind::Conflict, why));
    let Some(way) = way else {
        return Err(Problem::field("to", "has no connection with this account: a handshake comes first"));
    };
    if way.account_disabled {
        return closed("The account is disabled.");
    }
    match way.state {
        State::Blocked => closed("The connection is blocked by our own user."),
        State::Broken => {
            closed("The connection is broken: the other side no longer knows it. A new handshake mends it.")
        }
        State::Active if !way.other_accepts => closed("The other side takes no messages over this connection."),
        State::Active => Ok(way.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_active_connection_is_open() {
        let way = Way { id: Uuid::from_u128(1), state: State::Active, other_accepts: true, account_disabled: false };
        assert_eq!(open(Some(way.clone())).unwrap(), way.id);
        let kind = |way| open(way).unwrap_err().kind();
        assert_eq!(kind(None), Kind::Invalid);
        assert_eq!(kind(Some(Way { state: State::Broken, ..way.clone() })), Kind::Conflict);
        assert_eq!(kind(Some(Way { state: State::Blocked, ..way.clone() })), Kind::Conflict);
        assert_eq!(kind(Some(Way { other_accepts: false, ..way.clone() })), Kind::Conflict);
        assert_eq!(kind(Some(Way { account_disabled: true, ..way })), Kind::Conflict);
    }
}
