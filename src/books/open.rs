//! Opening: what was handed over is committed, then published.
//!
//! Concurrent accepts share one statement, which is one commit. Deliveries of one lane and destination that are accepted
//! together share a chunk; single ones to many destinations share mixed chunks, because a chunk a message costs more than
//! anything else here. What has an ordering key joins its line ([`super::turns`]) in the same transaction.

mod admission;
mod ahead;
mod keys;
mod publishing;
mod rows;
mod statement;

use std::time::{Duration, Instant};

use self::admission::Admission;
pub use self::keys::{BatchKey, purge_keys};
use self::publishing::Publishing;
pub use self::publishing::ToPublish;
use self::rows::Rows;
use super::{Accepted, BooksError, Lane, NewMessage};
use crate::App;
use crate::batch::Batcher;
use crate::db::Transaction;
use crate::failpoint;
use crate::queue::Publisher;
use crate::telemetry::families::{ACCEPT_TIMES, REFUSED};
use crate::telemetry::traces::{self, Parent};

/// Requests in one statement at the most.
const TOGETHER: usize = 128;
/// Messages in one statement at the most, where requests are large.
const MESSAGES_TOGETHER: usize = 1000;
/// Under load only: what waits a moment shares a commit.
const LINGER: Duration = Duration::from_millis(1);

type Answer = Result<Vec<Accepted>, BooksError>;

/// What one request hands over together.
pub(in crate::books) struct Request {
    messages: Vec<NewMessage>,
    key: Option<BatchKey>,
    trace: Option<Parent>,
}

impl Request {
    /// Part of the trace of whoever calls this.
    fn new(messages: Vec<NewMessage>, key: Option<BatchKey>) -> Self {
        Self { messages, key, trace: traces::current() }
    }
}

/// Accepts messages; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    app: App,
    requests: Batcher<Request, Answer>,
    publishing: Publishing,
    admission: Admission,
}

impl Acceptor {
    /// Starts the task behind it.
    pub fn start(app: &App, publisher: &Publisher) -> Self {
        let publishing = Publishing::start(app, publisher);
        let admission = Admission::watch(app);
        let (own, sending, commits) = (app.clone(), publishing.clone(), admission.clone());
        let requests = Batcher::spawn(TOGETHER, LINGER, move |requests: Vec<Request>| {
            let (app, publishing, commits) = (own.clone(), sending.clone(), commits.clone());
            async move {
                let _committing = commits.committing();
                accept_together(&app, &publishing, requests).await
            }
        });
        Self { app: app.clone(), requests, publishing, admission }
    }

    /// One message. When this answers, it is committed.
    pub async fn accept(&self, message: NewMessage) -> Result<Accepted, BooksError> {
        let answers = self.accept_many(vec![message]).await?;
        answers.first().copied().ok_or(BooksError::Shared { passing: false })
    }

    /// Up to 1,000 messages; answers in order. All are committed, or the error says that none is known to be.
    pub async fn accept_many(&self, messages: Vec<NewMessage>) -> Answer {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.call(Request::new(messages, None)).await
    }

    async fn call(&self, request: Request) -> Answer {
        // A batch is as urgent as the most urgent of its rows.
        let lane = request.messages.iter().map(|message| message.lane).min().unwrap_or(Lane::Bulk);
        let _admitted = self.admission.admit(lane, request.messages.len()).inspect_err(|refused| {
            let backlog = matches!(refused, BooksError::Busy { backlog: true });
            REFUSED.one([if backlog { "backlog" } else { "database" }]);
        })?;
        self.requests.call(request).await?
    }

    /// Waits while the node has more than it may take of this lane: for who can hold up what brings more.
    pub async fn room(&self, lane: Lane) {
        self.admission.room(lane).await;
    }

    /// The same under one key for all of them: either all are taken now, or what was answered then is answered again. Their own
    /// keys are not looked at.
    pub async fn accept_batch(&self, messages: Vec<NewMessage>, key: BatchKey) -> Answer {
        self.call(Request::new(messages, Some(key))).await
    }

    /// Messages in the caller's transaction, for who must commit something else with them. To be published after the commit.
    pub async fn accept_in(
        &self,
        tx: &Transaction<'_>,
        messages: Vec<NewMessage>,
    ) -> Result<(Vec<Accepted>, ToPublish), BooksError> {
        let rows = Rows::lay_out(&self.app, &self.publishing, &[Request::new(messages, None)], self.app.clock.now());
        let taken = statement::insert_in(tx, &rows).await?;
        Ok((rows.answers(&taken).pop().unwrap_or_default(), rows.to_publish(taken)))
    }

    /// In the background: hands to the broker what a transaction of [`Acceptor::accept_in`] has committed.
    pub fn publish(&self, what: ToPublish) {
        self.publishing.publish(what);
    }
}

async fn accept_together(app: &App, publishing: &Publishing, requests: Vec<Request>) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(requests.len());
    let mut left = requests.into_iter().peekable();
    while left.peek().is_some() {
        let (mut together, mut messages) = (Vec::new(), 0);
        while let Some(next) = left.peek()
            && (together.is_empty() || messages + next.messages.len() <= MESSAGES_TOGETHER)
        {
            messages += next.messages.len();
            together.extend(left.next());
        }
        answers.extend(accept_some(app, publishing, together).await);
    }
    answers
}

async fn accept_some(app: &App, publishing: &Publishing, requests: Vec<Request>) -> Vec<Answer> {
    let rows = Rows::lay_out(app, publishing, &requests, app.clock.now());
    let begun = Instant::now();
    let inserted = statement::insert(app, &rows).await;
    ACCEPT_TIMES.took([], begun.elapsed());
    match inserted {
        Ok(taken) => {
            let answers = rows.answers(&taken);
            failpoint::hit(failpoint::Place::AfterCommit);
            publishing.publish(rows.to_publish(taken));
            answers.into_iter().map(Ok).collect()
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "messages could not be accepted");
            let passing = error.is_passing();
            requests.iter().map(|_| Err(BooksError::Shared { passing })).collect()
        }
    }
}
