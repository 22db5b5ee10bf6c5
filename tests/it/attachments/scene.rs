//! A node with files, and a client that puts and fetches them by their URLs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use handfast::App;
use handfast::attachments::{Allocated, Attachments};
use handfast::clock::Clock;
use handfast::config::Period;
use http::Method;

use crate::node::{Net, Node, Options};

pub(super) const DOMAIN: &str = "files.test";
pub(super) const BYTES: (&str, &str) = ("Content-Type", "application/octet-stream");

/// Headers that the snapshots show.
const SHOWN: [&str; 11] = [
    "accept-ranges",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "cache-control",
    "content-length",
    "content-range",
    "content-type",
    "retry-after",
    "x-content-type-options",
];

/// A node whose files are at most 1 MiB, unless told otherwise.
pub(super) struct Scene {
    pub(super) node: Node,
    /// The same store, as the node itself has it.
    pub(super) files: Attachments,
    pub(super) client: reqwest::Client,
    pub(super) net: Net,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(super) async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let net = Net::new();
        let url = format!("https://{DOMAIN}:{}", net.socket_of(DOMAIN).port());
        let options = Options::of(DOMAIN)
            .set("textsecure.enabled", true)
            .set("textsecure.url", url)
            .set("textsecure.attachments.largest", "1MiB");
        let node = Node::start(&net, change(options)).await;
        let files = Attachments::new(&node.app).unwrap();
        let client = client(&net, &node, |builder| builder);
        Self { node, files, client, net }
    }

    /// A new place.
    pub(super) async fn place(&self) -> Allocated {
        self.files.allocate().await.unwrap()
    }

    /// A new place with a file, and the URL to fetch it from.
    pub(super) async fn file(&self, content: &[u8]) -> (u64, String) {
        let Allocated { id, location } = self.place().await;
        assert_eq!(self.put(&location, content).await.status(), 200);
        (id, self.files.download_url(id).await.unwrap())
    }

    pub(super) async fn put(&self, url: &str, content: &[u8]) -> reqwest::Response {
        self.ask("PUT", url, &[BYTES], content.to_vec()).await
    }

    pub(super) async fn get(&self, url: &str) -> reqwest::Response {
        self.ask("GET", url, &[], Vec::new()).await
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let mut request = self.client.request(method.parse::<Method>().unwrap(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.into();
        if body.as_bytes().is_none_or(|bytes| !bytes.is_empty()) {
            request = request.body(body);
        }
        request.send().await.unwrap()
    }

    /// The node's parts at a time that was before now: what they sign for an hour is over.
    pub(super) fn earlier(&self, by: Duration) -> Attachments {
        let clock = Clock::system();
        clock.follow(clock.now() - by);
        Attachments::new(&App { clock, ..self.node.app.clone() }).unwrap()
    }

    /// What is in the folder of uploads under way.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let folder = self.node.app.config.data_dir.join("attachments/unfinished");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// A client that trusts and finds the node.
pub(super) fn client(
    net: &Net,
    node: &Node,
    change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(net.ca.pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().resolve(DOMAIN, node.public);
    change(builder.tls_certs_only([authority])).build().unwrap()
}

/// A body whose length is not told.
pub(super) fn in_chunks(parts: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> reqwest::Body {
    let parts = parts.into_iter().map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(futures_util::stream::iter(parts))
}

/// Status, the headers that matter, and the body.
pub(super) async fn shown(response: reqwest::Response) -> String {
    let mut text = response.status().to_string();
    for name in SHOWN {
        if let Some(value) = response.headers().get(name) {
            text.push_str(&format!("\n{name}: {}", value.to_str().unwrap()));
        }
    }
    let body = response.text().await.unwrap();
    if !body.is_empty() {
        text.push_str(&format!("\n\n{body}"));
    }
    text
}

pub(super) fn period(text: &str) -> Period {
    text.parse().unwrap()
}
