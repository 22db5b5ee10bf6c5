//! Being told: a connection of its own that hears what others notify (`LISTEN`).
//!
//! Nothing that is told is promised to arrive: a connection can be lost without anybody noticing for a while, and some poolers in
//! front of the server pass nothing on. Whoever listens also looks by itself now and then.

use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::DbError;

/// How to connect besides the pool.
pub(super) struct Ear {
    server: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Ear {
    /// As the pool does it; without TLS where none is given.
    pub(super) fn new(server: &Config, tls: Option<MakeRustlsConnect>) -> Self {
        Self { server: server.clone(), tls }
    }

    /// See [`super::Db::listen`].
    pub(super) async fn listen(
        &self,
        channel: &str,
        mut heard: impl FnMut(Option<&str>) + Send,
    ) -> Result<std::convert::Infallible, DbError> {
        match &self.tls {
            None => {
                let (client, connection) = self.server.connect(NoTls).await?;
                hear(&client, connection, channel, &mut heard).await
            }
            Some(tls) => {
                let (client, connection) = self.server.connect(tls.clone()).await?;
                hear(&client, connection, channel, &mut heard).await
            }
        }
    }
}

async fn hear<S, T>(
    client: &Client,
    mut connection: Connection<S, T>,
    channel: &str,
    heard: &mut (impl FnMut(Option<&str>) + Send),
) -> Result<std::convert::Infallible, DbError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let statement = format!("/* db::listen */ listen {channel}");
    let mut listening = false;
    let mut listen = std::pin::pin!(client.batch_execute(&statement));
    loop {
        tokio::select! {
            done = &mut listen, if !listening => {
                done?;
                listening = true;
                heard(None);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(told))) => heard(Some(told.payload())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(DbError::Unavailable(anyhow::anyhow!("the connection was closed"))),
            },
        }
    }
}
