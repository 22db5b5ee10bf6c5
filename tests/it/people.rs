//! Accounts, keys, codes, limits, connections, handshakes and the inbox against a real database.

mod accounts;
mod codes;
mod connections;
mod handshakes;
mod inbox;
mod limits;
mod mailbox;
mod senders;

use handfast::App;
use handfast::accounts::Account;
use handfast::connections::{NewConnection, Secrets};
use handfast::openmsg::{Address, AuthCode, CryptKey, DisplayName, IdentCode};
use uuid::Uuid;

use crate::support::DOMAIN;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn own(id: u32) -> Address {
    address(&format!("{id}*{DOMAIN}"))
}

fn name(text: &str) -> DisplayName {
    text.parse().unwrap()
}

async fn account(app: &App, id: u32) -> Account {
    handfast::accounts::create(app, &own(id), &name("Shop"), true).await.unwrap().unwrap()
}

fn secrets() -> Secrets {
    Secrets { auth_code: AuthCode::random(), ident_code: IdentCode::random(), crypt_key: CryptKey::random() }
}

async fn store(app: &App, account: &Account, other: &str, secrets: &Secrets) -> Uuid {
    let new = NewConnection {
        account_id: account.id,
        own: account.address.clone(),
        other: address(other),
        other_name: name("Ada"),
        self_accepts: true,
        other_accepts: true,
        other_remembers: false,
        secrets: secrets.clone(),
    };
    handfast::connections::store(&app.db.client().await.unwrap(), app, &new).await.unwrap()
}

#[tokio::test]
async fn a_mistake_of_ours_is_not_taken_for_a_database_that_is_away() {
    let app = crate::support::fresh_app().await;
    let mistaken = app.db.row("select $1::int8", &[&"text"]).await.unwrap_err();
    assert!(!mistaken.is_passing(), "{mistaken:?}");
    let mistaken = app.db.row("select 1 / $1::int4", &[&0]).await.unwrap_err();
    assert!(!mistaken.is_passing(), "{mistaken:?}");
}
