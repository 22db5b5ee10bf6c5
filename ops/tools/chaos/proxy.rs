//! A network that can be made bad: a TCP proxy between the node and its database, and between the node and its broker.
//!
//! It carries bytes both ways and understands none of them. With several addresses behind it, it is the balancer in front of a
//! cluster: a new connection goes to the next address that takes it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// An address that does not take a connection within this time is passed over.
const CONNECT: Duration = Duration::from_secs(1);

/// What befalls all connections that are open at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// RST to both sides.
    Reset,
    /// FIN to both sides.
    Close,
    /// The client sees the end of the stream; what it still writes is carried on.
    HalfClose,
    /// Nothing is carried any more, and nobody is told: a firewall that forgot them.
    Forget,
}

/// How it is now.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    /// Nothing moves; new connections are taken, and wait.
    stalled: bool,
    /// New connections are reset at once.
    refusing: bool,
    /// How many cuts there have been, and the last one.
    cuts: (u64, Option<Cut>),
}

/// Listens on one address of loopback as long as it lives.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    behind: Arc<Mutex<Vec<SocketAddr>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// In front of these.
    pub(crate) async fn start(behind: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        let behind = Arc::new(Mutex::new(behind));
        let task = tokio::spawn(accept(listener, seen, Arc::clone(&behind)));
        Ok(Self { address, weather, behind, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to other addresses from now on, and resets what leads to the ones before.
    pub(crate) fn lead_to(&self, behind: Vec<SocketAddr>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
        self.cut(Cut::Reset);
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.weather.send_modify(|weather| weather.cuts = (weather.cuts.0 + 1, Some(cut)));
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.weather.send_modify(|weather| weather.stalled = stalled);
    }

    pub(crate) fn refuse(&self, refusing: bool) {
        self.weather.send_modify(|weather| weather.refusing = refusing);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: watch::Receiver<Weather>, behind: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut next = 0;
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if seen.borrow().refusing {
            reset(&client);
            continue;
        }
        next += 1;
        let mut order = behind.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let len = order.len().max(1);
        order.rotate_left(next % len);
        let seen = seen.clone();
        tokio::spawn(async move {
            match connect(&order).await {
                Some(server) => carry(client, server, seen).await,
                None => reset(&client),
            }
        });
    }
}

async fn connect(order: &[SocketAddr]) -> Option<TcpStream> {
    for address in order {
        if let Ok(Ok(server)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            return Some(server);
        }
    }
    None
}

/// The next close of this socket is an RST.
fn reset(stream: &TcpStream) {
    // It can fail only for a socket that has gone.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn carry(mut client: TcpStream, mut server: TcpStream, mut seen: watch::Receiver<Weather>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cuts = seen.borrow_and_update().cuts.0;
    match carry_until_cut(&mut client, &mut server, &mut seen, cuts).await {
        Some(Cut::Reset) => {
            reset(&client);
            reset(&server);
        }
        Some(Cut::Forget) => {
            // Both stay open, as long as the tool lives.
            std::future::pending::<()>().await;
        }
        _ => {}
    }
}

/// None when both sides have closed by themselves.
async fn carry_until_cut(
    client: &mut TcpStream,
    server: &mut TcpStream,
    seen: &mut watch::Receiver<Weather>,
    mut cuts: u64,
) -> Option<Cut> {
    let half = Notify::new();
    let never = Notify::new();
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let both = async {
        tokio::join!(pump(from_client, to_server, &never), pump(from_server, to_client, &half));
    };
    tokio::pin!(both);
    loop {
        let weather = *seen.borrow_and_update();
        if weather.cuts.0 != cuts {
            cuts = weather.cuts.0;
            match weather.cuts.1 {
                Some(Cut::HalfClose) => half.notify_one(),
                cut => return cut,
            }
        }
        tokio::select! {
            // What is not polled does not move.
            () = &mut both, if !weather.stalled => return None,
            changed = seen.changed() => if changed.is_err() { return Some(Cut::Close) },
        }
    }
}

/// Until the end of `from`, or until told to end `to` early.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, end: &Notify) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            () = end.notified() => 0,
        };
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and a client of it through a proxy.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let proxy = Proxy::start(vec![listener.local_addr().expect("bound")]).await.expect("a proxy");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a client");
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let client = TcpStream::connect(proxy.address()).await.expect("connected");
        (proxy, client)
    }

    async fn says(client: &mut TcpStream) -> std::io::Result<u8> {
        client.write_all(b"x").await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn it_carries_stalls_and_goes_on() {
        let (proxy, mut client) = echo().await;
        assert_eq!(says(&mut client).await.expect("carried"), b'x');
        proxy.stall(true);
        client.write_all(b"y").await.expect("the kernel takes it");
        let read = tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await;
        assert!(read.is_err(), "nothing moves");
        proxy.stall(false);
        assert_eq!(client.read_u8().await.expect("late, not lost"), b'y');
    }

    #[tokio::test]
    async fn each_cut_looks_like_what_it_is_called() {
        for (cut, kind) in
            [(Cut::Reset, std::io::ErrorKind::ConnectionReset), (Cut::Close, std::io::ErrorKind::UnexpectedEof)]
        {
            let (proxy, mut client) = echo().await;
            says(&mut client).await.expect("carried");
            proxy.cut(cut);
            assert_eq!(client.read_u8().await.expect_err("cut").kind(), kind, "{cut:?}");
        }
        let (proxy, mut client) = echo().await;
        says(&mut client).await.expect("carried");
        proxy.cut(Cut::HalfClose);
        assert_eq!(client.read(&mut [0]).await.expect("an end"), 0);
        client.write_all(b"still taken").await.expect("the other half is open");
    }

    #[tokio::test]
    async fn forgotten_connections_hang_while_new_ones_work() {
        let (proxy, mut client) = echo().await;
        says(&mut client).await.expect("carried");
        proxy.cut(Cut::Forget);
        client.write_all(b"y").await.expect("the kernel takes it");
        assert!(tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await.is_err());
        let mut second = TcpStream::connect(proxy.address()).await.expect("connected");
        assert_eq!(says(&mut second).await.expect("carried"), b'x');
        proxy.refuse(true);
        let mut third = TcpStream::connect(proxy.address()).await.expect("accepted, then reset");
        assert!(says(&mut third).await.is_err());
    }
}
