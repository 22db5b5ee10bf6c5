//! Mail, handed to a mail server (RFC 5321, RFC 6409), under TLS from the start or from STARTTLS on.
//!
//! The dialogue is led step by step, because a reply means what the step makes of it: a 550 to the recipient is about the
//! recipient, to the sender it is about our settings. Unlike everything that is called by the guarded client, a mail server may
//! stand in the operator's own network: its name is a setting, and resolved as the machine resolves names.

mod settings;

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use self::settings::{Checked, Encryption};
use super::{Carry, Error, Letter, Said, Word};
use crate::books::Outcome;
use crate::config::Config;
use crate::config::providers::Carrier;

/// To say goodbye once all is done.
const FAREWELL: Duration = Duration::from_millis(500);
/// Replies to the recipient that are about the mailbox, where no enhanced code says otherwise.
const ABOUT_THE_MAILBOX: [u16; 4] = [550, 551, 553, 556];

/// One server.
pub(super) struct Smtp {
    checked: Checked,
    tls: Option<TlsParameters>,
    hello: ClientId,
    /// Under which message ids are made.
    domain: String,
    /// In place of what its name resolves to.
    fixed: Option<SocketAddr>,
}

/// How far a dialogue came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Auth,
    Sender,
    Recipient,
    Data,
    Content,
}

/// What a server said, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// A reply that is no success, and its enhanced code (RFC 3463) without the first digit.
    Status(u16, Option<(u16, u16)>),
    /// Certificates, versions.
    Tls,
    /// What it offers is not what the settings want.
    Unfit,
    /// No reply.
    Nothing,
}

/// "No human wrote this": keeps auto-responders quiet (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Reads the settings.
pub(super) fn check(settings: &Carrier) -> Result<(), Error> {
    Checked::read(settings).map(drop)
}

impl Smtp {
    pub(super) fn new(settings: &Carrier, config: &Config) -> Result<Self, Error> {
        let checked = Checked::read(settings)?;
        let tls = match checked.encryption {
            Encryption::None => None,
            _ => Some(settings::tls(settings.name(), &checked.host, config.outbound.ca_file.as_deref())?),
        };
        let fixed = config.development.resolve.get(&checked.host).copied();
        Ok(Self { checked, tls, hello: ClientId::Domain(config.domain.clone()), domain: config.domain.clone(), fixed })
    }

    async fn run(&self, letter: &Letter<'_>, within: Duration) -> Word {
        let Ok(to) = letter.to.parse::<Mailbox>() else {
            return Word::new(Said::Never("no-such-mailbox"), None, "address");
        };
        let Ok(message) = self.message(letter, to.clone()) else {
            return Word::new(Said::Refused, None, "internal");
        };
        let (message, mut step) = (message.formatted(), Step::Connect);
        let Ok(result) = tokio::time::timeout(within, self.dialogue(to, &message, &mut step)).await else {
            return Word::trouble(outcome_of_silence(step), "timeout");
        };
        match result {
            Ok(mut connection) => {
                // The mail is theirs by now, whatever becomes of this.
                let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
                Word::new(Said::Sent, 250, "sent")
            }
            Err(error) => judge(step, read(&error)),
        }
    }

    async fn dialogue(&self, to: Mailbox, message: &[u8], step: &mut Step) -> Result<AsyncSmtpConnection, smtp::Error> {
        let mut connection = self.connect().await?;
        if let Some(credentials) = &self.checked.credentials {
            *step = Step::Auth;
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        *step = Step::Sender;
        connection.command(Mail::new(Some(self.checked.from.email.clone()), Vec::new())).await?;
        *step = Step::Recipient;
        connection.command(Rcpt::new(to.email, Vec::new())).await?;
        *step = Step::Data;
        connection.command(Data).await?;
        *step = Step::Content;
        connection.message(message).await?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let from_the_start = self.tls.clone().filter(|_| self.checked.encryption == Encryption::Start);
        let mut connection = match self.fixed {
            Some(address) => {
                AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, from_the_start, None).await?
            }
            None => {
                let server = (self.checked.host.as_str(), self.checked.port);
                AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, from_the_start, None).await?
            }
        };
        if let (Encryption::StartTls, Some(tls)) = (self.checked.encryption, &self.tls) {
            connection.starttls(tls.clone(), &self.hello).await?;
        }
        Ok(connection)
    }

    fn message(&self, letter: &Letter<'_>, to: Mailbox) -> Result<Message, lettre::error::Error> {
        Message::builder()
            .from(self.checked.from.clone())
            .to(to)
            .subject(letter.subject())
            .date(std::time::SystemTime::from(letter.now))
            .message_id(Some(format!("<{}@{}>", letter.id, self.domain)))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .header(AutoSubmitted)
            .body(format!("{}\r\n", letter.text()))
    }
}

impl Carry for Smtp {
    fn carry<'a>(&'a self, letter: &'a Letter<'a>, within: Duration) -> BoxFuture<'a, Word> {
        self.run(letter, within).boxed()
    }

    fn greet(&self, within: Duration) -> BoxFuture<'_, Option<Result<(), String>>> {
        let hello = async move {
            let mut connection = self.connect().await?;
            if let Some(credentials) = &self.checked.credentials {
                connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
            }
            let _ = connection.quit().await;
            Ok::<_, smtp::Error>(())
        };
        async move {
            Some(match tokio::time::timeout(within, hello).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(match error.status() {
                    Some(code) => format!("it refuses us with status {code}: look at user and password"),
                    None => crate::failure::chain(&error),
                }),
                Err(_) => Err(format!("no answer within {} s", within.as_secs())),
            })
        }
        .boxed()
    }
}

/// A mail counts from the dot at its end on; from then until the reply nobody knows.
fn outcome_of_silence(step: Step) -> Outcome {
    if step == Step::Content { Outcome::Unknown } else { Outcome::NotSent }
}

fn read(error: &smtp::Error) -> Reply {
    if let Some(code) = error.status() {
        let status = code.to_string().parse().unwrap_or_default();
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        return Reply::Status(status, enhanced(&words));
    }
    match error {
        _ if error.is_tls() => Reply::Tls,
        _ if error.is_client() => Reply::Unfit,
        _ => Reply::Nothing,
    }
}

/// `5.1.1 …`: what comes after the class.
fn enhanced(words: &str) -> Option<(u16, u16)> {
    let mut parts = words.split(char::is_whitespace).next()?.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let good = matches!(class, "4" | "5") && parts.next().is_none();
    Some((subject.parse().ok()?, detail.parse().ok()?)).filter(|_| good)
}

fn judge(step: Step, reply: Reply) -> Word {
    let (status, enhanced) = match reply {
        Reply::Status(status, enhanced) => (status, enhanced),
        Reply::Tls => return Word::trouble(Outcome::NotSent, "tls"),
        Reply::Unfit => return Word::trouble(Outcome::NotSent, "unfit"),
        Reply::Nothing if step == Step::Connect => return Word::trouble(Outcome::NotSent, "connect"),
        Reply::Nothing => return Word::trouble(outcome_of_silence(step), "broken"),
    };
    let said = match (step, status, enhanced) {
        // Addressing (RFC 3463, 3.2) and mailboxes (3.3); 5.7.x is what they think of us.
        (Step::Recipient, 500.., Some((1, 1..=6 | 10))) => Said::Never("no-such-mailbox"),
        (Step::Recipient, 500.., Some((2, 1))) => Said::Never("mailbox-disabled"),
        (Step::Recipient, status, None) if ABOUT_THE_MAILBOX.contains(&status) => Said::Never("no-such-mailbox"),
        (Step::Recipient | Step::Content | Step::Data, 500.., _) => Said::Refused,
        // 421: it closes the connection, whatever it was asked.
        (Step::Recipient, 422..=499, _) => Said::NotNow,
        _ => Said::Trouble { pause: None },
    };
    let code = match enhanced {
        Some((subject, detail)) => format!("smtp_{status}/{}.{subject}.{detail}", status / 100),
        None => format!("smtp_{status}"),
    };
    Word::new(said, status, code)
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(words: &[u8], status: u16) {
    let enhanced = enhanced(std::str::from_utf8(words).unwrap_or_default());
    for step in [Step::Recipient, Step::Content, Step::Data] {
        assert!(judge(step, Reply::Status(status, enhanced)).code.len() <= 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_means_what_its_step_makes_of_it() {
        let trouble = Said::Trouble { pause: None };
        let nobody = Said::Never("no-such-mailbox");
        let table = [
            (Step::Connect, 421, "", trouble, "smtp_421"),
            (Step::Connect, 554, "5.7.1 go away", trouble, "smtp_554/5.7.1"),
            (Step::Auth, 535, "5.7.8 no", trouble, "smtp_535/5.7.8"),
            (Step::Auth, 454, "", trouble, "smtp_454"),
            (Step::Sender, 550, "", trouble, "smtp_550"),
            (Step::Sender, 451, "", trouble, "smtp_451"),
            (Step::Recipient, 550, "5.1.1 <a@b.example>: unknown", nobody, "smtp_550/5.1.1"),
            (Step::Recipient, 550, "no a@b.example here", nobody, "smtp_550"),
            (Step::Recipient, 550, "5.2.1 closed", Said::Never("mailbox-disabled"), "smtp_550/5.2.1"),
            (Step::Recipient, 550, "5.7.1 no relaying", Said::Refused, "smtp_550/5.7.1"),
            (Step::Recipient, 554, "no relaying", Said::Refused, "smtp_554"),
            (Step::Recipient, 552, "5.2.2 full", Said::Refused, "smtp_552/5.2.2"),
            (Step::Recipient, 450, "4.2.0 greylisted", Said::NotNow, "smtp_450/4.2.0"),
            (Step::Recipient, 421, "4.3.2 bye", trouble, "smtp_421/4.3.2"),
            (Step::Content, 554, "5.7.1 spam", Said::Refused, "smtp_554/5.7.1"),
            (Step::Content, 451, "", trouble, "smtp_451"),
        ];
        for (step, status, words, said, code) in table {
            let word = judge(step, Reply::Status(status, enhanced(words)));
            assert_eq!((word.said, word.code.as_str(), word.status), (said, code, Some(status)), "{step:?} {words}");
        }
        assert_eq!(judge(Step::Content, Reply::Nothing).outcome, Outcome::Unknown);
        assert_eq!(judge(Step::Data, Reply::Nothing).outcome, Outcome::NotSent);
    }

    #[test]
    fn enhanced_codes_are_three_numbers_at_the_beginning() {
        assert_eq!(enhanced("5.1.1 no"), Some((1, 1)));
        assert_eq!(enhanced("4.2.0"), Some((2, 0)));
        for none in ["", "no 5.1.1", "5.1 no", "5.1.1.1 no", "2.0.0 ok", "1.2.3", "5.a.1"] {
            assert_eq!(enhanced(none), None, "{none}");
        }
    }
}
