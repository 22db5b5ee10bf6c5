//! From a host name to the addresses that may be connected to.
//!
//! The client connects to exactly what this answers, so an address is checked and used in one step: a name that changes
//! its address in between (rebinding) gains nothing. Names come from DNS alone, never from `/etc/hosts` or a search
//! domain, so that a stranger's domain cannot mean a machine of ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::Guard;

/// One question to one name server. With two tries this stays below the whole connect time-out's default of 5 s.
const QUESTION: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// A record that says "for ever" is asked again after this long, so that a moved peer is found.
const LONGEST_MEMORY: Duration = Duration::from_secs(600);
/// A name that does not exist yet may exist soon.
const LONGEST_ABSENCE: Duration = Duration::from_secs(15);
/// A hostile answer can list thousands of addresses; connecting tries them one by one.
const MOST_ADDRESSES: usize = 8;

/// Resolver with the guard inside.
pub(super) struct GuardedResolver {
    dns: TokioResolver,
    fixed: Arc<BTreeMap<String, SocketAddr>>,
    guard: Arc<Guard>,
}

/// The name has addresses, and none of them may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{host} resolves to {address}, which may not be connected to")]
pub(super) struct RefusedAddress {
    host: String,
    address: IpAddr,
}

/// The name has no address, or nobody could be asked.
#[derive(Debug, thiserror::Error)]
#[error("{host} does not resolve: {reason}")]
pub(super) struct Unresolved {
    host: String,
    reason: String,
}

impl GuardedResolver {
    /// Name servers from the system's configuration; names in `fixed` are not asked for.
    pub(super) fn new(guard: Guard, fixed: &BTreeMap<String, SocketAddr>) -> Result<Self, NetError> {
        Self::asking(TokioResolver::builder_tokio()?, guard, fixed)
    }

    fn asking(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        guard: Guard,
        fixed: &BTreeMap<String, SocketAddr>,
    ) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.timeout = QUESTION;
        options.attempts = TRIES;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_max_ttl = Some(LONGEST_MEMORY);
        options.negative_max_ttl = Some(LONGEST_ABSENCE);
        let fixed = fixed.iter().map(|(name, address)| (name.to_ascii_lowercase(), *address)).collect();
        Ok(Self { dns: builder.build()?, fixed: Arc::new(fixed), guard: Arc::new(guard) })
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (dns, guard) = (self.dns.clone(), Arc::clone(&self.guard));
        let fixed = self.fixed.get(&host).copied();
        Box::pin(async move {
            let found = match fixed {
                Some(address) => vec![address],
                None => ask(&dns, &host).await?,
            };
            Ok(Box::new(admitted(&host, found, &guard)?.into_iter()) as Addrs)
        })
    }
}

async fn ask(dns: &TokioResolver, host: &str) -> Result<Vec<SocketAddr>, Unresolved> {
    let unresolved = |reason: String| Unresolved { host: host.to_owned(), reason };
    // The final dot: this name and no search domain behind it.
    let answer = dns.lookup_ip(format!("{host}.")).await.map_err(|e| unresolved(e.to_string()))?;
    // Port 0 stands for the URL's own, which is 443.
    let found: Vec<_> = answer.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
    if found.is_empty() { Err(unresolved("no address".into())) } else { Ok(found) }
}

fn admitted(host: &str, found: Vec<SocketAddr>, guard: &Guard) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let first = found.first().map(SocketAddr::ip);
    let good: Vec<_> = found.into_iter().filter(|a| guard.admits(a.ip())).take(MOST_ADDRESSES).collect();
    match first {
        Some(address) if good.is_empty() => Err(RefusedAddress { host: host.to_owned(), address }),
        _ => Ok(good),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use tokio::net::UdpSocket;

    use super::*;

    /// A resolver that asks a name server of its own, which answers every question for an IPv4 address with the next of these
    /// (the last one for ever), to be forgotten at once.
    async fn asking_one_who_says(answers: [Ipv4Addr; 2]) -> GuardedResolver {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut question, mut said) = ([0; 512], 0);
            while let Ok((_, from)) = socket.recv_from(&mut question).await {
                let address = answers[said.min(1)];
                let (answer, is_address) = answer(&question, address);
                said += usize::from(is_address);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        GuardedResolver::asking(builder, Guard::default(), &BTreeMap::new()).unwrap()
    }

    /// RFC 1035, 4.1: the question repeated, and one record of no lifetime if it asks for type A.
    fn answer(question: &[u8], address: Ipv4Addr) -> (Vec<u8>, bool) {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let is_address = question[end - 4..end - 2] == [0, 1];
        let mut answer = [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]].concat();
        answer.extend_from_slice(&question[12..end]);
        if is_address {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        (answer, is_address)
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_is_checked_every_time() {
        let resolver = asking_one_who_says([Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::LOCALHOST]).await;
        let name = || "rebinding.test".parse::<Name>().unwrap();
        let first: Vec<_> = resolver.resolve(name()).await.unwrap().collect();
        assert_eq!(first, addresses(&["8.8.8.8"]));
        let Err(second) = resolver.resolve(name()).await else { panic!("our own machine may be called") };
        assert!(second.is::<RefusedAddress>(), "{second}");
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|t| SocketAddr::new(t.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn refused_addresses_are_dropped_and_the_rest_is_kept() {
        let guard = Guard::default();
        let mixed = addresses(&["10.0.0.1", "8.8.8.8", "::1"]);
        assert_eq!(admitted("shop.example", mixed, &guard).unwrap(), addresses(&["8.8.8.8"]));
        let inside = addresses(&["10.0.0.1", "::1"]);
        let refused = admitted("shop.example", inside, &guard).unwrap_err();
        assert_eq!(refused.to_string(), "shop.example resolves to 10.0.0.1, which may not be connected to");
    }

    #[test]
    fn a_flood_of_addresses_is_cut() {
        let many = (0..200).map(|n| SocketAddr::from(([8, 8, 8, n], 0))).collect();
        assert_eq!(admitted("shop.example", many, &Guard::default()).unwrap().len(), MOST_ADDRESSES);
    }
}
