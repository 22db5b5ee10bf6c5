//! What goes wrong, drawn from the seed: the same seed draws the same faults, in the same order, with the same lengths.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::proxy::Cut;

/// Processes of the node by number: the ingresses first.
pub(crate) const PROCESSES: usize = 5;

/// A server that the node needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Database,
    Broker,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL for a process of the node.
    Kill(usize),
    /// SIGSTOP for a process of the node, later SIGCONT.
    Pause(usize, Duration),
    /// SIGTERM for a process of the node, and it is started again.
    Restart(usize),
    /// SIGKILL for a server; started again after a while.
    KillServer(Server, Duration),
    /// SIGSTOP for a server, later SIGCONT.
    PauseServer(Server, Duration),
    /// A clean shutdown and a start.
    RestartServer(Server),
    /// What is open between the node and a server is cut.
    Cut(Server, Cut),
    /// And no new connection is taken for a while.
    Refuse(Server, Duration),
    /// Nothing moves for a while, and nobody is told.
    Stall(Server, Duration),
    /// A node of the broker's cluster dies, and stays away.
    LoseNode(usize),
    /// And comes back.
    RegainNode(usize),
    /// The broker's disks are empty, all of them.
    Wipe,
    /// The broker is another one: a cluster.
    Move,
}

/// A fault, and how long it is quiet before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) quiet: Duration,
    pub(crate) fault: Fault,
    /// A second one, while the first one lasts.
    pub(crate) also: Option<Fault>,
}

/// Draws faults without end.
pub(crate) struct Plan(Dice);

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Dice::seeded(seed))
    }

    fn seconds(&mut self, range: std::ops::Range<usize>) -> Duration {
        Duration::from_millis(self.0.from(range.start * 1000..range.end * 1000) as u64)
    }

    fn of_process(&mut self) -> Fault {
        let process = self.0.from(0..PROCESSES);
        match self.0.from(0..4) {
            0 | 1 => Fault::Kill(process),
            2 => Fault::Pause(process, self.seconds(1..12)),
            _ => Fault::Restart(process),
        }
    }

    fn of_server(&mut self) -> Fault {
        let server = self.0.one_of(&[Server::Database, Server::Broker]);
        match self.0.from(0..3) {
            0 => Fault::KillServer(server, self.seconds(0..5)),
            1 => Fault::PauseServer(server, self.seconds(1..12)),
            _ => Fault::RestartServer(server),
        }
    }

    fn of_network(&mut self) -> Fault {
        let server = self.0.one_of(&[Server::Database, Server::Broker]);
        match self.0.from(0..4) {
            0 | 1 => Fault::Cut(server, self.0.one_of(&[Cut::Reset, Cut::Close, Cut::HalfClose, Cut::Forget])),
            2 => Fault::Refuse(server, self.seconds(1..6)),
            _ => Fault::Stall(server, self.seconds(1..12)),
        }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let quiet = Duration::from_millis(self.0.from(200..2500) as u64);
        let fault = match self.0.from(0..3) {
            0 => self.of_process(),
            1 => self.of_server(),
            _ => self.of_network(),
        };
        // Troubles come in pairs: while a server or the network is bad, a process dies.
        let lonely = matches!(fault, Fault::Kill(_) | Fault::Pause(..) | Fault::Restart(_));
        let also = (!lonely && self.0.from(0..3) == 0).then(|| Fault::Kill(self.0.from(0..PROCESSES)));
        Some(Planned { quiet, fault, also })
    }
}

impl Fault {
    /// In a word.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Kill(_) | Self::KillServer(..) => "kill",
            Self::Pause(..) | Self::PauseServer(..) => "pause",
            Self::Restart(_) | Self::RestartServer(_) => "restart",
            Self::Cut(_, Cut::Reset) => "reset",
            Self::Cut(_, Cut::Close) => "drop",
            Self::Cut(_, Cut::HalfClose) => "half-close",
            Self::Cut(_, Cut::Forget) => "black-hole",
            Self::Refuse(..) => "refuse",
            Self::Stall(..) => "stall",
            Self::LoseNode(_) => "lose-node",
            Self::RegainNode(_) => "regain-node",
            Self::Wipe => "wipe",
            Self::Move => "move",
        }
    }

    /// What it befalls.
    pub(crate) fn target(self) -> String {
        match self {
            Self::Kill(process) | Self::Pause(process, _) | Self::Restart(process) => match process {
                0 | 1 => format!("serve-{}", process + 1),
                _ => format!("work-{}", process - 1),
            },
            Self::KillServer(server, _) | Self::PauseServer(server, _) | Self::RestartServer(server) => {
                server.to_string()
            }
            Self::Cut(server, _) | Self::Refuse(server, _) | Self::Stall(server, _) => format!("link to {server}"),
            Self::LoseNode(node) | Self::RegainNode(node) => format!("rabbitmq-{}", node + 1),
            Self::Wipe => "rabbitmq, all nodes".to_owned(),
            Self::Move => "rabbitmq, to a cluster".to_owned(),
        }
    }

    /// How long it lasts, where that was drawn.
    pub(crate) fn lasts(self) -> Option<Duration> {
        match self {
            Self::Pause(_, time)
            | Self::KillServer(_, time)
            | Self::PauseServer(_, time)
            | Self::Refuse(_, time)
            | Self::Stall(_, time) => Some(time),
            _ => None,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "postgresql",
            Self::Broker => "rabbitmq",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults_and_all_kinds_are_drawn() {
        let draw = |seed| Plan::new(seed).take(300).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let kinds: HashSet<&str> = draw(7).iter().map(|planned| planned.fault.what()).collect();
        for kind in ["kill", "pause", "restart", "reset", "drop", "half-close", "black-hole", "refuse", "stall"] {
            assert!(kinds.contains(kind), "{kind} is never drawn");
        }
    }
}
