//! The list of workers. Adding one is a file here and a line below.
//!
//! | worker | begins with | does |
//! |---|---|---|
//! | [`confirm_sender`] | an ask of the door's `auth` | asks the sending domain, stores the connection |
//! | [`confirm_message`] | an ask of the door's `message-receive` | asks the sender's domain, decrypts, stores in the inbox |
//! | [`call_backend`] | an ask of a login | has an application's own back end make a token, or verify somebody |
//! | [`call_hub`] | an ask of the Homing Space gateway | has a hub make a welcome, or a captcha verified |
//! | [`call_peer`] | an ask of the TextSecure door | asks a federated node |
//! | [`start_handshake`] | a job of our API | asks another node's `auth`, stores the connection |
//! | [`deliver_openmsg`] | a delivery of the books | posts to another node's `message-receive` |
//! | [`deliver_webhook`] | a delivery of the books | posts to an HTTPS endpoint, signed |
//! | [`relay_message`] | a delivery of the books | hands a message over to a federated node |
//! | [`send_code`] | a delivery of the books | has a code carried by SMS, a call or mail |
//! | [`wake_device`] | a delivery of the books | hands an envelope to the device's push service |
//! | [`tell_space`] | a delivery of the books | tells somebody of a Homing Space welcome: webhook, Web Push, mail |
//! | [`schedule`] | the clock | publishes what is due and not in the broker |
//! | [`carry_operations`] | the clock | carries replays and cancels by filter on |
//! | [`purge_attachments`] | the clock | deletes files that have had their time |
//! | [`sweep`] | the clock | hands on what the dead held, deletes what has had its time |
//! | [`tell_webhooks`] | the clock | hands status events over to the webhooks that want them |
//! | [`finish_campaigns`] | the clock | ends campaigns that are through, keeps paused ones still |
//! | [`sync_directories`] | the clock | reads the directories of federated nodes |
//! | [`keep_partitions`] | the clock | makes partitions ahead, drops old ones |
//! | [`keep_keys`] | the clock | takes up new node keys, says which ones this process holds |
//! | [`keep_time`] | the clock | follows the database's clock |

pub mod call_backend;
pub mod call_hub;
pub mod call_peer;
pub mod carry_operations;
pub mod confirm_message;
pub mod confirm_sender;
pub mod deliver_openmsg;
pub mod deliver_webhook;
pub mod finish_campaigns;
pub mod keep_keys;
pub mod keep_partitions;
pub mod keep_time;
pub mod peer;
pub mod purge_attachments;
pub mod relay_message;
pub mod schedule;
pub mod send_code;
pub mod start_handshake;
pub mod sweep;
pub mod sync_directories;
pub mod tell_space;
pub mod tell_webhooks;
pub mod wake_device;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::books::ChannelName;
use crate::jobs::{Ask, Reply};
use crate::providers;
use crate::providers::carriers::{Carriers, Kind};
use crate::queue::AskTaken;
use crate::worker::{Channel, Crew};

/// Answers an ask: every kind has its worker here.
pub async fn answer(crew: &Crew, taken: AskTaken) -> Reply {
    let AskTaken { id, deadline, ask, .. } = taken;
    match ask {
        Ask::ConfirmSender(ask) => confirm_sender::run(crew, id, deadline, ask).await,
        Ask::ConfirmMessage(ask) => confirm_message::run(crew, deadline, ask).await,
        Ask::CallPeer(ask) => call_peer::run(crew, deadline, ask).await,
        Ask::CallBackend(ask) => call_backend::run(crew, id, deadline, ask).await,
        Ask::CallHub(ask) => call_hub::run(crew, deadline, ask).await,
    }
}

/// The channels that deliveries go over. Adding one is a file here, its name in [`ChannelName`], and a line below.
/// An error means that the settings cannot be used.
pub fn channels(crew: &Crew) -> anyhow::Result<HashMap<ChannelName, Box<dyn Channel>>> {
    let openmsg: Box<dyn Channel> = Box::new(deliver_openmsg::DeliverOpenmsg::new(crew));
    let webhook: Box<dyn Channel> = Box::new(deliver_webhook::DeliverWebhook::new(crew));
    let relay: Box<dyn Channel> = Box::new(relay_message::RelayMessage::new(crew));
    let services = Arc::new(providers::push::Services::load(&crew.app, &crew.outbound)?);
    let push: Box<dyn Channel> = Box::new(wake_device::WakeDevice::new(crew, Arc::clone(&services)));
    let mut channels = HashMap::from([
        (ChannelName::Openmsg, openmsg),
        (ChannelName::Webhook, webhook),
        (ChannelName::Relay, relay),
        (ChannelName::Push, push),
    ]);
    let carriers = Carriers::new(&crew.app.config)?;
    for (name, kind) in
        [(ChannelName::Sms, Kind::Sms), (ChannelName::Voice, Kind::Voice), (ChannelName::Email, Kind::Email)]
    {
        channels.insert(name, Box::new(send_code::SendCode::new(crew, &carriers, kind)));
    }
    channels.insert(ChannelName::Notice, Box::new(tell_space::TellSpace::new(crew, &carriers, services)));
    Ok(channels)
}

/// Longest wait for the rounds of the keepers to end.
const LAST_ROUND: Duration = Duration::from_secs(3);

/// Loops that belong to no job.
pub struct Keepers(JoinSet<()>);

/// Starts them, until `stop`; what others must hear of this process's work goes on until that is `drained`.
pub fn keep(crew: &Crew, stop: &CancellationToken, drained: &CancellationToken) -> Keepers {
    let mut keepers = JoinSet::new();
    keepers.spawn(schedule::run(crew.clone(), stop.clone()));
    keepers.spawn(carry_operations::run(crew.clone(), stop.clone()));
    keepers.spawn(sweep::run(crew.clone(), stop.clone()));
    keepers.spawn(purge_attachments::run(crew.app.clone(), stop.clone()));
    keepers.spawn(tell_webhooks::run(crew.app.clone(), crew.publisher.clone(), stop.clone()));
    keepers.spawn(finish_campaigns::run(crew.app.clone(), stop.clone()));
    keepers.spawn(sync_directories::run(crew.clone(), stop.clone()));
    keepers.spawn(keep_partitions::run(crew.app.clone(), stop.clone()));
    keepers.spawn(keep_keys::run(crew.app.clone(), "work", crew.pass.clone(), drained.clone()));
    keepers.spawn(keep_time::run(crew.app.clone(), stop.clone()));
    Keepers(keepers)
}

impl Keepers {
    /// Returns when one of them has ended, which none does before `stop`: it panicked. Without the sweep nobody hands on what the
    /// dead held, so the process must not go on as if it worked.
    pub async fn one_ended(&mut self) {
        while self.0.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the rounds they are in, which end soon after `stop`: one broken off would leave marks of publishes that were
    /// never made. What hangs is ended.
    pub async fn end(mut self) {
        let rounds = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ROUND, rounds).await.is_err() {
            self.0.shutdown().await;
        }
    }
}
