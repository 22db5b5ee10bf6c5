//! A message on its way, and how much one account may begin: messages, handshakes, pass codes.

use std::time::Duration;

use uuid::Uuid;

use super::Error;
use crate::App;
use crate::accounts::Account;
use crate::books::{Accepted, Acceptor, Expiry, Key, Lane, NewMessage, Order, Way};
use crate::connections::{self, State};
use crate::db::DbError;
use crate::limits::{self, Verdict};
use crate::openmsg::Address;

/// The name under which messages of the mailbox are in the books, and its handshakes.
pub const SENDER: &str = "mailbox";

/// What an account may do so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Send a message.
    Message,
    /// Try a pass code at another node.
    Handshake,
    /// Ask for a pass code.
    PassCode,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the books, under this id; also where the same form came twice.
    Accepted(Uuid),
    /// There is no connection.
    NotConnected,
    /// The account's user has blocked the other.
    Blocked,
    /// The other's node answers that the connection is void; a new handshake mends it.
    Broken,
    /// The other takes no messages.
    Unwanted,
}

/// Counts one, and says whether it may be done.
pub async fn allowed(app: &App, account: Uuid, what: Allowance) -> Result<bool, DbError> {
    let settings = &app.config.mailbox;
    let (scope, window, most) = match what {
        Allowance::Message => ("mailbox-messages", 60, settings.messages_per_minute),
        Allowance::Handshake => ("mailbox-handshakes", 3600, settings.handshakes_per_hour),
        Allowance::PassCode => ("mailbox-codes", 3600, settings.codes_per_hour),
    };
    let counted = limits::count(app, scope, &account.to_string(), Duration::from_secs(window), most).await?;
    Ok(counted == Verdict::Within)
}

/// Hands a message over. `once` is the form's own word: the same form sent twice is one message.
pub async fn send(
    app: &App,
    acceptor: &Acceptor,
    account: &Account,
    other: &Address,
    text: String,
    once: &str,
) -> Result<Sent, Error> {
    let Some(connection) = connections::find_by_addresses(app, &account.address, other).await? else {
        return Ok(Sent::NotConnected);
    };
    match connection.state {
        State::Blocked => return Ok(Sent::Blocked),
        State::Broken => return Ok(Sent::Broken),
        State::Active if !connection.other_accepts => return Ok(Sent::Unwanted),
        State::Active => {}
    }
    let way = Way::Openmsg { connection: connection.id, from: account.address.clone(), to: other.clone() };
    // With the text: who goes back, writes something else and sends the form again means another message.
    let key = Key { scope: Some(format!("{SENDER} {}", account.id)), text: format!("{once} {text}"), life: None };
    let message = NewMessage {
        sender: SENDER.to_owned(),
        way,
        lane: Lane::Interactive,
        tag: None,
        content: text.into_bytes(),
        expiry: Expiry::In(app.config.delivery.lifetime.duration()),
        deliver_at: None,
        // What one person writes to another is read in that order, also where the first has to be tried again.
        order: Some(Order { key: format!("{SENDER} {}", connection.id), skip: true }),
        campaign: None,
        held: false,
        key: Some(key),
    };
    Ok(match acceptor.accept(message).await? {
        Accepted::New(id) | Accepted::Replayed(id) => Sent::Accepted(id),
        // The same form and text, over a connection that was deleted and made again meanwhile.
        Accepted::Mismatch | Accepted::RefusedBefore => Sent::NotConnected,
    })
}
