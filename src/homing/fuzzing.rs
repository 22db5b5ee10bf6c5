//! Fuzz targets of names, queries and sealed things of Homing Space.

use super::keys::{self, KeyFile};
use super::otp::Sauce;
use super::release::Arrived;
use super::scopes::Scopes;
use super::vault::Vault;
use super::welcome::{Envelope, Request};
use super::{Persona, decode, encode, fingerprint, ids, query, values};
use crate::crypto::sodium::BoxKey;
use crate::crypto::{BoxError, SigningKey};
use crate::fuzzing::{carried, text};

/// Queries, scopes, personas, values, releases, ids and key files.
pub(crate) fn words(data: &[u8]) {
    let text = text(data);
    pairs(text);
    if let Ok(scopes) = Scopes::parse(text) {
        let granted = scopes.granted(|_| true);
        assert!(scopes.check(&granted).is_ok(), "what may all be granted is no grant");
        assert!(Scopes::parse(scopes.text()).is_ok_and(|again| again == scopes));
        let _ = scopes.allowed("shop");
    }
    if let Ok(persona) = Persona::parse(text) {
        assert!(Persona::parse(persona.as_str()).is_ok_and(|again| again == persona));
        carried(&persona);
    }
    for scope in ["fullname", "email", "phone1", "birthday", "avatarurl", "address", "x"] {
        if let Ok(value) = values::take(scope, text) {
            assert_eq!(
                values::take(scope, &value).as_deref(),
                Ok(value.as_str()),
                "a value that changes when taken again"
            );
        }
    }
    released(text);
    for is_one in [ids::is_site(text), ids::is_challenge(text), ids::is_space(text), fingerprint::is_one(text)] {
        assert!(!is_one || text.is_ascii());
    }
    if let Some(bytes) = decode(text) {
        assert_eq!(encode(&bytes), text, "binary in two ways");
    }
    let _ = (keys::public(text), KeyFile::Sign.parse(text), KeyFile::Box.parse(text), Sauce::parse(text));
}

fn pairs(text: &str) {
    let theirs = || url::form_urlencoded::parse(text.as_bytes());
    if let Ok(pairs) = query::pairs(text) {
        for (key, value) in theirs() {
            assert_eq!(pairs.get(&*key).map(String::as_str), Some(&*value), "two readers of one query");
        }
    }
    // A reader of ours must never see what only the hub may add, unless it was noticed.
    assert!(query::is_reserved(text) || !theirs().any(|(key, _)| key == "f_in_g" || key.starts_with("hs_")));
}

fn released(text: &str) {
    let Some(arrived) = Arrived::parse(text) else { return };
    assert!(text.starts_with(arrived.query) && arrived.query.len() < text.len());
    assert!(!arrived.is_signed_by(&[*SigningKey::from_seed(&[7; 32]).public()], "hst_a", "https://a.example", ""));
}

/// Requests for a welcome, welcomes, vaults.
pub(crate) fn sealed(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let key = SigningKey::from_seed(&[1; 32]);
        assert!(request.payload(key.public(), |_, _| Err(BoxError)).is_err(), "signed by nobody");
    }
    assert!(Envelope::open(data, &BoxKey::from_seed(&[2; 32])).is_none(), "sealed by nobody");
    let text = text(data);
    // Deriving a key takes its time on purpose: only vaults that cost next to nothing are opened here.
    let cheap = serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|vault| vault["mem"].as_u64().is_some_and(|mem| mem <= 16_384) && vault["ops"].as_u64() == Some(1));
    if cheap {
        assert!(Vault::open(text, "nobody's").is_err());
    }
}
