//! What the endpoints look up, many requests in one statement.

use std::time::Duration;

use crate::App;
use crate::batch::Batcher;
use crate::books;
use crate::connections::{self, Found};
use crate::inbox::{self, Seen};
use crate::openmsg::{Address, IdentCode};

const TOGETHER: usize = 200;
/// Under load only.
const LINGER: Duration = Duration::from_millis(1);

/// The database was away or refused: answered "temporarily".
#[derive(Debug, Clone, Copy)]
pub(super) struct NotKnown;

/// What a `message-receive` is looked up by.
pub(super) struct Lookup {
    pub(super) own: Address,
    pub(super) ident: IdentCode,
    /// None where the package has none.
    pub(super) nonce: Option<[u8; 24]>,
    pub(super) hash: [u8; 32],
}

/// What is known of it.
pub(super) struct Known {
    /// The connection.
    pub(super) found: Option<Found>,
    /// The nonce.
    pub(super) seen: Seen,
    /// Where the hash is one of our own POSTs in flight: its recipient.
    pub(super) our_own_for: Option<String>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Lookups {
    messages: Batcher<Lookup, Result<Known, NotKnown>>,
    confirms: Batcher<([u8; 32], String), Result<bool, NotKnown>>,
}

impl Lookups {
    /// Starts the tasks behind it.
    pub(super) fn start(app: &App) -> Self {
        let for_messages = app.clone();
        let messages = Batcher::spawn(TOGETHER, LINGER, move |lookups: Vec<Lookup>| {
            let app = for_messages.clone();
            async move {
                let n = lookups.len();
                match look_many(&app, lookups).await {
                    Ok(known) => known,
                    Err(error) => {
                        tracing::warn!(%error, "messages from outside could not be looked up");
                        (0..n).map(|_| Err(NotKnown)).collect()
                    }
                }
            }
        });
        let for_confirms = app.clone();
        let confirms = Batcher::spawn(TOGETHER, LINGER, move |asked: Vec<([u8; 32], String)>| {
            let app = for_confirms.clone();
            async move {
                match books::confirm_many(&app, &asked).await {
                    Ok(known) => known.into_iter().map(Ok).collect(),
                    Err(error) => {
                        tracing::warn!(%error, "message-confirms could not be looked up");
                        asked.iter().map(|_| Err(NotKnown)).collect()
                    }
                }
            }
        });
        Self { messages, confirms }
    }

    pub(super) async fn look(&self, lookup: Lookup) -> Result<Known, NotKnown> {
        self.messages.call(lookup).await.unwrap_or(Err(NotKnown))
    }

    /// Whether we are sending this message; committed as asked for when this returns true.
    pub(super) async fn confirm(&self, hash: [u8; 32], nonce: String) -> Result<bool, NotKnown> {
        self.confirms.call((hash, nonce)).await.unwrap_or(Err(NotKnown))
    }
}

async fn look_many(app: &App, lookups: Vec<Lookup>) -> anyhow::Result<Vec<Result<Known, NotKnown>>> {
    let idents: Vec<_> = lookups.iter().map(|lookup| (lookup.own.clone(), lookup.ident.clone())).collect();
    let hashes: Vec<[u8; 32]> = lookups.iter().map(|lookup| lookup.hash).collect();
    let found = connections::find_by_ident_many(app, idents).await?;
    let ours = books::asked(app, &hashes).await?;
    // What has no connection or no nonce cannot have been seen.
    let askable = |(place, (found, lookup)): (usize, (&Result<Option<Found>, _>, &Lookup))| {
        let connection = found.as_ref().ok()?.as_ref()?.keyed.connection.id;
        Some((place, (connection, lookup.nonce?, lookup.hash)))
    };
    let (places, asked): (Vec<usize>, Vec<_>) = found.iter().zip(&lookups).enumerate().filter_map(askable).unzip();
    let mut seen = vec![Seen::New; lookups.len()];
    for (place, answer) in places.iter().zip(inbox::seen_many(app, asked).await?) {
        seen[*place] = answer;
    }
    let known = lookups.iter().zip(found).zip(seen).map(|((lookup, found), seen)| {
        let found = found.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a connection cannot be read");
            NotKnown
        })?;
        Ok(Known { found, seen, our_own_for: ours.get(&lookup.hash).cloned() })
    });
    Ok(known.collect())
}
