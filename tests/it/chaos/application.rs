//! An application that hands messages over and does not give up: what is refused for now, or whose answer is lost, it hands over
//! again under the same key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::node::Node;

/// Rows in one batch or stream.
const ROWS: usize = 10;
/// Between two tries, and between two requests: an application, not a flood.
const PAUSE: Duration = Duration::from_millis(30);

/// One message. Its text is its key too: unlike every other text of the test.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
}

/// The first ledger: what was accepted, by text, with its id. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Accepted {
    ids: Arc<Mutex<BTreeMap<String, String>>>,
    refused: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

/// How rows are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Single,
    Batch,
    Lines,
}

/// Calls a node's API. Cheap to clone.
#[derive(Clone)]
pub(super) struct Application {
    http: reqwest::Client,
    messages: String,
    key: String,
    pub(super) accepted: Accepted,
}

/// Messages flow until it is told to stop.
pub(super) struct Stream {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    accepted: Accepted,
}

impl Accepted {
    /// How many.
    pub(super) async fn len(&self) -> usize {
        self.ids.lock().await.len()
    }

    /// Texts and ids.
    pub(super) async fn all(&self) -> BTreeMap<String, String> {
        self.ids.lock().await.clone()
    }

    /// How often the node said 503, or SM_E008's cousin of a row.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often no whole answer came.
    pub(super) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// # Panics
    /// When the same key was answered with another id before.
    async fn note(&self, text: &str, id: &Value) {
        let id = id.as_str().expect("an id").to_owned();
        let before = self.ids.lock().await.insert(text.to_owned(), id.clone());
        assert!(before.is_none_or(|before| before == id), "{text} was accepted twice");
    }
}

impl Application {
    /// One that uses this node.
    pub(super) fn of(node: &Node) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        let messages = format!("http://{}/api/v1/messages", node.private);
        Self { http, messages, key: node.key().to_owned(), accepted: Accepted::default() }
    }

    /// The same application over another ingress of that node, with a ledger of its own.
    pub(super) fn over(&self, private: std::net::SocketAddr) -> Self {
        let messages = format!("http://{private}/api/v1/messages");
        Self { messages, accepted: Accepted::default(), ..self.clone() }
    }

    /// Hands rows over, again and again, until every one of them is accepted.
    pub(super) async fn hand_over(&self, rows: &[Row], way: Way) {
        let mut left: Vec<&Row> = rows.iter().collect();
        loop {
            let done = match way {
                Way::Single => self.single(left[0]).await,
                Way::Batch => self.batch(&left).await,
                Way::Lines => self.lines(&left).await,
            };
            let done = done.unwrap_or_else(|error: reqwest::Error| {
                assert!(!error.is_builder(), "{error}");
                self.accepted.lost.fetch_add(1, Ordering::Relaxed);
                Vec::new()
            });
            for (index, id) in &done {
                self.accepted.note(&left[*index].text, id).await;
            }
            left = left
                .into_iter()
                .enumerate()
                .filter(|(n, _)| done.iter().all(|(m, _)| m != n))
                .map(|(_, r)| r)
                .collect();
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Keeps handing over, from several tasks, each way in turn, over `routes` (from, to); `most` messages at the most.
    pub(super) fn stream(&self, routes: &[(String, String)], tasks: usize, most: usize) -> Stream {
        self.stream_named("stream", routes, tasks, most)
    }

    /// The same, for one stream of several: their texts begin with its name.
    pub(super) fn stream_named(&self, name: &str, routes: &[(String, String)], tasks: usize, most: usize) -> Stream {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let (this, stop, routes) = (self.clone(), stop.clone(), routes.to_vec());
            let name = format!("{name}-{task}");
            running.spawn(async move {
                let mut n = 0;
                for way in [Way::Single, Way::Batch, Way::Lines].into_iter().cycle() {
                    if stop.is_cancelled() || n * tasks >= most {
                        return;
                    }
                    let rows = rows(&routes, &name, n, if way == Way::Single { 1 } else { ROWS });
                    this.hand_over(&rows, way).await;
                    n += rows.len();
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Stream { stop, tasks: running, accepted: self.accepted.clone() }
    }

    async fn single(&self, row: &Row) -> reqwest::Result<Vec<(usize, Value)>> {
        let body = json!({"from": row.from, "to": row.to, "text": row.text});
        let request = self.http.post(&self.messages).bearer_auth(&self.key).header("idempotency-key", &row.text);
        let Some(answer) = self.answer(request.json(&body)).await? else { return Ok(Vec::new()) };
        let body: Value = answer.json().await?;
        Ok(vec![(0, body["id"].clone())])
    }

    async fn batch(&self, rows: &[&Row]) -> reqwest::Result<Vec<(usize, Value)>> {
        let body = json!({"messages": rows.iter().map(|row| line(row)).collect::<Vec<_>>()});
        let request = self.http.post(format!("{}/batch", self.messages)).bearer_auth(&self.key).json(&body);
        let Some(answer) = self.answer(request).await? else { return Ok(Vec::new()) };
        let body: Value = answer.json().await?;
        Ok(body["results"].as_array().expect("results").iter().filter_map(|result| self.result(result)).collect())
    }

    async fn lines(&self, rows: &[&Row]) -> reqwest::Result<Vec<(usize, Value)>> {
        let body: String = rows.iter().map(|row| format!("{}\n", line(row))).collect();
        let request = self.http.post(format!("{}/batch", self.messages)).bearer_auth(&self.key);
        let request = request.header("content-type", "application/x-ndjson").body(body);
        let Some(mut answer) = self.answer(request).await? else { return Ok(Vec::new()) };
        // What arrived before a break counts: it was answered.
        let mut bytes = Vec::new();
        while let Ok(Some(part)) = answer.chunk().await {
            bytes.extend_from_slice(&part);
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let results = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let results = results.map(|line| serde_json::from_slice::<Value>(line).expect("a line of JSON"));
        Ok(results.filter_map(|result| self.result(&result)).collect())
    }

    /// `None`: refused for now.
    ///
    /// # Panics
    /// When it is refused in any other way.
    async fn answer(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Option<reqwest::Response>> {
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(Some(answer));
        }
        let (status, again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let body = answer.text().await.unwrap_or_default();
        assert!(status == 503 && again, "refused with {status}, Retry-After: {again}: {body}");
        self.accepted.refused.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    /// # Panics
    /// When a row is refused otherwise than for now.
    fn result(&self, result: &Value) -> Option<(usize, Value)> {
        if let Some(error) = result.get("error") {
            assert_eq!(error["status"], 503, "{error}");
            self.accepted.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some((result["index"].as_u64().expect("an index") as usize, result["id"].clone()))
    }
}

impl Stream {
    /// What was accepted so far.
    pub(super) fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Stops when everything that was begun is accepted.
    pub(super) async fn stop(mut self) -> Accepted {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a task that did not panic");
        }
        self.accepted
    }
}

fn rows(routes: &[(String, String)], name: &str, begin: usize, n: usize) -> Vec<Row> {
    let row = |n: usize| {
        let (from, to) = routes[n % routes.len()].clone();
        Row { from, to, text: format!("{name}-{n}") }
    };
    (begin..begin + n).map(row).collect()
}

fn line(row: &Row) -> Value {
    json!({"from": row.from, "to": row.to, "text": row.text, "key": row.text})
}
