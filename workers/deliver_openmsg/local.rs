//! Both accounts are ours: the message goes from book to book, without HTTP (weakness 6.7b). Its id makes it exactly once.

use crate::accounts;
use crate::books::{ClaimedDelivery, Outcome};
use crate::connections::{self, Keyed, State};
use crate::crypto::sha256;
use crate::inbox::{NewEntry, Stored};
use crate::openmsg::Code;
use crate::retry::Advice;
use crate::worker::{Crew, Report};

pub(super) async fn store(crew: &Crew, delivery: &ClaimedDelivery, keyed: &Keyed) -> Report {
    let app = &crew.app;
    let (from, to) = (&keyed.connection.self_address, &keyed.connection.other_address);
    let refused = |code: Code, why| Report::of(Outcome::RefusedForGood, Advice::Never(why)).code(code.wire());
    let account = match accounts::find(app, to).await {
        Ok(account) => account.filter(|account| !account.disabled),
        Err(_) => return Report::untried(Advice::Later),
    };
    let back = match connections::find_by_addresses(app, to, from).await {
        Ok(back) => back,
        Err(_) => return Report::untried(Advice::Later),
    };
    let (Some(account), Some(back)) = (account, back) else {
        return refused(Code::IdentInvalid, "no-connection");
    };
    if !account.accepts_messages || back.state == State::Blocked {
        return refused(Code::RejectedByUser, "rejected");
    }
    let text = delivery.content.as_ref().and_then(|text| std::str::from_utf8(text).ok());
    let (Some(text), Ok(from_name)) = (text, back.other_name.parse()) else {
        return refused(Code::Unknown, "unreadable");
    };
    let entry = NewEntry {
        connection_id: Some(back.id),
        account_id: account.id,
        from: from.clone(),
        from_name,
        text: text.to_owned(),
        sent_at: delivery.created_at,
        nonce: None,
        hash: sha256(&[delivery.message_id().as_bytes()]),
        message_id: Some(delivery.message_id()),
        deadline: None,
    };
    match crew.shared.store(entry).await {
        Ok(Stored::New | Stored::Repeat) => Report::of(Outcome::Delivered, Advice::Done),
        Ok(Stored::NonceReused | Stored::TooLate) => Report::of(Outcome::RefusedForNow, Advice::Later).code("internal"),
        Err(_) => Report::untried(Advice::Later),
    }
}
