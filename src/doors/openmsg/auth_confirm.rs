//! `auth-confirm`: the peer asks whether we really sent that `auth` (specification §2.3, §2.4; weaknesses 6.9b, 6.14).

use std::net::IpAddr;

use super::Door;
use crate::handshakes::{self, Confirmed};
use crate::openmsg::answer::{self, HandshakeRefusal};
use crate::openmsg::handshake::AuthConfirmRequest;

pub(super) async fn answer(door: &Door, ip: IpAddr, body: &[u8]) -> Vec<u8> {
    let request = match AuthConfirmRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return HandshakeRefusal::of_confirm(&error).body(),
    };
    if door.floods.is_over(ip) {
        return HandshakeRefusal::UnknownPending.body();
    }
    match handshakes::confirm(&door.app, &request).await {
        Ok(Confirmed::Yes) => answer::confirmed(),
        Ok(Confirmed::Expired) => HandshakeRefusal::ExpiredPending.body(),
        Ok(Confirmed::No) => {
            door.floods.count_unknown(ip);
            HandshakeRefusal::UnknownPending.body()
        }
        Err(error) => {
            tracing::warn!(%error, "an auth-confirm could not be answered");
            HandshakeRefusal::Temporarily.body()
        }
    }
}
