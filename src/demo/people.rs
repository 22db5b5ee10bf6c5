//! Accounts, pass codes and handshakes.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::DemoError;
use super::closing::Pace;
use super::orders::Orders;
use super::stage::{Stage, count};
use crate::cli::{Client, Patience};

/// The shop's address.
pub(super) const SHOP: &str = "1000*shop.test";
/// Accounts in one request.
const BATCH: usize = 1000;
/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// How long a request waits for its handshake to end.
const WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Issued {
    pass_code: String,
}

#[derive(Deserialize)]
struct Handshake {
    state: String,
    error: Option<String>,
}

/// An account for the shop and one for every customer.
pub(super) async fn create_accounts(shop: &Client, customers: &Client, orders: &Orders) -> Result<(), DemoError> {
    create(shop, &[json!({"address": SHOP, "name": "The CD shop"})]).await?;
    let stage = Stage::of("accounts", orders.customers.len());
    let accounts: Vec<Value> = (0..orders.customers.len())
        .map(|n| json!({"address": orders.address(n), "name": format!("Customer {}", orders.customers[n])}))
        .collect();
    let mut done = 0;
    for batch in accounts.chunks(BATCH) {
        create(customers, batch).await?;
        done += batch.len() as u64;
        stage.at(done);
    }
    stage.end(&format!("{} accounts on customers.test", count(done)));
    Ok(())
}

async fn create(client: &Client, accounts: &[Value]) -> Result<(), DemoError> {
    let call = client.post(&["accounts", "batch"]).json(json!({"accounts": accounts})).idempotent();
    let answer: Value = call.parse().await?;
    let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    match results.iter().find(|result| result.get("error").is_some()) {
        Some(refused) => Err(DemoError::Wrong(format!("an account was refused: {}", refused["error"]))),
        None if results.len() == accounts.len() => Ok(()),
        None => Err(DemoError::Wrong("a batch of accounts was answered in part".into())),
    }
}

/// A pass code from every customer, and a handshake of the shop with it.
pub(super) async fn shake_hands(shop: &Client, customers: &Client, orders: &Orders) -> Result<Pace, DemoError> {
    let stage = Stage::of("handshakes", orders.customers.len());
    let begun = Instant::now();
    let mut took = Vec::with_capacity(orders.customers.len());
    let mut running = stream::iter((0..orders.customers.len()).map(|n| shake(shop, customers, orders.address(n))))
        .buffer_unordered(AT_ONCE);
    while let Some(milliseconds) = running.try_next().await? {
        took.push(milliseconds);
        stage.at(took.len() as u64);
    }
    stage.end(&format!("{} handshakes, each with a pass code of its own", count(took.len() as u64)));
    Ok(Pace::of(took, begun.elapsed()))
}

/// One; with the handshake's milliseconds.
async fn shake(shop: &Client, customers: &Client, to: String) -> Result<f64, DemoError> {
    let patience = Patience::long(Duration::from_secs(60));
    let code = customers.post(&["accounts", &to, "passcodes"]).json(json!({})).patience(patience);
    let code: Issued = code.parse().await?;
    let begun = Instant::now();
    let call = shop.post(&["connections"]).query("wait", WAIT.as_secs()).held(WAIT).patience(patience);
    let body = json!({"from": SHOP, "to": to, "pass_code": code.pass_code});
    let handshake: Handshake = call.json(body).parse().await?;
    if handshake.state == "connected" {
        return Ok(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let why = handshake.error.unwrap_or(handshake.state);
    Err(DemoError::Wrong(format!("the handshake with {to} did not succeed: {why}")))
}
