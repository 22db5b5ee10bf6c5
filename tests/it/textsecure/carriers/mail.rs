//! A mail server: the dialogue of RFC 5321 with ESMTP, AUTH and STARTTLS, as far as a submission goes.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::node::{Net, eventually};

/// Who may send.
pub(super) const USER: &str = "codes@shop.test";
pub(super) const PASSWORD: &str = "p+ss w&rd";

/// What it answers to its `n`-th recipient, from 0 on; empty: it takes it.
type Recipients = dyn Fn(usize) -> &'static str + Send + Sync;

/// A mail it has taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
}

#[derive(Clone)]
pub(super) struct MailServer {
    mails: Arc<Mutex<Vec<Mail>>>,
    commands: Arc<Mutex<Vec<String>>>,
    recipients: Arc<Recipients>,
    tls: TlsAcceptor,
    starttls: bool,
}

impl MailServer {
    /// Under `domain`, for nodes that start from now on. With `starttls` TLS begins by that command, else before the first word.
    pub(super) async fn start(
        net: &Net,
        domain: &str,
        starttls: bool,
        recipients: impl Fn(usize) -> &'static str + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        net.name(domain, listener.local_addr().unwrap());
        let tls = TlsAcceptor::from(net.ca.server_config(domain));
        let (mails, commands) = (Arc::default(), Arc::default());
        let server = Self { mails, commands, recipients: Arc::new(recipients), tls, starttls };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move {
                    let stream = if server.starttls {
                        let Some(stream) = server.talk(stream, true, false).await else { return };
                        stream
                    } else {
                        stream
                    };
                    if let Ok(stream) = server.tls.accept(stream).await {
                        server.talk(stream, !server.starttls, true).await;
                    }
                });
            }
        });
        server
    }

    /// Waits for so many mails.
    pub(super) async fn got(&self, n: usize) -> Vec<Mail> {
        eventually("a mail comes", async || self.mails().len() >= n).await;
        self.mails()
    }

    pub(super) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// The first word of every command so far.
    pub(super) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    /// Until the end, or until the client wants TLS: then the stream comes back.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, greet: bool, encrypted: bool) -> Option<S> {
        let mut stream = BufReader::new(stream);
        if greet {
            stream.write_all(b"220 mail.test ESMTP\r\n").await.ok()?;
        }
        let (mut mail, mut signed_in) = (Mail::default(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            self.commands.lock().unwrap().push(word.clone());
            let answer = match word.as_str() {
                "EHLO" if encrypted => {
                    "250-mail.test\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN LOGIN"
                }
                "EHLO" => "250-mail.test\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS",
                "STARTTLS" if !encrypted => {
                    stream.write_all(b"220 2.0.0 go ahead\r\n").await.ok()?;
                    assert!(stream.buffer().is_empty(), "something was said before TLS");
                    return Some(stream.into_inner());
                }
                "QUIT" => {
                    stream.write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                    return None;
                }
                _ if !encrypted => "530 5.7.0 Must issue a STARTTLS command first",
                "AUTH" => {
                    let expected = BASE64_STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
                    signed_in = line == format!("AUTH PLAIN {expected}");
                    if signed_in { "235 2.7.0 welcome" } else { "535 5.7.8 Username and Password not accepted" }
                }
                "MAIL" if !signed_in => "530 5.7.0 Authentication required",
                "MAIL" => {
                    mail = Mail { from: line["MAIL FROM:".len()..].into(), ..Mail::default() };
                    "250 2.1.0 ok"
                }
                "RCPT" => {
                    mail.to = line["RCPT TO:".len()..].into();
                    let before = self.commands().iter().filter(|word| *word == "RCPT").count() - 1;
                    match (self.recipients)(before) {
                        "" => "250 2.1.5 ok",
                        refusal => refusal,
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.ok()?;
                    mail.text = content(&mut stream).await?;
                    self.mails.lock().unwrap().push(mail.clone());
                    "250 2.0.0 queued"
                }
                _ => "500 5.5.2 what?",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        }
    }
}

/// Up to the dot on a line of its own (RFC 5321, 4.5.2).
async fn content<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        assert!(line.ends_with("\r\n"), "lines of a mail end with CRLF");
        if line == ".\r\n" {
            return Some(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
