//! An S3-compatible store: clients put and fetch by URLs that it checks itself.
//!
//! Signing (AWS Signature Version 4 in the query) is arithmetic with keys from the settings; no metadata service and no environment
//! variable is asked for any. The only call is the one that deletes, made by workers.
//!
//! That call is the one exception to [`crate::outbound`]: it goes through the object store's own client. The guard there protects
//! from addresses that strangers choose; where this goes is named by the operator in `textsecure.attachments.endpoint`, very often
//! inside the operator's own network, and no stranger has a say in it: the key of an object is a number.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Certificate, ClientOptions, ObjectStoreExt, RetryConfig};

use super::{Error, Operation};
use crate::config::{Config, Mode};

/// For one request of ours, and for all its repetitions.
const AT_MOST: Duration = Duration::from_secs(10);

/// Where the files are; cheap to clone.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
}

impl Bucket {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let settings = &config.textsecure.attachments;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_access_key_id(settings.access_key.reveal())
            .with_secret_access_key(settings.secret_key.reveal())
            // Not every compatible store can delete many at once.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 2, retry_timeout: AT_MOST, ..RetryConfig::default() })
            .with_client_options(client(config)?);
        if !settings.region.is_empty() {
            builder = builder.with_region(&settings.region);
        }
        // Amazon wants the bucket as a host name, which its certificate covers if there is no dot in it; others know it as a path.
        builder = match settings.endpoint.as_str() {
            "" => builder.with_virtual_hosted_style_request(!settings.bucket.contains('.')),
            endpoint => builder.with_endpoint(endpoint),
        };
        Ok(Self { store: Arc::new(builder.build()?) })
    }

    /// The presigned URL. Nothing but the host is signed with it, so clients send what `Content-Type` they like, or none.
    pub(super) async fn url(&self, operation: Operation, id: u64, life: Duration) -> Result<String, Error> {
        let method = match operation {
            Operation::Put => Method::PUT,
            Operation::Get => Method::GET,
        };
        Ok(self.store.signed_url(method, &key(id), life).await?.into())
    }

    /// Deletes a file; one that is not there is deleted already.
    pub(super) async fn delete(&self, id: u64) -> Result<(), Error> {
        match self.store.delete(&key(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Trusts what other calls trust.
fn client(config: &Config) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new()
        .with_allow_http(config.mode == Mode::Development)
        .with_timeout(AT_MOST)
        .with_connect_timeout(config.outbound.connect_timeout.duration());
    if let Some(path) = &config.outbound.ca_file {
        let pem = std::fs::read(path).map_err(|error| Error::store(&error))?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn key(id: u64) -> Path {
    Path::from(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bucket: &str, endpoint: &str) -> Config {
        let mut config = Config::default();
        let attachments = &mut config.textsecure.attachments;
        attachments.store = crate::config::textsecure::Store::S3;
        attachments.bucket = bucket.into();
        attachments.endpoint = endpoint.into();
        attachments.region = "eu-central-1".into();
        attachments.access_key = String::from("key").into();
        attachments.secret_key = String::from("secret").into();
        config
    }

    async fn url(bucket: &str, endpoint: &str) -> String {
        crate::tls::install_provider();
        let bucket = Bucket::new(&config(bucket, endpoint)).unwrap();
        bucket.url(Operation::Get, 42, Duration::from_secs(60)).await.unwrap()
    }

    #[tokio::test]
    async fn a_bucket_is_a_host_at_amazon_s_and_a_path_elsewhere() {
        let cases = [
            ("files", "", "https://files.s3.eu-central-1.amazonaws.com/42?"),
            ("our.files", "", "https://s3.eu-central-1.amazonaws.com/our.files/42?"),
            ("files", "https://store.example:9000", "https://store.example:9000/files/42?"),
        ];
        for (bucket, endpoint, beginning) in cases {
            let url = url(bucket, endpoint).await;
            assert!(url.starts_with(beginning), "{url}");
            assert!(url.contains("X-Amz-Expires=60&") && url.contains("X-Amz-SignedHeaders=host&"), "{url}");
        }
    }
}
