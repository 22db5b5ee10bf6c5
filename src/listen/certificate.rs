//! The listener's certificate, read again when its files change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::tls::{self, TlsError};

/// What handshakes use at the moment.
#[derive(Debug)]
pub(super) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// Taken before the files were first read, so that no change between then and the watch is missed.
    at_first: u64,
}

impl Certificate {
    /// Reads both files; anything wrong with them is an error.
    pub(super) fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let at_first = Self::fingerprint(cert, key);
        let current = RwLock::new(Arc::new(tls::server_certificate(cert, key)?));
        let loaded = Self { cert: cert.to_owned(), key: key.to_owned(), current, at_first };
        loaded.tell("TLS certificate loaded");
        Ok(loaded)
    }

    /// TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1, always with the certificate of the moment.
    pub(super) fn server_config(self: &Arc<Self>) -> ServerConfig {
        let versions =
            ServerConfig::builder_with_provider(Arc::new(tls::provider())).with_safe_default_protocol_versions();
        // Unwrap safety: the provider is fixed at compile time and supports both versions.
        let builder = versions.expect("the provider supports the default versions");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// Looks at the files every `period`, until `stop`. A pair that cannot be used is reported once, and the old one stays;
    /// so a certificate that is replaced before its key does no harm.
    pub(super) async fn watch(self: Arc<Self>, period: Duration, stop: CancellationToken) {
        let mut seen = self.at_first;
        while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let this = Arc::clone(&self);
            // The files may lie on a slow file system.
            let looked = tokio::task::spawn_blocking(move || this.look(seen)).await;
            seen = looked.unwrap_or(seen);
        }
    }

    /// One look, given what the last one saw; answers what this one saw.
    pub(super) fn look(&self, seen: u64) -> u64 {
        let now = Self::fingerprint(&self.cert, &self.key);
        if now != seen {
            match tls::server_certificate(&self.cert, &self.key) {
                Ok(new) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                    self.tell("TLS certificate reloaded");
                }
                Err(error) => {
                    tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays in use")
                }
            }
        }
        now
    }

    /// The leaf certificate that the next handshake gets, for the tests.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> Vec<u8> {
        self.current.read().unwrap().end_entity_cert().unwrap().to_vec()
    }

    /// By content, because a renewal may keep time and length.
    fn fingerprint(cert: &Path, key: &Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        for path in [cert, key] {
            match std::fs::read(path).map(Zeroizing::new) {
                Ok(content) => content.as_slice().hash(&mut hasher),
                Err(error) => error.kind().hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn tell(&self, what: &str) {
        let (names, until) = match tls::check_certificate(&self.cert, &self.key) {
            Ok(info) => (info.names.join(" "), info.not_after.to_string()),
            Err(error) => (String::new(), error.to_string()),
        };
        tracing::info!(file = %self.cert.display(), names, until, "{what}");
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
