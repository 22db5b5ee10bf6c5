//! The outside ledger: an application that submits numbered messages and writes down what was answered 2xx.
//!
//! What was refused for now, or answered by silence, is submitted again under its key until it is accepted. What has no key is
//! submitted once: when the answer is lost nobody outside knows whether it was accepted, and the ledger does not say it was.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::sink::Body;

/// Webhooks that messages are spread over.
pub(crate) const WEBHOOKS: [&str; 4] = ["orders", "invoices", "alerts", "lines"];
/// Where the probes go: not held up by what the others have waiting.
pub(crate) const PROBE: &str = "probe";
/// Rows in a batch.
const ROWS: usize = 20;
/// Lines that one task feeds in turn; a line's next message is submitted when the one before is accepted.
const LINES: u64 = 10;
/// Between two submits of a task.
const PAUSE: Duration = Duration::from_millis(50);
/// A batch is as much as many singles.
const BATCH_PAUSE: Duration = Duration::from_millis(150);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The API of the node: all its ingresses, in turn.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    bases: Arc<Vec<String>>,
    key: String,
    turn: Arc<AtomicUsize>,
}

/// What came of one request.
enum Answer {
    /// 2xx, and its body.
    Yes(Value),
    /// Any other answer: not accepted.
    No(u16),
    /// None: accepted or not.
    Silence,
}

/// What was accepted.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// By number.
    pub(crate) ids: HashMap<u64, String>,
    /// Numbers that two ids were answered for.
    pub(crate) twice: Vec<u64>,
    /// Answers that were no 2xx.
    pub(crate) refused: usize,
    /// Requests that no whole answer came to.
    pub(crate) unanswered: usize,
}

/// The first ledger. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    accepted: Arc<Mutex<Accepted>>,
    next: Arc<AtomicU64>,
}

/// Messages flow until it is told to stop.
pub(crate) struct Load {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Api {
    /// Over these private listeners.
    pub(crate) fn new(bases: Vec<String>, key: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { http, bases: Arc::new(bases), key, turn: Arc::default() })
    }

    /// How many ingresses there are.
    pub(crate) fn ingresses(&self) -> usize {
        self.bases.len()
    }

    /// The same, over one ingress only.
    pub(crate) fn only(&self, ingress: usize) -> Self {
        Self { bases: Arc::new(vec![self.bases[ingress].clone()]), ..self.clone() }
    }

    /// Makes the webhooks, all of them at the sink.
    pub(crate) async fn make_webhooks(&self) -> anyhow::Result<()> {
        for name in WEBHOOKS.iter().chain(&[PROBE]) {
            let url = format!("https://{}/{name}", super::sink::HOST);
            let body = json!({"name": name, "url": url});
            match self.post("/webhooks", &body, None).await {
                Answer::Yes(_) => {}
                Answer::No(status) => anyhow::bail!("the webhook {name} was refused with {status}"),
                Answer::Silence => anyhow::bail!("the node did not answer"),
            }
        }
        Ok(())
    }

    /// Submits one message under a key until it is accepted.
    pub(crate) async fn submit_probe(&self, body: &Body, key: &str) {
        let message = json!({"webhook": PROBE, "payload": body, "lane": "interactive"});
        while !matches!(self.post("/messages", &message, Some(key)).await, Answer::Yes(_)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether an ingress says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let url = format!("{}/readyz", self.base());
        let ask = self.http.get(url).timeout(Duration::from_secs(2));
        ask.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    fn base(&self) -> &str {
        &self.bases[self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len()]
    }

    async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = self.http.post(format!("{}/api/v1{path}", self.base())).bearer_auth(&self.key).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let Ok(answer) = request.send().await else { return Answer::Silence };
        let status = answer.status();
        if !status.is_success() {
            return Answer::No(status.as_u16());
        }
        // Half an answer is none.
        answer.json().await.map_or(Answer::Silence, Answer::Yes)
    }
}

impl Ledger {
    pub(crate) fn accepted(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other message has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn note(&self, n: u64, id: &Value) {
        let Some(id) = id.as_str() else { return };
        let mut accepted = self.accepted();
        let before = accepted.ids.insert(n, id.to_owned());
        if before.is_some_and(|before| before != id) {
            accepted.twice.push(n);
        }
    }

    fn note_failed(&self, answer: &Answer) {
        match answer {
            Answer::Yes(_) => {}
            Answer::No(_) => self.accepted().refused += 1,
            Answer::Silence => self.accepted().unanswered += 1,
        }
    }
}

impl Load {
    /// Singles with and without a key, batches, and lines of messages with an ordering key, several tasks of each.
    pub(crate) fn start(api: &Api, ledger: &Ledger) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for task in 0..2 {
            let one = Submitter { api: api.clone(), ledger: ledger.clone(), stop: stop.clone() };
            tasks.spawn(one.clone().singles(true));
            tasks.spawn(one.clone().singles(false));
            tasks.spawn(one.clone().batches());
            tasks.spawn(one.lines(task));
        }
        Self { stop, tasks }
    }

    /// What is being submitted is submitted to its end; returns then.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One task of the load.
#[derive(Clone)]
struct Submitter {
    api: Api,
    ledger: Ledger,
    stop: CancellationToken,
}

impl Submitter {
    async fn singles(self, keyed: bool) {
        while self.goes_on(PAUSE).await {
            let n = self.ledger.number();
            let message = message(Body { n, line: None });
            if keyed {
                self.until_accepted(n, &message).await;
                continue;
            }
            let answer = self.api.post("/messages", &message, None).await;
            self.ledger.note_failed(&answer);
            if let Answer::Yes(answer) = answer {
                self.ledger.note(n, &answer["id"]);
            }
        }
    }

    async fn lines(self, task: u64) {
        let mut places = HashMap::new();
        for turn in 0.. {
            if !self.goes_on(PAUSE).await {
                return;
            }
            let line = format!("line-{task}-{}", turn % LINES);
            let place: &mut u64 = places.entry(line.clone()).or_default();
            let n = self.ledger.number();
            let mut message = message(Body { n, line: Some((line.clone(), *place)) });
            message["webhook"] = "lines".into();
            message["ordering_key"] = line.into();
            message["on_failure"] = "block".into();
            *place += 1;
            self.until_accepted(n, &message).await;
        }
    }

    async fn batches(self) {
        while self.goes_on(BATCH_PAUSE).await {
            let numbers: Vec<u64> = (0..ROWS).map(|_| self.ledger.number()).collect();
            let rows: Vec<Value> = numbers.iter().map(|n| message(Body { n: *n, line: None })).collect();
            let key = format!("batch-{}", numbers[0]);
            let answer = self.again_and_again("/messages/batch", &json!({"messages": rows}), &key).await;
            let results = answer["results"].as_array().cloned().unwrap_or_default();
            for result in results {
                let place = result["index"].as_u64().and_then(|place| usize::try_from(place).ok());
                if let Some(n) = place.and_then(|place| numbers.get(place)) {
                    self.ledger.note(*n, &result["id"]);
                }
            }
        }
    }

    async fn until_accepted(&self, n: u64, message: &Value) {
        let answer = self.again_and_again("/messages", message, &format!("single-{n}")).await;
        self.ledger.note(n, &answer["id"]);
    }

    /// Under one key, until the answer is yes.
    async fn again_and_again(&self, path: &str, body: &Value, key: &str) -> Value {
        loop {
            let answer = self.api.post(path, body, Some(key)).await;
            self.ledger.note_failed(&answer);
            if let Answer::Yes(answer) = answer {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn goes_on(&self, pause: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }
}

fn message(body: Body) -> Value {
    let webhook = WEBHOOKS[(body.n % 3) as usize];
    json!({"webhook": webhook, "payload": body, "lane": if body.n.is_multiple_of(2) { "bulk" } else { "interactive" }})
}
