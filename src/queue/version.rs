//! Which broker it is: read from its greeting, which comes before anybody signs in (AMQP 0-9-1, 4.2.2 and 1.4.2.1).

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config;

/// Longest wait for a greeting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest greeting read, in bytes.
const LONGEST: usize = 16 * 1024;

/// Product and version, such as `RabbitMQ 3.13.7`.
///
/// # Errors
/// In words, when nobody greets or the greeting says nothing of it.
pub async fn version(settings: &config::Amqp) -> Result<String, String> {
    let uri: AMQPUri = settings.url.reveal().parse().map_err(|_| "amqp.url is not the URL of a broker".to_owned())?;
    let greeting = async {
        let host = uri.authority.host.as_str();
        let stream = TcpStream::connect((host, uri.authority.port)).await.map_err(|error| error.to_string())?;
        if uri.scheme == AMQPScheme::AMQP {
            return greeting(stream).await.map_err(|error| error.to_string());
        }
        let tls = crate::tls::client_config(None).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        greeting(stream.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())
    };
    let greeting = tokio::time::timeout(PATIENCE, greeting).await.map_err(|_| "it does not greet".to_owned())??;
    let version = property(&greeting, "version").ok_or("it does not say")?;
    Ok(format!("{} {version}", property(&greeting, "product").unwrap_or_default()).trim().to_owned())
}

/// The frame `connection.start`.
async fn greeting(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<Vec<u8>> {
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let mut frame = vec![0; length.min(LONGEST)];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// A long string of the server's properties: its name with a length of one byte, `S`, a length of four bytes, the text.
fn property(frame: &[u8], name: &str) -> Option<String> {
    let mut key = vec![name.len() as u8];
    key.extend_from_slice(name.as_bytes());
    key.push(b'S');
    let at = frame.windows(key.len()).position(|window| window == key)? + key.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = frame.get(at + 4..(at + 4).checked_add(length)?)?;
    let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(64).collect();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_property_is_found_among_others() {
        let mut frame = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x40\x07productS\x00\x00\x00\x08RabbitMQ".to_vec();
        frame.extend_from_slice(b"\x07versionS\x00\x00\x00\x063.13.7");
        assert_eq!(property(&frame, "version").as_deref(), Some("3.13.7"));
        assert_eq!(property(&frame, "product").as_deref(), Some("RabbitMQ"));
        assert_eq!(property(&frame, "platform"), None);
        frame.truncate(frame.len() - 1);
        assert_eq!(property(&frame, "version"), None);
    }

    proptest! {
        #[test]
        fn any_frame_is_answered(frame: Vec<u8>) {
            let _ = property(&frame, "v");
        }
    }
}
