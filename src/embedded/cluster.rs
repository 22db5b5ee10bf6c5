//! Several RabbitMQ nodes on loopback that are one broker: what a cluster of machines is, for tests of what happens when it loses one.
//!
//! Promises what the pair promises: own names, cookie, ports and epmd, nothing shared with other brokers of the machine, gone with
//! the process that started it. User, password and vhost are those of the pair it is made beside, so that a client behind a
//! balancer notices nothing but another address. Leaves out what an operator decides: partitions of the network, growing, shrinking.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::lock::Lock;
use super::owner::{failed, make_dir};
use super::process::{self, Server};
use super::rabbitmq::{RabbitMq, start_epmd};
use super::site::Site;
use super::{Pair, PairError, port};

/// The nodes, running or not.
pub struct BrokerCluster {
    // The leashes in the sites end last.
    nodes: Vec<(RabbitMq, Site)>,
    epmd: Server,
    _lock: Lock,
}

impl BrokerCluster {
    /// Starts as many nodes in `dir`; returns when all are one cluster, after about five seconds each.
    pub async fn start(dir: &Path, beside: &Pair, nodes: usize) -> Result<Self, PairError> {
        make_dir(dir, 0o711)?;
        let lock = Lock::take(dir)?;
        let identity = beside.site.identity();
        let site = |n| Site::open_member(&dir.join(format!("node-{n}")), identity, n);
        let sites = (1..=nodes).map(site).collect::<Result<Vec<_>, _>>()?;
        for site in &sites {
            process::stop_leftovers(&site.run()).await?;
        }
        let names: Vec<String> = sites.iter().map(|site| site.identity().node.clone()).collect();
        let [epmd_port] = port::free().map_err(failed("find ports for", dir))?;
        let member = |site: Site| Ok((RabbitMq::member(&site, names.clone(), epmd_port)?, site));
        let nodes = sites.into_iter().map(member).collect::<Result<Vec<_>, PairError>>()?;
        let (_, first) = nodes.first().ok_or(PairError::Elsewhere("a node"))?;
        let epmd = start_epmd(first, epmd_port).await?;
        let cluster = Self { nodes, epmd, _lock: lock };
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Where each node listens, running or not.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|(node, _)| SocketAddr::from((Ipv4Addr::LOCALHOST, node.port()))).collect()
    }

    /// SIGKILL for one node, counted from 0.
    pub async fn kill(&self, node: usize) -> Result<(), PairError> {
        self.node(node)?.0.kill().await
    }

    /// Starts one node again; returns when it is back in the cluster.
    pub async fn restart(&self, node: usize) -> Result<(), PairError> {
        let (node, site) = self.node(node)?;
        node.restart(site).await
    }

    /// All nodes lose their disks: killed, all they held deleted, started anew as an empty cluster.
    pub async fn wipe(&self) -> Result<(), PairError> {
        for (node, _) in &self.nodes {
            node.kill().await?;
        }
        for (node, site) in &self.nodes {
            node.wipe(site)?;
        }
        self.start_all().await
    }

    /// Stops all nodes, the last one started first, and waits until they are gone.
    pub async fn stop(self) -> Result<(), PairError> {
        for (node, _) in self.nodes.iter().rev() {
            node.stop().await?;
        }
        self.epmd.stop().await
    }

    /// As [`BrokerCluster::stop`], and deletes all that they held.
    pub async fn remove(self) -> Result<(), PairError> {
        for (node, _) in self.nodes.iter().rev() {
            node.kill().await?;
        }
        self.epmd.stop().await?;
        self.nodes.iter().try_for_each(|(_, site)| site.remove())
    }

    /// The first makes the cluster, the others find it: of several that start at once each might make its own.
    async fn start_all(&self) -> Result<(), PairError> {
        for (node, site) in &self.nodes {
            node.restart(site).await?;
        }
        Ok(())
    }

    fn node(&self, node: usize) -> Result<&(RabbitMq, Site), PairError> {
        self.nodes.get(node).ok_or(PairError::Elsewhere("this node"))
    }
}
