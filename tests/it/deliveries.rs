//! Dead letters, replays, cancels, operations: rows made through the books, as a worker would make them.

mod cancels;
mod finding;
mod operations;
mod replays;
mod settles;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use handfast::App;
use handfast::books::{
    self, Accepted, Acceptor, Attempt, Claimed, DeliveryId, Expiry, Filter, Held, Lane, NewMessage, Order, Outcome,
    Settle, Settled, State, Then, Way,
};
use handfast::queue::Publisher;
use handfast::retry::Next;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::fresh_app;

const LEASE: Duration = Duration::from_secs(60);

/// A node's books, and a worker that does as it is told.
struct Stage {
    app: App,
    acceptor: Acceptor,
    worker: Uuid,
    /// Where each delivery goes.
    going: Mutex<HashMap<DeliveryId, String>>,
    _stop: tokio_util::sync::DropGuard,
}

/// How a try is to end.
#[derive(Clone, Copy)]
struct End {
    next: fn() -> Next,
    outcome: Outcome,
    status: Option<u16>,
    code: Option<&'static str>,
}

const DELIVERED: End = End { next: || Next::Delivered, outcome: Outcome::Delivered, status: Some(200), code: None };
const NOT_FOUND: End =
    End { next: || Next::Fail("refused"), outcome: Outcome::RefusedForGood, status: Some(404), code: Some("http-404") };
const BUSY: End = End {
    next: || Next::Again(Duration::from_secs(600)),
    outcome: Outcome::RefusedForNow,
    status: Some(503),
    code: Some("http-503"),
};
const TOO_OLD: End = End { next: || Next::Expire, outcome: Outcome::NotSent, status: None, code: Some("timeout") };
const UNSURE: End =
    End { next: || Next::Unconfirmed, outcome: Outcome::Unknown, status: None, code: Some("no-answer") };

impl Stage {
    async fn new() -> Self {
        let app = fresh_app().await;
        let stop = CancellationToken::new();
        let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
        let stage = Self { worker: app.new_id(), acceptor, app, going: Mutex::default(), _stop: stop.drop_guard() };
        books::renew(&stage.app, stage.worker, true, LEASE).await.unwrap();
        stage
    }

    fn message(&self, destination: &str, tag: &str) -> NewMessage {
        NewMessage {
            sender: "shop".into(),
            way: Way::Webhook { name: destination.into() },
            lane: Lane::Bulk,
            tag: Some(tag.into()),
            content: b"\0\0\0\0{}".to_vec(),
            expiry: Expiry::In(Duration::from_secs(3600)),
            deliver_at: None,
            order: None,
            campaign: None,
            held: false,
            key: None,
        }
    }

    async fn accept(&self, messages: Vec<NewMessage>) -> Vec<Uuid> {
        let mut ids = Vec::new();
        let going: Vec<String> = messages.iter().map(|message| message.way.destination().to_owned()).collect();
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let answers = self.acceptor.accept_many(messages.by_ref().take(1000).collect()).await.unwrap();
            ids.extend(answers.into_iter().map(|answer| match answer {
                Accepted::New(id) => id,
                other => panic!("not new: {other:?}"),
            }));
        }
        self.going.lock().unwrap().extend(ids.iter().map(|id| place(*id)).zip(going));
        ids
    }

    async fn open(&self, n: usize, destination: &str, tag: &str) -> Vec<Uuid> {
        self.accept((0..n).map(|_| self.message(destination, tag)).collect()).await
    }

    /// Claims all chunks of these, as far as they can be had.
    async fn claim(&self, ids: &[Uuid]) -> Vec<(Uuid, Claimed)> {
        let chunks: BTreeSet<Uuid> = ids.iter().map(|id| place(*id).chunk).collect();
        let chunks: Vec<Uuid> = chunks.into_iter().collect();
        let claimed = books::claim_chunks(&self.app, self.worker, self.app.new_id(), &chunks).await.unwrap();
        claimed.into_iter().collect()
    }

    /// Claims the chunks of these and ends every delivery of them.
    async fn end(&self, ids: &[Uuid], end: End) {
        for (chunk, claimed) in self.claim(ids).await {
            let all: Vec<DeliveryId> = claimed.deliveries.iter().map(|delivery| delivery.id).collect();
            self.settle(claimed.claim, Held::Chunk { id: chunk, then: Then::Done }, &all, end).await;
        }
    }

    /// Claims these, which are due again, and ends them.
    async fn end_again(&self, ids: &[Uuid], end: End) -> usize {
        let again: Vec<DeliveryId> = ids.iter().map(|id| place(*id)).collect();
        let claimed = books::claim_again(&self.app, self.worker, self.app.new_id(), &again).await.unwrap();
        let all: Vec<DeliveryId> = claimed.deliveries.iter().map(|delivery| delivery.id).collect();
        self.settle(claimed.claim, Held::Again, &all, end).await;
        all.len()
    }

    async fn settle(&self, claim: Uuid, held: Held, ids: &[DeliveryId], end: End) {
        let results = ids.iter().map(|id| self.settled(*id, end, true)).collect();
        let settle = Settle { claim, held, results, worker: self.worker };
        books::settle_many(&self.app, &[settle]).await.unwrap();
    }

    fn settled(&self, id: DeliveryId, end: End, tried: bool) -> Settled {
        Settled {
            id,
            lane: Lane::Bulk,
            destination: self.going.lock().unwrap()[&id].clone(),
            tries: u16::from(tried),
            attempt: tried.then(|| Attempt {
                at: self.app.clock.now(),
                ms: 1,
                outcome: end.outcome,
                status: end.status,
                code: end.code.map(str::to_owned),
                answer: None,
            }),
            next: (end.next)(),
            reason: end.code.map(str::to_owned),
            hash: None,
            ordered: false,
        }
    }

    async fn state(&self, id: Uuid) -> State {
        books::delivery(&self.app, id).await.unwrap().expect("a delivery").state
    }

    /// How many of these are in which state.
    async fn states(&self, ids: &[Uuid]) -> BTreeMap<&'static str, usize> {
        let mut states = BTreeMap::new();
        for id in ids {
            *states.entry(self.state(*id).await.name()).or_default() += 1;
        }
        states
    }

    /// All that a filter finds, in pages of `limit`.
    async fn found(&self, filter: &Filter, limit: usize) -> Vec<Uuid> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let found = books::deliveries(&self.app, filter, after, limit).await.unwrap();
            assert!(found.items.len() <= limit);
            all.extend(found.items.iter().map(|delivery| delivery.id));
            match found.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }

    /// Carries operations on until there is nothing to do.
    async fn carry_all(&self) {
        while let Some(id) = books::take_operation(&self.app, self.worker, true).await.unwrap() {
            while let books::Carried::More(_) = books::carry(&self.app, self.worker, id).await.unwrap() {}
        }
    }

    async fn count(&self, sql: &str) -> i64 {
        self.app.db.row(sql, &[]).await.unwrap().unwrap().get(0)
    }
}

fn place(id: Uuid) -> DeliveryId {
    DeliveryId::from_uuid(id).unwrap()
}

fn tagged(tag: &str) -> Filter {
    Filter { tag: Some(tag.into()), ..Filter::default() }
}

fn going_to(destination: &str) -> Filter {
    Filter { destination: Some(destination.into()), ..Filter::default() }
}

fn in_line(mut message: NewMessage, key: &str) -> NewMessage {
    message.order = Some(Order { key: key.into(), skip: false });
    message
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort_unstable();
    ids
}
