//! As much of the API as the benchmark needs.

use anyhow::Context;
use handfast::demo::town::TownNode;
use serde_json::Value;

/// A client of one node.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    metrics: String,
    key: String,
}

impl Api {
    pub(crate) fn of(node: &TownNode) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(256).build()?;
        let (base, metrics) = (format!("{}api/v1", node.api_url), format!("{}metrics", node.api_url));
        Ok(Self { http, base, metrics, key: node.api_key.reveal().to_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(self.http.get(format!("{}{path}", self.base)), path).await
    }

    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        Ok(self.http.get(&self.metrics).send().await?.error_for_status()?.text().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(self.http.post(format!("{}{path}", self.base)).json(body), path).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(self.http.patch(format!("{}{path}", self.base)).json(body), path).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Value> {
        let response = request.bearer_auth(&self.key).send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{path}: not JSON"))
    }
}
