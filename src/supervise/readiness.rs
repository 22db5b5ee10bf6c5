//! Saying where things listen, once they do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

const ASK_EVERY: Duration = Duration::from_millis(200);
/// One question's longest answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Silence this long deserves a log line.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Waits until `serve` says it is ready, then prints where everything is.
pub(super) async fn announce(config: &Config, stop: &CancellationToken) {
    let address = reachable(config.private.listen);
    let mut complain = Instant::now() + COMPLAIN_EVERY;
    while !timeout(PATIENCE, is_ready(address)).await.is_ok_and(|answer| answer.unwrap_or(false)) {
        if Instant::now() > complain {
            complain += COMPLAIN_EVERY;
            tracing::warn!("http://{address}/readyz does not say ready yet");
        }
        if stop.run_until_cancelled(sleep(ASK_EVERY)).await.is_none() {
            return;
        }
    }
    println!("{}", whereabouts(config));
}

fn whereabouts(config: &Config) -> String {
    let scheme = if config.public.tls_cert.is_some() { "https" } else { "http" };
    let mut text = format!(
        "handfast is up\n  public   {scheme}://{}\n  private  http://{}\n  data     {}",
        config.public.listen,
        config.private.listen,
        config.data_dir.display()
    );
    let key = config.data_dir.join("api.key");
    if key.exists() {
        text += &format!("\n  API key  in {}", key.display());
    }
    text
}

/// Whether the node of these settings is ready; none when nothing answers at its private listener.
pub async fn state(config: &Config) -> Option<bool> {
    timeout(PATIENCE, is_ready(reachable(config.private.listen))).await.ok()?.ok()
}

/// Whether `/readyz` of the private listener says yes.
pub(crate) async fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(&head == b"HTTP/1.1 200")
}

/// A listener on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [("0.0.0.0:81", "127.0.0.1:81"), ("[::]:81", "[::1]:81"), ("10.0.0.7:81", "10.0.0.7:81")]
        {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
