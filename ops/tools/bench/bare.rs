//! The yardstick of the webhook scenarios: the same bodies over the same TLS to the same sink, by an HTTP client set up like the
//! node's own. No queue, no database, no signature.
//!
//! There are two of it. *The* bare loop is what one would write: tokio's default runtime, with a thread a core. The other has one
//! thread, as the node's processes have, which makes a call cheaper and is the harder measure.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::body::{self, now_us};
use crate::latencies::Latencies;
use crate::part::{self, Orders};

/// The part with a thread a core, and the one with one thread.
pub(crate) const THREADS: &str = "bare";
pub(crate) const ONE_THREAD: &str = "bare-one-thread";
/// Calls at once.
pub(crate) const CONNECTIONS: usize = 64;

/// What the bare loop can be told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BareOrder {
    /// Whom to call; answered with nothing.
    Target {
        /// Host name.
        host: String,
        /// Its port on loopback.
        port: u16,
        /// The authority that vouches for it, PEM.
        ca_file: PathBuf,
    },
    /// As many as possible for some seconds.
    Race {
        /// How long.
        seconds: f64,
    },
    /// One every 20 ms.
    Paced {
        /// How many.
        count: u32,
    },
}

/// What it reached.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BareRate {
    pub(crate) count: u32,
    pub(crate) per_second: f64,
    /// Of each call, until its answer.
    pub(crate) latencies: Latencies,
}

/// The part's life.
pub(crate) async fn run() -> anyhow::Result<()> {
    let mut orders = Orders::new();
    let mut caller = None;
    while let Some(order) = orders.next().await? {
        match (order, &caller) {
            (BareOrder::Target { host, port, ca_file }, _) => {
                let made = Caller::new(&host, port, &ca_file);
                part::answer(made.map(|made| caller = Some(Arc::new(made))))?;
            }
            (BareOrder::Race { seconds }, Some(caller)) => {
                part::answer(caller.race(Duration::from_secs_f64(seconds)).await)?;
            }
            (BareOrder::Paced { count }, Some(caller)) => part::answer(caller.paced(count).await)?,
            (_, None) => part::answer(Err::<(), _>(anyhow::anyhow!("nobody to call")))?,
        }
    }
    Ok(())
}

struct Caller {
    client: reqwest::Client,
    url: reqwest::Url,
    number: AtomicU32,
}

impl Caller {
    fn new(host: &str, port: u16, ca_file: &std::path::Path) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(handfast::tls::client_config(Some(ca_file))?)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .pool_max_idle_per_host(CONNECTIONS)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, url: format!("https://{host}:{port}/hook/0").parse()?, number: AtomicU32::new(0) })
    }

    async fn race(self: &Arc<Self>, time: Duration) -> anyhow::Result<BareRate> {
        let begun = Instant::now();
        let one = |caller: Arc<Self>| async move {
            let mut took = Vec::new();
            while begun.elapsed() < time {
                took.push(caller.call().await?);
            }
            anyhow::Ok(took)
        };
        let tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(one(Arc::clone(self)))).collect();
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await??);
        }
        Ok(rate(took, begun.elapsed()))
    }

    async fn paced(&self, count: u32) -> anyhow::Result<BareRate> {
        let begun = Instant::now();
        let took = crate::pacing::paced(Duration::from_millis(20), count as usize, |_| self.call()).await?;
        Ok(rate(took, begun.elapsed()))
    }

    /// One call; how long it took, in milliseconds.
    async fn call(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut body = Vec::with_capacity(body::LENGTH);
        body::write(&mut body, self.number.fetch_add(1, Ordering::Relaxed), now_us());
        let mut request = reqwest::Request::new(reqwest::Method::POST, self.url.clone());
        let json = reqwest::header::HeaderValue::from_static("application/json");
        request.headers_mut().insert(reqwest::header::CONTENT_TYPE, json);
        *request.body_mut() = Some(body.into());
        let answer = self.client.execute(request).await?;
        anyhow::ensure!(answer.status().is_success(), "the bare loop was answered {}", answer.status());
        answer.bytes().await?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

fn rate(took: Vec<f64>, time: Duration) -> BareRate {
    let count = took.len() as u32;
    BareRate { count, per_second: f64::from(count) / time.as_secs_f64(), latencies: Latencies::of(took) }
}
