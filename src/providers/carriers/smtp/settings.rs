//! A mail server's URL: `smtps://user:password@host[:465]`, `smtp://…[:587]?tls=required`, or `smtp://localhost[:25]`.

use std::path::Path;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use url::{Url, form_urlencoded};

use super::super::Error;
use crate::config::providers::Carrier;
use crate::tls::{self, TlsError};

/// What was read of the settings.
pub(super) struct Checked {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) credentials: Option<Credentials>,
    pub(super) from: Mailbox,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Before the first word.
    Start,
    /// By STARTTLS; without it nothing is sent.
    StartTls,
    /// Never: only to this machine itself.
    None,
}

impl Checked {
    pub(super) fn read(settings: &Carrier) -> Result<Self, Error> {
        let name = || settings.name().to_owned();
        let Carrier::Smtp { url, from, .. } = settings else {
            return Err(Error::Setting { name: name(), setting: "kind", problem: "is another" });
        };
        let wrong = |problem: &str| Error::Url { name: name(), problem: problem.to_owned() };
        let url = Url::parse(url.reveal()).map_err(|_| wrong("this is not a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let required = url.query_pairs().any(|(key, value)| key == "tls" && value == "required");
        let (encryption, port) = match url.scheme() {
            "smtps" => (Encryption::Start, 465),
            "smtp" if required => (Encryption::StartTls, 587),
            "smtp" if is_this_machine(&host) => (Encryption::None, 25),
            "smtp" => return Err(wrong("without TLS only to localhost: smtps://… or smtp://…?tls=required")),
            _ => return Err(wrong("it must begin with smtps:// or smtp://")),
        };
        let from = from.parse().map_err(|_| Error::Setting {
            name: name(),
            setting: "from",
            problem: "must be a mailbox, such as Shop <codes@shop.example>",
        })?;
        let user = decoded(url.username());
        let credentials = url.password().map(|password| Credentials::new(user, decoded(password)));
        Ok(Self { host, port: url.port().unwrap_or(port), encryption, credentials, from })
    }
}

/// Trusts whom every call of the node trusts.
pub(super) fn tls(name: &str, host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, Error> {
    let unusable = || Error::Url { name: name.to_owned(), problem: "no TLS can be spoken with its host".to_owned() };
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        // Read and complained of in one place.
        tls::authorities(Some(path))?;
        let pem = std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| unusable())?);
    }
    builder.build_rustls().map_err(|_| unusable())
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Takes `%40` and its like apart, as in a form, but for the three characters that only a form treats otherwise.
fn decoded(text: &str) -> String {
    let form = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(form.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, from: &str) -> Carrier {
        Carrier::Smtp { name: "mail".into(), url: url.to_owned().into(), from: from.into() }
    }

    fn read(url: &str) -> Result<Checked, Error> {
        Checked::read(&settings(url, "Shop <codes@shop.example>"))
    }

    #[test]
    fn urls_are_taken_apart() {
        for (url, host, port, encryption) in [
            ("smtps://u:p@mail.example", "mail.example", 465, Encryption::Start),
            ("smtps://u:p@mail.example:2465", "mail.example", 2465, Encryption::Start),
            ("smtp://u:p@mail.example?tls=required", "mail.example", 587, Encryption::StartTls),
            ("smtp://localhost", "localhost", 25, Encryption::None),
            ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, Encryption::None),
            ("smtp://[::1]:1025", "::1", 1025, Encryption::None),
        ] {
            let got = read(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((got.host.as_str(), got.port, got.encryption), (host, port, encryption), "{url}");
        }
        let plain = |user: &str, password: &str| Some(Credentials::new(user.into(), password.into()));
        assert!(
            read("smtps://codes%40shop.example:a+b%2F&=%25@m.example").unwrap().credentials
                == plain("codes@shop.example", "a+b/&=%")
        );
        assert!(read("smtps://mail.example").unwrap().credentials.is_none());
    }

    #[test]
    fn what_cannot_be_is_named_without_its_password() {
        for url in [
            "mail.example",
            "https://u:s3cret@mail.example",
            "smtp://u:s3cret@mail.example",
            "smtp://u:s3cret@mail.example?tls=opportunistic",
            "smtps://u:s3cret@",
        ] {
            let error = read(url).err().unwrap_or_else(|| panic!("{url}"));
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        assert!(Checked::read(&settings("smtps://mail.example", "nobody")).is_err());
    }
}
