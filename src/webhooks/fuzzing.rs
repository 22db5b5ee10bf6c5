//! Fuzz targets of what is said about webhooks, and of their messages in the books.

use std::collections::BTreeMap;

use super::{Content, ContentType, CustomHeaders, SigningSecret, WebhookName};
use crate::fuzzing::{carried, text};

/// Names, secrets, headers, content types, contents.
pub(crate) fn words(data: &[u8]) {
    let text = text(data);
    if let Ok(name) = text.parse::<WebhookName>() {
        crate::fuzzing::read_back(&name);
        assert!(!name.as_str().contains('.'), "the domain of a peer");
    }
    if let Ok(secret) = text.parse::<SigningSecret>() {
        let again = secret.reveal().reveal().parse::<SigningSecret>();
        assert!(again.is_ok_and(|again| again.public_key() == secret.public_key() && again.kind() == secret.kind()));
        assert!(!format!("{secret:?}").contains(text));
    }
    if let Ok(kind) = text.parse::<ContentType>() {
        assert!(kind.as_str() == text && text.is_ascii() && !text.contains(['\r', '\n']));
    }
    if let Ok(given) = serde_json::from_slice::<BTreeMap<String, String>>(data)
        && let Ok(headers) = CustomHeaders::new(given.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    {
        assert!(!headers.contains(&http::header::HOST) && headers.iter().count() <= 20);
        assert!(headers.iter().all(|(_, value)| value.to_str().is_ok_and(|text| !text.contains(['\r', '\n']))));
        carried(&headers);
    }
    if let Some(content) = Content::decode(data) {
        let again = content.encode();
        assert!(Content::decode(&again).is_some_and(|again| again == content), "what lies in the books is changed");
    }
}
