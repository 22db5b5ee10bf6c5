//! From a host name to the addresses that may be connected to.
//!
//! The client connects to exactly what this answers, so an address is checked and used in one step: a name that changes
//! its address in between (rebinding) gains nothing. Names come from DNS alone, never from `/etc/hosts` or a search
//! domain, so that a stranger's domain cannot mean a machine of ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::NetError;
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
        let mut builder = TokioResolver::builder_tokio()?;
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
    use super::*;

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
