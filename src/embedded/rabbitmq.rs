//! A private RabbitMQ node, alone or one of a cluster (`cluster.rs`), with its own name, epmd, cookie and configuration, on loopback, without plugins.
//!
//! Users, vhosts and permissions come from one definitions file that the broker reads at every boot, before it listens.
//! A wiped broker therefore comes back with all of them, the default user `guest` never exists, and the slow command line
//! tool is called only for a vhost that is added later.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::PairError;
use super::owner::{failed, write_file};
use super::port;
use super::process::{EPMD, RABBITMQ, Server, last_lines};
use super::site::Site;
use crate::config::Secret;

/// Three seconds is usual; recovery of large queues takes longer.
const START_LIMIT: Duration = Duration::from_secs(120);
/// The vhost that is there from the first boot on.
const FIRST_VHOST: &str = "handfast";
/// Where packages put the scripts. Not the wrapper in `/usr/sbin`, which insists on the user `rabbitmq`.
const PLACES: [&str; 3] = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/lib/rabbitmq/sbin"];
/// Everything the node hears comes from this machine; epmd is ours, started before.
const ERLANG_ARGUMENTS: &str = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}";

/// One node, running or not.
pub(super) struct RabbitMq {
    bin: PathBuf,
    ports: Ports,
    password: String,
    vhosts: Mutex<BTreeSet<String>>,
    running: Mutex<Option<Running>>,
    /// All nodes of the cluster it is of, itself too, which share an epmd that is not its own; empty for one that is alone.
    cluster: Vec<String>,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    epmd: u16,
    distribution: u16,
}

struct Running {
    /// None in a cluster.
    epmd: Option<Server>,
    node: Server,
}

impl RabbitMq {
    /// Makes the node's files at first use and starts it on free ports.
    pub(super) async fn start(site: &Site) -> Result<Self, PairError> {
        let mut broker = Self::found(site, Vec::new())?;
        for last in [false, false, false, true] {
            broker.take_ports(site)?;
            match broker.restart(site).await {
                Err(PairError::NotReady { tail, .. }) if !last && lost_the_race(&tail) => {}
                other => return other.map(|()| broker),
            }
        }
        Ok(broker)
    }

    /// One of a cluster whose epmd listens on that port. Nothing runs yet.
    pub(super) fn member(site: &Site, cluster: Vec<String>, epmd: u16) -> Result<Self, PairError> {
        let mut broker = Self::found(site, cluster)?;
        broker.take_ports(site)?;
        broker.ports.epmd = epmd;
        Ok(broker)
    }

    /// Files, no ports.
    fn found(site: &Site, cluster: Vec<String>) -> Result<Self, PairError> {
        let places = PLACES.into_iter().map(PathBuf::from);
        let bin = places.into_iter().find(|bin| bin.join("rabbitmq-server").exists()).ok_or(PairError::Missing {
            program: "RabbitMQ 3.10 or later",
            package: "rabbitmq-server",
            setting: "amqp.url",
        })?;
        make_home(site)?;
        let vhosts = Mutex::new(known_vhosts(&site.etc().join("definitions.json")));
        let password = site.identity().broker_password.clone();
        let ports = Ports { amqp: 0, epmd: 0, distribution: 0 };
        Ok(Self { bin, ports, password, vhosts, running: Mutex::new(None), cluster })
    }

    fn take_ports(&mut self, site: &Site) -> Result<(), PairError> {
        let [amqp, epmd, distribution] = port::free().map_err(failed("find ports for", &site.data("rabbitmq")))?;
        self.ports = Ports { amqp, epmd, distribution };
        Ok(())
    }

    /// Starts it on its ports, unless it runs.
    pub(super) async fn restart(&self, site: &Site) -> Result<(), PairError> {
        let mut slot = self.running.lock().await;
        if let Some(mut running) = slot.take() {
            if !running.has_died() {
                *slot = Some(running);
                return Ok(());
            }
            running.kill().await?;
        }
        self.write_definitions(site, &*self.vhosts.lock().await)?;
        site.write_config("rabbitmq.conf", &self.settings(site))?;
        let mut running = self.launch(site).await?;
        let amqp = self.ports.amqp;
        match running.node.wait_until(START_LIMIT, async || greets(amqp).await.is_ok()).await {
            Ok(()) => *slot = Some(running),
            Err(error) => {
                running.kill().await?;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn launch(&self, site: &Site) -> Result<Running, PairError> {
        let alone = self.cluster.is_empty();
        let epmd = if alone { Some(start_epmd(site, self.ports.epmd).await?) } else { None };
        match Server::start(site, RABBITMQ, self.command(site, "rabbitmq-server")).await {
            Ok(node) => Ok(Running { epmd, node }),
            Err(error) => {
                if let Some(epmd) = epmd {
                    epmd.kill().await?;
                }
                Err(error)
            }
        }
    }

    /// A script of RabbitMQ's, told about every file and port, so that nothing of the machine's own broker is read or met.
    fn command(&self, site: &Site, script: &str) -> Command {
        let (home, etc) = (site.data("rabbitmq"), site.etc());
        let mut command = site.owner().command(self.bin.join(script), &home);
        command
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", &site.identity().node)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", etc.join("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", etc.join("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", etc.join("none"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", etc.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", etc.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", home.join("generated"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGUMENTS)
            // Half a million Erlang processes cost memory from the start; this is still far more than connections.
            .env("RABBITMQ_MAX_NUMBER_OF_PROCESSES", "131072")
            // The script then becomes the server instead of waiting for it, so that the process we know is the one that counts.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_CTL_ERL_ARGS", ERLANG_ARGUMENTS)
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0");
        command
    }

    fn settings(&self, site: &Site) -> String {
        let member = |(n, node): (usize, &String)| {
            let n = n + 1;
            format!("cluster_formation.classic_config.nodes.{n} = {node}\n")
        };
        let cluster: String = self.cluster.iter().enumerate().map(member).collect();
        format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             load_definitions = {}\n\
             log.console = true\n\
             log.console.level = info\n\
             log.file = false\n\
             # Quorum queues keep up to this much in memory before they write it out.\n\
             raft.wal_max_size_bytes = 33554432\n\
             disk_free_limit.absolute = 64MB\n\
             {cluster}",
            self.ports.amqp,
            site.etc().join("definitions.json").display()
        )
    }

    fn write_definitions(&self, site: &Site, vhosts: &BTreeSet<String>) -> Result<PathBuf, PairError> {
        site.write_config("definitions.json", &definitions(vhosts, &self.password))
    }

    /// Restarts it if it has died without being told to.
    pub(super) async fn revive(&self, site: &Site) -> Result<bool, PairError> {
        let died = self.running.lock().await.as_mut().is_some_and(Running::has_died);
        if died {
            self.restart(site).await?;
        }
        Ok(died)
    }

    /// Clean shutdown, epmd last.
    pub(super) async fn stop(&self) -> Result<(), PairError> {
        let Some(running) = self.running.lock().await.take() else { return Ok(()) };
        running.node.stop().await?;
        match running.epmd {
            Some(epmd) => epmd.stop().await,
            None => Ok(()),
        }
    }

    /// SIGSTOP or SIGCONT; nothing where it does not run.
    pub(super) async fn freeze(&self, frozen: bool) {
        if let Some(running) = self.running.lock().await.as_ref() {
            running.node.freeze(frozen);
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(&self) -> Result<(), PairError> {
        match self.running.lock().await.take() {
            Some(running) => running.kill().await,
            None => Ok(()),
        }
    }

    /// Deletes all it holds; it must be stopped.
    pub(super) fn wipe(&self, site: &Site) -> Result<(), PairError> {
        let data = site.data("rabbitmq").join("mnesia");
        if data.exists() {
            fs::remove_dir_all(&data).map_err(failed("delete", &data))?;
        }
        Ok(())
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The Erlang machine's process id.
    pub(super) async fn process_id(&self) -> Option<u32> {
        self.running.lock().await.as_ref().map(|running| running.node.pid())
    }

    /// With password.
    pub(super) fn url(&self, vhost: &str) -> Secret {
        format!("amqp://handfast:{}@127.0.0.1:{}/{vhost}", self.password, self.ports.amqp).into()
    }

    /// `name` must be plain. Half a second for a new one, nothing for a known one.
    pub(super) async fn ensure_vhost(&self, site: &Site, name: &str) -> Result<(), PairError> {
        let mut vhosts = self.vhosts.lock().await;
        if !vhosts.insert(name.to_owned()) {
            return Ok(());
        }
        let imported = self.import(site, &vhosts).await;
        if imported.is_err() {
            vhosts.remove(name);
        }
        imported
    }

    async fn import(&self, site: &Site, vhosts: &BTreeSet<String>) -> Result<(), PairError> {
        let path = self.write_definitions(site, vhosts)?;
        let mut import = self.command(site, "rabbitmqctl");
        import.arg("import_definitions").arg(&path).kill_on_drop(true);
        let run = |source| PairError::Run { program: "rabbitmqctl".to_owned(), source };
        let done = import.output().await.map_err(run)?;
        if done.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        Err(PairError::Failed { program: "rabbitmqctl", output: last_lines(&output, 15) })
    }
}

impl Running {
    /// Without either half the other is of no use.
    fn has_died(&mut self) -> bool {
        self.node.ended().is_some() || self.epmd.as_mut().is_some_and(|epmd| epmd.ended().is_some())
    }

    async fn kill(self) -> Result<(), PairError> {
        self.node.kill().await?;
        match self.epmd {
            Some(epmd) => epmd.kill().await,
            None => Ok(()),
        }
    }
}

/// Erlang's name service, on that port of loopback.
pub(super) async fn start_epmd(site: &Site, port: u16) -> Result<Server, PairError> {
    let mut epmd = site.owner().command("epmd", &site.data("rabbitmq"));
    epmd.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    let mut epmd = Server::start(site, EPMD, epmd).await?;
    let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
    epmd.wait_until(START_LIMIT, listens).await?;
    Ok(epmd)
}

fn make_home(site: &Site) -> Result<(), PairError> {
    let home = site.data("rabbitmq");
    if !home.exists() {
        let fresh = site.data("rabbitmq.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(failed("delete", &fresh))?;
        }
        // While it is still ours alone: the cookie must belong to the servers' user, and no other may put anything in its place.
        super::owner::make_dir(&fresh, 0o700)?;
        let cookie = fresh.join(".erlang.cookie");
        write_file(&cookie, &site.identity().cookie, 0o400)?;
        site.owner().give(&cookie)?;
        site.owner().give(&fresh)?;
        fs::rename(&fresh, &home).map_err(failed("rename", &fresh))?;
    }
    site.write_config("rabbitmq-env.conf", "# Read instead of the machine's own file. Empty on purpose.\n")?;
    site.write_config("enabled_plugins", "[].\n")?;
    Ok(())
}

/// What RabbitMQ imports at boot: one user who may do everything in every vhost.
fn definitions(vhosts: &BTreeSet<String>, password: &str) -> String {
    let may_all =
        |vhost| serde_json::json!({"user": "handfast", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"});
    serde_json::json!({
        "users": [{"name": "handfast", "password": password, "tags": ""}],
        "vhosts": vhosts.iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>(),
        "permissions": vhosts.iter().map(may_all).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The vhosts of an earlier run's definitions.
fn known_vhosts(definitions: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(definitions).unwrap_or_default();
    let earlier: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let names = earlier["vhosts"].as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str());
    names.chain([FIRST_VHOST]).map(str::to_owned).collect()
}

/// A broker that listens has its definitions imported; one that answers a greeting with Connection.Start is at work.
async fn greets(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut head = [0; 11];
    stream.read_exact(&mut head).await?;
    // AMQP 0-9-1, 4.2.3 and 1.4.2.1: a method frame on channel 0, class 10, method 10.
    let is_start = head[..3] == [1, 0, 0] && head[7..] == [0, 10, 0, 10];
    if is_start { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

fn lost_the_race(log: &str) -> bool {
    ["eaddrinuse", "address already in use", "Address already in use", "port in use"]
        .iter()
        .any(|sign| log.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vhosts_are_found_again_in_the_definitions() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("definitions.json");
        assert_eq!(known_vhosts(&path), BTreeSet::from(["handfast".to_owned()]));
        let two = BTreeSet::from(["handfast".to_owned(), "t_1".to_owned()]);
        fs::write(&path, definitions(&two, "p\"w")).expect("written");
        assert_eq!(known_vhosts(&path), two);
    }
}
