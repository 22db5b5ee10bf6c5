//! Reads the directories of federated nodes, each by one worker at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::DbError;
use crate::directory::peers::{self, Turn};
use crate::federation::{PeerError, UserCount, UserTokens};
use crate::jobs::CallPeer;
use crate::textsecure::{Token, TokenText};
use crate::worker::Crew;

/// How often it is looked whether one is due.
const EVERY: Duration = Duration::from_secs(1);
/// A peer that lists more is read no further: 20 bytes of memory each.
const MOST: usize = 10_000_000;
/// For one page.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a directory could not be read to its end.
enum Failed {
    /// The peer: in a word.
    Peer(String),
    /// Our books.
    Db(DbError),
    /// Another reader has the turn, or this process stops.
    Left,
}

/// Looks every second, until `stop`.
pub async fn run(crew: Crew, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut followed = false;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = round(&crew, &stop, &mut followed).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "directories of peers could not be looked after");
        }
    }
}

async fn round(crew: &Crew, stop: &CancellationToken, followed: &mut bool) -> Result<(), DbError> {
    let app = &crew.app;
    if !*followed {
        peers::follow_settings(app).await?;
        *followed = true;
    }
    if app.config.textsecure.peers.is_empty() {
        return Ok(());
    }
    let Some(turn) = peers::turn(app).await? else { return Ok(()) };
    match read(crew, &turn, stop).await {
        Ok((listed, complete)) => {
            turn.done(app, &listed, complete).await?;
            tracing::info!(peer = turn.peer, contacts = listed.len(), "the directory of a peer was read");
        }
        Err(Failed::Peer(why)) => {
            tracing::warn!(peer = turn.peer, why, "the directory of a peer could not be read");
            turn.failed(app, &why).await?;
        }
        Err(Failed::Left) => turn.failed(app, "left").await?,
        Err(Failed::Db(error)) => return Err(error),
    }
    Ok(())
}

/// Every active token that the peer lists, and whether it listed as many as it said.
async fn read(crew: &Crew, turn: &Turn, stop: &CancellationToken) -> Result<(BTreeSet<Token>, bool), Failed> {
    let UserCount { count } = ask(crew, turn, "user_count".into()).await?;
    let count = usize::try_from(count).map_err(|_| Failed::Peer("count".into()))?;
    let (mut seen, mut listed) = (0, BTreeSet::new());
    while seen < count {
        if stop.is_cancelled() {
            return Err(Failed::Left);
        }
        let page: UserTokens = ask(crew, turn, format!("user_tokens/{seen}")).await?;
        if page.contacts.is_empty() {
            break;
        }
        seen += page.contacts.len();
        if seen > MOST {
            return Err(Failed::Peer("too-many".into()));
        }
        let (mut active, mut inactive) = (Vec::new(), Vec::new());
        for contact in page.contacts {
            // What is no token stands for nobody.
            let TokenText::Token(token) = TokenText::read(&contact.token) else { continue };
            if contact.inactive {
                inactive.push(token);
            } else {
                active.push((token, contact.supports_sms));
                listed.insert(token);
            }
        }
        if !turn.page(&crew.app, &active, &inactive).await.map_err(Failed::Db)? {
            return Err(Failed::Left);
        }
    }
    // Pages are counted from the first on: who goes while they are read moves the others, and one is passed over.
    let UserCount { count: after } = ask(crew, turn, "user_count".into()).await?;
    Ok((listed, seen == count && usize::try_from(after) == Ok(count)))
}

async fn ask<T: serde::de::DeserializeOwned>(crew: &Crew, turn: &Turn, what: String) -> Result<T, Failed> {
    let path = format!("/v1/federation/{what}");
    let call = CallPeer { peer: turn.peer.clone(), get: true, path, body: String::new() };
    let answer = crew.peers.call(&call, PATIENCE).await.map_err(|error| match error {
        PeerError::Unknown => Failed::Peer("unknown".into()),
        PeerError::Call(error) => Failed::Peer(error.kind.word().into()),
    })?;
    if answer.status != 200 {
        return Err(Failed::Peer(format!("http_{}", answer.status)));
    }
    serde_json::from_slice(&answer.body).map_err(|_| Failed::Peer("unreadable".into()))
}
