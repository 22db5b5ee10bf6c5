//! What both network edges share of TLS: one crypto provider, the certificate authorities we trust, PEM files read with
//! errors that say which file is wrong and how.
//!
//! Promises: no file content ever appears in an error; a certificate that does not belong to its key is refused here and
//! not at the first handshake. Leaves out: when files are read again (`listen`), and which addresses may be called
//! (`outbound`).

mod pinned;

pub use pinned::pinned_client_config;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read at all.
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read and is not what it should be.
    #[error("{path}: {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, for the operator.
        problem: String,
    },
    /// Neither the system nor the configuration names an authority, so that no peer could be verified.
    #[error(
        "no certificate authority to trust: install the system's list (ca-certificates) or set a ca_file ({problems})"
    )]
    NoAuthorities {
        /// What the system's list answered.
        problems: String,
    },
    /// The library refused the combination.
    #[error("TLS cannot be set up: {0}")]
    Refused(#[from] rustls::Error),
}

/// The process's one crypto provider (aws-lc-rs). Called first thing in `main`; calling it again changes nothing.
pub fn install_provider() {
    // An error only says that it is installed already.
    let _ = provider().install_default();
}

/// The same provider by value, for configurations that should not depend on who installed what.
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// A client that trusts the system's authorities and those in `ca_file`, verifies chain and host name, and speaks TLS 1.2
/// and 1.3. No ALPN is set.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(ca_file)?)
        .with_no_client_auth())
}

/// The system's certificate authorities and those in `ca_file`.
pub fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // A single odd certificate in the system's list must not stop the node.
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|e| unusable(path, format!("holds an authority that cannot be used: {e}")))?;
        }
    }
    if roots.is_empty() {
        let problems = system.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(TlsError::NoAuthorities { problems });
    }
    Ok(roots)
}

/// What an operator wants to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// DNS names it is good for, as written in it (`*.shop.example` included).
    pub names: Vec<String>,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
}

/// Reads a certificate chain and its key, and checks that they belong together.
pub fn server_certificate(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert)?;
    let pem = Zeroizing::new(read(key)?);
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| unusable(key, "holds no private key in PEM form (-----BEGIN … PRIVATE KEY-----)".into()))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            unusable(key, format!("is not the key of the certificate in {}", cert.display()))
        }
        e => unusable(key, format!("cannot be used with {}: {e}", cert.display())),
    })
}

/// For `handfast doctor` and the start's log line: loads both files as the listener does, and tells what is in them.
pub fn check_certificate(cert: &Path, key: &Path) -> Result<CertificateInfo, TlsError> {
    let loaded = server_certificate(cert, key)?;
    let first = loaded.end_entity_cert()?;
    describe(first).ok_or_else(|| unusable(cert, "holds a certificate that cannot be read".into()))
}

fn describe(der: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let parsed = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    let moment =
        |t: x509_cert::time::Time| Timestamp::from_second(i64::try_from(t.to_unix_duration().as_secs()).ok()?).ok();
    let names = match parsed.get::<SubjectAltName>().ok()? {
        None => Vec::new(),
        Some((_, SubjectAltName(names))) => names.iter().filter_map(dns_name).collect(),
    };
    Some(CertificateInfo {
        names,
        not_before: moment(parsed.validity.not_before)?,
        not_after: moment(parsed.validity.not_after)?,
    })
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        _ => None,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(path, format!("is not valid PEM: {e}")))?;
    if found.is_empty() {
        return Err(unusable(path, "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

fn unusable(path: &Path, problem: String) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), problem }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzzed(pem: &[u8]) {
    for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
        let _ = x509_cert::Certificate::from_der(&certificate);
    }
    let _ = PrivateKeyDer::from_pem_slice(pem).is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_good_pair_is_described() {
        let dir = tempfile::tempdir().unwrap();
        let made =
            rcgen::generate_simple_self_signed(["shop.example".to_owned(), "*.shop.example".to_owned()]).unwrap();
        let cert = write(dir.path(), "cert.pem", &made.cert.pem());
        let key = write(dir.path(), "key.pem", &made.signing_key.serialize_pem());
        let info = check_certificate(&cert, &key).unwrap();
        assert_eq!(info.names, ["shop.example", "*.shop.example"]);
        assert!(info.not_before < info.not_after);
    }

    #[test]
    fn wrong_files_are_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let one = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
        let cert = write(dir.path(), "cert.pem", &one.cert.pem());
        let key = write(dir.path(), "key.pem", &one.signing_key.serialize_pem());
        let other = write(dir.path(), "other.pem", &two.signing_key.serialize_pem());
        let empty = write(dir.path(), "empty.pem", "");
        let cases = [
            (&dir.path().join("none.pem"), &key, "none.pem: cannot be read"),
            (&empty, &key, "empty.pem: holds no certificate"),
            (&key, &key, "key.pem: holds no certificate"),
            (&cert, &cert, "cert.pem: holds no private key"),
            (&cert, &empty, "empty.pem: holds no private key"),
            (&cert, &other, "other.pem: is not the key of the certificate in"),
        ];
        for (cert, key, words) in cases {
            let said = check_certificate(cert, key).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn an_extra_authority_is_added_to_the_system_s() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let ca = write(dir.path(), "ca.pem", &made.cert.pem());
        let system = rustls_native_certs::load_native_certs().certs;
        let mut only_system = RootCertStore::empty();
        only_system.add_parsable_certificates(system);
        assert_eq!(authorities(Some(&ca)).unwrap().len(), only_system.len() + 1);
        assert!(authorities(Some(&dir.path().join("none.pem"))).is_err());
    }
}
