//! Trust in one certificate and nothing else: for a peer whose operator gave us theirs.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{TlsError, certificates, provider, unusable};

/// A client that trusts the certificates in `path` only: as the peer's own, whoever signed them and until when, or as an authority
/// that signed its own. The host name is checked in either case.
pub fn pinned_client_config(path: &Path) -> Result<ClientConfig, TlsError> {
    let verifier = Pinned::new(path)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    fn new(path: &Path) -> Result<Self, TlsError> {
        let certificates = certificates(path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let odd = |error| unusable(path, format!("holds a certificate that cannot be used: {error}"));
            roots.add(certificate.clone()).map_err(odd)?;
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider())).build();
        let chains = chains.map_err(|error| unusable(path, format!("cannot be trusted: {error}")))?;
        Ok(Self { certificates, chains })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|pinned| pinned == end_entity) {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_name(&parsed, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let chain = self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        chain.map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => error,
            _ => rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(pem: &str) -> Pinned {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peer.pem");
        std::fs::write(&path, pem).unwrap();
        Pinned::new(&path).unwrap()
    }

    fn accepts(pinned: &Pinned, certificate: &rcgen::Certificate, name: &str) -> bool {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        pinned.verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn only_the_pinned_certificate_is_trusted_and_only_for_its_name() {
        let theirs = rcgen::generate_simple_self_signed(["peer.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["peer.example".to_owned()]).unwrap();
        let pinned = pinned(&theirs.cert.pem());
        assert!(accepts(&pinned, &theirs.cert, "peer.example"));
        assert!(!accepts(&pinned, &theirs.cert, "else.example"));
        assert!(!accepts(&pinned, &other.cert, "peer.example"));
    }

    #[test]
    fn a_pinned_authority_is_trusted_for_what_it_signed() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let peers_key = rcgen::KeyPair::generate().unwrap();
        let signed = rcgen::CertificateParams::new(vec!["peer.example".to_owned()]).unwrap();
        let signed = signed.signed_by(&peers_key, &issuer).unwrap();
        let pinned = pinned(&authority.pem());
        assert!(accepts(&pinned, &signed, "peer.example"));
        assert!(!accepts(&pinned, &signed, "else.example"));
        let stranger = rcgen::generate_simple_self_signed(["peer.example".to_owned()]).unwrap();
        assert!(!accepts(&pinned, &stranger.cert, "peer.example"));
    }
}
