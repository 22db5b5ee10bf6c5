//! `message-confirm`: the peer asks whether we are sending that message right now (specification §3.4; weaknesses 6.9, 6.16).

use std::net::IpAddr;

use super::Door;
use crate::openmsg::message::MessageConfirmRequest;
use crate::openmsg::{Code, answer};

pub(super) async fn answer(door: &Door, ip: IpAddr, body: &[u8]) -> Vec<u8> {
    let request = match MessageConfirmRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return answer::message_confirm_malformed(&error),
    };
    if door.floods.is_over(ip) {
        return answer::message_refused(Code::MessageUnknown);
    }
    match door.lookups.confirm(*request.message_hash.as_bytes(), request.nonce.to_text()).await {
        Ok(true) => answer::confirmed(),
        Ok(false) => {
            door.floods.count_unknown(ip);
            answer::message_refused(Code::MessageUnknown)
        }
        Err(_) => answer::message_refused(Code::RejectedForNow),
    }
}
