//! The mailbox behind its pages: passwords, sessions, conversations.

use std::net::IpAddr;
use std::time::Duration;

use handfast::App;
use handfast::accounts;
use handfast::books::{Acceptor, State};
use handfast::inbox::{self, NewEntry};
use handfast::mailbox::{self, Changed, From, Mailbox, Outcome, Said, Sent, Set};
use handfast::queue::Publisher;
use tokio_util::sync::CancellationToken;

use super::{account, address, name, own, secrets, store};
use crate::support::{DOMAIN, fresh_app, fresh_app_with};

const PASSWORD: &str = "correct horse battery";
const HOUR: Duration = Duration::from_secs(3600);

fn from(ip: &str) -> From<'static> {
    From { ip: ip.parse::<IpAddr>().unwrap(), agent: "a browser" }
}

async fn sign_in(mailbox: &Mailbox, who: &str, password: &str) -> Option<String> {
    match mailbox.sign_in(who, password, from("192.0.2.1")).await.unwrap() {
        Outcome::In(token) => Some(token.to_string()),
        _ => None,
    }
}

/// What became of a try, in a letter.
async fn tried(mailbox: &Mailbox, who: &str, password: &str, ip: &str) -> char {
    match mailbox.sign_in(who, password, from(ip)).await.unwrap() {
        Outcome::In(_) => 'i',
        Outcome::Wrong => 'w',
        Outcome::Later(seconds) => {
            assert!((1..=3600).contains(&seconds));
            'l'
        }
        Outcome::Busy => 'b',
    }
}

async fn with_password(app: &App, id: u32) -> Mailbox {
    account(app, id).await;
    let mailbox = Mailbox::new(app);
    assert_eq!(mailbox.set_password(&own(id), PASSWORD).await.unwrap(), Ok(Set::Done));
    mailbox
}

/// The hour has just begun: no count of the test falls into two.
async fn at_the_full_hour(app: &App) {
    let left = 3600 - app.clock.unix_seconds().rem_euclid(3600);
    app.clock.advance(Duration::from_secs(left as u64));
}

#[tokio::test]
async fn a_password_opens_its_account_and_nothing_else() {
    let app = fresh_app().await;
    let mailbox = with_password(&app, 1000).await;
    account(&app, 1001).await;
    let token = sign_in(&mailbox, "1000", PASSWORD).await.unwrap();
    let who = mailbox::find_session(&app, &token).await.unwrap().unwrap();
    assert_eq!(who.account.address, own(1000));
    for (who, password) in [
        ("1000", "another password"),
        ("1001", PASSWORD),
        ("9", PASSWORD),
        ("", PASSWORD),
        ("nobody\0", PASSWORD),
        ("1000*other.example", PASSWORD),
        ("1000", ""),
    ] {
        assert_eq!(tried(&mailbox, who, password, "192.0.2.1").await, 'w', "{who:?} {password:?}");
    }
    for wrong in ["", "x", &"A".repeat(43), &token[..42]] {
        assert!(mailbox::find_session(&app, wrong).await.unwrap().is_none());
    }
    let nobody = address(&format!("77*{DOMAIN}"));
    assert_eq!(mailbox.set_password(&nobody, PASSWORD).await.unwrap(), Ok(Set::Nobody));
}

#[tokio::test]
async fn guessing_ends_for_an_address_and_for_a_network_whether_or_not_there_is_an_account() {
    let app = fresh_app_with(|config| {
        config.mailbox.wrong_passwords_per_account = 3;
        config.mailbox.wrong_passwords_per_ip = 6;
    })
    .await;
    at_the_full_hour(&app).await;
    let mailbox = with_password(&app, 1000).await;
    for who in ["1000", "4711"] {
        let ip = if who == "1000" { "192.0.2.1" } else { "192.0.2.2" };
        let mut seen = String::new();
        for _ in 0..4 {
            seen.push(tried(&mailbox, who, "wrong", ip).await);
        }
        assert_eq!(seen, "wwwl", "{who}");
    }
    assert_eq!(tried(&mailbox, "1000", PASSWORD, "192.0.2.9").await, 'l', "the address rests for everybody");
    // One network, many addresses.
    let mut seen = String::new();
    for id in 0..8 {
        seen.push(tried(&mailbox, &format!("50{id}"), "wrong", "2001:db8::1").await);
    }
    assert_eq!(seen, "wwwwwwll");
    assert_eq!(tried(&mailbox, "600", "wrong", "2001:db8::ffff").await, 'l', "a /64 is one network");
    app.clock.advance(HOUR);
    // What is right is not counted.
    for _ in 0..8 {
        assert_eq!(tried(&mailbox, "1000", PASSWORD, "192.0.2.1").await, 'i');
    }
}

#[tokio::test]
async fn simultaneous_guesses_do_not_pass_together() {
    let app = fresh_app_with(|config| config.mailbox.wrong_passwords_per_account = 4).await;
    at_the_full_hour(&app).await;
    let mailbox = with_password(&app, 1000).await;
    let tries = (0..12).map(|_| tried(&mailbox, "1000", "wrong", "192.0.2.1"));
    let seen = futures_util::future::join_all(tries).await;
    assert_eq!(seen.iter().filter(|one| **one == 'w').count(), 4, "{seen:?}");
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let app = fresh_app().await;
    let mailbox = with_password(&app, 1000).await;
    let (one, two) =
        (sign_in(&mailbox, "1000", PASSWORD).await.unwrap(), sign_in(&mailbox, "1000", PASSWORD).await.unwrap());
    let user = mailbox::find_session(&app, &one).await.unwrap().unwrap();
    let changed = mailbox.change_password(&user, "wrong", "a new password of mine").await.unwrap();
    assert_eq!(changed, Ok(Changed::Wrong));
    assert!(mailbox::find_session(&app, &two).await.unwrap().is_some());
    let changed = mailbox.change_password(&user, PASSWORD, "a new password of mine").await.unwrap();
    assert_eq!(changed, Ok(Changed::Done));
    assert!(mailbox::find_session(&app, &one).await.unwrap().is_some(), "the browser it was made in stays");
    assert!(mailbox::find_session(&app, &two).await.unwrap().is_none());
    assert!(sign_in(&mailbox, "1000", PASSWORD).await.is_none());
    // An operator's ends all.
    assert_eq!(mailbox.set_password(&own(1000), PASSWORD).await.unwrap(), Ok(Set::Done));
    assert!(mailbox::find_session(&app, &one).await.unwrap().is_none());
    assert!(mailbox.take_password(&own(1000)).await.unwrap());
    assert!(sign_in(&mailbox, "1000", PASSWORD).await.is_none());
}

#[tokio::test]
async fn a_users_change_does_not_undo_what_an_operator_has_done_meanwhile() {
    let app = fresh_app().await;
    let mailbox = with_password(&app, 1000).await;
    let token = sign_in(&mailbox, "1000", PASSWORD).await.unwrap();
    let intruder = mailbox::find_session(&app, &token).await.unwrap().unwrap();
    // The operator's command has begun and holds the row; the intruder's password is looked at, and its change waits for the row.
    let mut client = app.db.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let forget = "update mailbox_users set password = null, password_at = null where account_id = $1";
    tx.execute(forget, &[&intruder.account.id]).await.unwrap();
    let change = mailbox.change_password(&intruder, PASSWORD, "the intruder's own password");
    let operator = async {
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while app.db.row(waits, &[]).await.unwrap().unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tx.commit().await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, operator);
    assert_eq!(changed.unwrap(), Ok(Changed::Wrong));
    assert!(sign_in(&mailbox, "1000", "the intruder's own password").await.is_none());
    // The same where the session alone was ended before.
    assert_eq!(mailbox.set_password(&own(1000), PASSWORD).await.unwrap(), Ok(Set::Done));
    let changed = mailbox.change_password(&intruder, PASSWORD, "the intruder's own password").await.unwrap();
    assert_eq!(changed, Ok(Changed::Wrong));
}

#[tokio::test]
async fn who_guesses_from_outside_keeps_nobody_from_a_new_password() {
    let app = fresh_app_with(|config| config.mailbox.wrong_passwords_per_account = 2).await;
    at_the_full_hour(&app).await;
    let mailbox = with_password(&app, 1000).await;
    let token = sign_in(&mailbox, "1000", PASSWORD).await.unwrap();
    for _ in 0..3 {
        tried(&mailbox, "1000", "wrong", "192.0.2.9").await;
    }
    assert_eq!(tried(&mailbox, "1000", PASSWORD, "192.0.2.1").await, 'l');
    let user = mailbox::find_session(&app, &token).await.unwrap().unwrap();
    let change = async |present: &str| mailbox.change_password(&user, present, "a new password of mine").await.unwrap();
    assert_eq!(change("wrong").await, Ok(Changed::Wrong));
    assert_eq!(change(PASSWORD).await, Ok(Changed::Done));
    // Who is signed in cannot guess for ever either.
    assert_eq!(change("wrong").await, Ok(Changed::Wrong));
    assert!(matches!(change("wrong").await, Ok(Changed::Later(_))));
}

#[tokio::test]
async fn a_disabled_account_is_signed_out_for_good() {
    let app = fresh_app().await;
    let mailbox = with_password(&app, 1000).await;
    let token = sign_in(&mailbox, "1000", PASSWORD).await.unwrap();
    accounts::set_disabled(&app, &own(1000), true).await.unwrap();
    assert!(mailbox::find_session(&app, &token).await.unwrap().is_none());
    assert!(sign_in(&mailbox, "1000", PASSWORD).await.is_none());
    assert!(mailbox.invite(&own(1000)).await.unwrap().is_none());
    accounts::set_disabled(&app, &own(1000), false).await.unwrap();
    assert!(mailbox::find_session(&app, &token).await.unwrap().is_none());
    assert!(sign_in(&mailbox, "1000", PASSWORD).await.is_some());
}

#[tokio::test]
async fn sessions_end_by_themselves_one_by_one_and_all_together() {
    let app = fresh_app_with(|config| config.mailbox.sessions_per_account = 3).await;
    let mailbox = with_password(&app, 1000).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(sign_in(&mailbox, "1000", PASSWORD).await.unwrap());
    }
    let holds = async |token: &str| mailbox::find_session(&app, token).await.unwrap();
    assert!(holds(&tokens[0]).await.is_none(), "the oldest makes room");
    let user = holds(&tokens[1]).await.unwrap();
    let listed = mailbox::sessions(&app, user.account.id).await.unwrap();
    assert_eq!((listed.len(), listed[0].agent.as_str(), listed[0].network.as_str()), (3, "a browser", "192.0.2.1"));
    let other = holds(&tokens[2]).await.unwrap();
    assert!(mailbox::sign_out(&app, user.account.id, other.session).await.unwrap());
    assert!(holds(&tokens[2]).await.is_none());
    let stranger = account(&app, 1001).await;
    assert!(!mailbox::sign_out(&app, stranger.id, user.session).await.unwrap(), "nobody ends another's session");
    // Used now and then, a session lasts; unused it ends.
    for _ in 0..3 {
        app.clock.advance(2 * 24 * HOUR);
        assert!(holds(&tokens[1]).await.is_some());
    }
    assert!(holds(&tokens[3]).await.is_none());
    app.clock.advance(9 * 24 * HOUR);
    assert!(holds(&tokens[1]).await.is_none(), "two weeks are over, and it was not used");
    assert_eq!(mailbox::purge(&app).await.unwrap(), 2);
    // An open page alone is no use.
    let open = sign_in(&mailbox, "1000", PASSWORD).await.unwrap();
    for _ in 0..2 {
        app.clock.advance(24 * HOUR);
        assert!(mailbox::look_session(&app, &open).await.unwrap().is_some());
    }
    app.clock.advance(25 * HOUR);
    assert!(mailbox::look_session(&app, &open).await.unwrap().is_none());
    mailbox::sign_out_all(&app, user.account.id, None).await.unwrap();
    let (one, two) =
        (sign_in(&mailbox, "1000", PASSWORD).await.unwrap(), sign_in(&mailbox, "1000", PASSWORD).await.unwrap());
    assert_eq!(mailbox::sign_out_all(&app, user.account.id, None).await.unwrap(), 2);
    assert!(holds(&one).await.is_none() && holds(&two).await.is_none());
}

#[tokio::test]
async fn an_invitation_is_good_once_and_for_its_time() {
    let app = fresh_app().await;
    account(&app, 1000).await;
    let mailbox = Mailbox::new(&app);
    let first = mailbox.invite(&own(1000)).await.unwrap().unwrap();
    let second = mailbox.invite(&own(1000)).await.unwrap().unwrap();
    assert_eq!(mailbox.invited(&first.token).await.unwrap(), None, "a newer one takes its place");
    assert_eq!(mailbox.invited(&second.token).await.unwrap(), Some(own(1000)));
    let both = tokio::join!(
        mailbox.accept_invitation(&second.token, PASSWORD),
        mailbox.accept_invitation(&second.token, "another password")
    );
    let both = [both.0.unwrap().unwrap(), both.1.unwrap().unwrap()];
    assert!(both.contains(&Set::Done) && both.contains(&Set::Nobody), "{both:?}");
    let late = mailbox.invite(&own(1000)).await.unwrap().unwrap();
    app.clock.advance(8 * 24 * HOUR);
    assert_eq!(mailbox.accept_invitation(&late.token, PASSWORD).await.unwrap(), Ok(Set::Nobody));
    assert_eq!(mailbox::purge(&app).await.unwrap(), 1);
}

/// Ada of `7*peer.test`, or anybody else, has written.
async fn arrives(app: &App, account: &accounts::Account, other: &str, text: &str) {
    let entry = NewEntry {
        connection_id: None,
        account_id: account.id,
        from: address(other),
        from_name: name("Ada"),
        text: text.to_owned(),
        sent_at: app.clock.now(),
        nonce: None,
        hash: [0; 32],
        message_id: None,
        deadline: None,
    };
    inbox::store_many(app, vec![entry]).await.unwrap();
    // Ids of one millisecond have no order.
    app.clock.advance(Duration::from_millis(2));
}

fn texts(talk: &mailbox::Talk) -> Vec<&str> {
    talk.lines.iter().map(|line| line.text.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_conversation_is_in_order_and_comes_page_by_page() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let (ada, eve) = (address("7*peer.test"), address("8*peer.test"));
    store(&app, &shop, ada.as_str(), &secrets()).await;
    let stop = CancellationToken::new();
    let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
    let mut written = Vec::new();
    for n in 0..60 {
        let text = format!("{n}");
        if n % 3 == 0 {
            arrives(&app, &shop, ada.as_str(), &text).await;
        } else {
            let sent = mailbox::send(&app, &acceptor, &shop, &ada, text.clone(), &format!("once {n}")).await.unwrap();
            assert!(matches!(sent, Sent::Accepted(_)), "{sent:?}");
            app.clock.advance(Duration::from_millis(2));
        }
        arrives(&app, &shop, eve.as_str(), "not of this conversation").await;
        written.push(text);
    }
    let first = mailbox::talk(&app, shop.id, &shop.address, &ada, None).await.unwrap();
    assert_eq!(texts(&first), written[20..]);
    assert!(first.lines.iter().all(|line| match &line.said {
        Said::Other { name, read } => name == "Ada" && !read,
        Said::Own { state, .. } => *state == State::Pending,
    }));
    // They go one after the other, also where the first has to be tried again.
    let lines = app.db.row("select count(*) from turns group by destination, key", &[]).await.unwrap().unwrap();
    assert_eq!(lines.get::<_, i64>(0), 40);
    let second = mailbox::talk(&app, shop.id, &shop.address, &ada, first.older).await.unwrap();
    assert_eq!(texts(&second), written[..20]);
    assert!(second.older.is_none());
    assert!(mailbox::talk(&app, shop.id, &shop.address, &address("9*peer.test"), None).await.unwrap().lines.is_empty());
    stop.cancel();
}

#[tokio::test]
async fn unread_messages_are_counted_until_they_are_read() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let ada = address("7*peer.test");
    store(&app, &shop, ada.as_str(), &secrets()).await;
    store(&app, &shop, "9*peer.test", &secrets()).await;
    arrives(&app, &shop, ada.as_str(), "one").await;
    arrives(&app, &shop, ada.as_str(), "two").await;
    arrives(&app, &shop, "8*peer.test", "of somebody who has no connection any more").await;
    let list = async || {
        let found = mailbox::conversations(&app, shop.id, &shop.address, None).await.unwrap();
        let items: Vec<_> =
            found.items.iter().map(|one| (one.other.to_string(), one.unread, one.state.is_some())).collect();
        (items, found.unread)
    };
    let item = |other: &str, unread: i64, connected: bool| (other.to_owned(), unread, connected);
    let expected = vec![item("8*peer.test", 1, false), item("7*peer.test", 2, true), item("9*peer.test", 0, true)];
    assert_eq!(list().await, (expected, 3));
    let talk = mailbox::talk(&app, shop.id, &shop.address, &ada, None).await.unwrap();
    let ids: Vec<_> = talk.lines.iter().map(|line| line.id).collect();
    assert_eq!(mailbox::said(&app, &shop.address, &ada, &ids).await.unwrap().len(), 2);
    assert!(mailbox::said(&app, &own(1001), &ada, &ids).await.unwrap().is_empty(), "another account's are nobody's");
    inbox::acknowledge(&app, Some(shop.id), &ids).await.unwrap();
    let (items, unread) = list().await;
    assert_eq!((items[1].1, unread), (0, 1));
}

#[tokio::test]
async fn who_wrote_last_is_on_the_first_page_of_many() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let mut others = Vec::new();
    for n in 0..202 {
        let other = format!("{}*peer.test", 5000 + n);
        store(&app, &shop, &other, &secrets()).await;
        app.clock.advance(Duration::from_millis(2));
        others.push(other);
    }
    arrives(&app, &shop, &others[201], "here I am").await;
    let first = mailbox::conversations(&app, shop.id, &shop.address, None).await.unwrap();
    let newest = &first.items[0];
    assert_eq!((newest.other.as_str(), newest.unread, newest.state.is_some()), (others[201].as_str(), 1, true));
    assert_eq!((first.items.len(), first.unread), (201, 1));
    let rest = mailbox::conversations(&app, shop.id, &shop.address, first.next).await.unwrap();
    let rest: Vec<_> = rest.items.iter().map(|one| one.other.to_string()).collect();
    assert_eq!(rest, [others[201].clone(), others[200].clone()]);
}

#[tokio::test]
async fn what_cannot_be_opened_is_shown_as_that_and_can_be_read() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let ada = address("7*peer.test");
    arrives(&app, &shop, ada.as_str(), "lost").await;
    app.db.execute("update inbox set content = '\\x00'", &[]).await.unwrap();
    let talk = mailbox::talk(&app, shop.id, &shop.address, &ada, None).await.unwrap();
    assert_eq!((talk.lines.len(), talk.lines[0].text.is_none(), talk.lines[0].is_unread()), (1, true, true));
    inbox::acknowledge(&app, Some(shop.id), &[talk.lines[0].id]).await.unwrap();
    assert_eq!(mailbox::unread(&app, shop.id).await.unwrap(), 0);
}

#[tokio::test]
async fn a_form_that_comes_twice_is_one_message_and_a_block_stops_all() {
    let app = fresh_app().await;
    let shop = account(&app, 1000).await;
    let ada = address("7*peer.test");
    let id = store(&app, &shop, ada.as_str(), &secrets()).await;
    let stop = CancellationToken::new();
    let acceptor = Acceptor::start(&app, &Publisher::start(&app, stop.clone()));
    let send = async |text: &str, once: &str| {
        mailbox::send(&app, &acceptor, &shop, &ada, text.to_owned(), once).await.unwrap()
    };
    let first = send("hello", "a").await;
    assert_eq!(send("hello", "a").await, first);
    assert_ne!(send("hello, and more", "a").await, first, "gone back, and written something else");
    assert_ne!(send("hello", "b").await, first);
    handfast::connections::block(&app, id).await.unwrap();
    assert_eq!(send("hello", "c").await, Sent::Blocked);
    handfast::connections::delete(&app, id).await.unwrap();
    assert_eq!(send("hello", "d").await, Sent::NotConnected);
    stop.cancel();
}
