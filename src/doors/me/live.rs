//! `GET /me/live`: what changes on an open page, as server-sent events (HTML standard, 9.2).
//!
//! An event `parts` holds parts of the page as the server would write them now, by name; `over` says that nobody is signed in any more.
//! New messages are told within a quarter of a second, those that follow at once, and the standing of sent ones, within a second, the
//! end of a session within three. What is sent is not read yet: the page says what it has shown (`talk::read`), and closes the stream
//! while nobody sees it. An open page is no use of its session: left alone, it ends like any other.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Map, Value};
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;
use warp::reply::Response;

use super::page::{failed, unread_words};
use super::{Answer, User, Visit, codes, list, shown, talk};
use crate::App;
use crate::connections::{self, Connection};
use crate::doors::places::Place;
use crate::doors::sse::{self, Ended, Outlet};
use crate::failure::{Failure, chain};
use crate::inbox::{News, Subscription};
use crate::mailbox::{self, Line, Said};
use crate::openmsg::Address;

/// How often what is under way is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between looks at the session, and at the newest connection.
const CHECK_EVERY: u64 = 3;
/// Ticks after which everything is sent anew, changed or not.
const ALL_EVERY: u64 = 15;
/// News taken together.
const TOGETHER: usize = 100;
const OVER: &str = "event: over\ndata: {}\n\n";

/// What the page shows.
enum View {
    List,
    Talk(Address),
    Codes,
}

/// `GET /me/live`
pub(super) async fn stream(visit: &Visit) -> Answer {
    let view = match (visit.query.get("page"), visit.query.get("with").parse()) {
        ("codes", _) => View::Codes,
        (_, Ok(other)) => View::Talk(other),
        _ => View::List,
    };
    let (events, response) = sse::open();
    let Some(user) = visit.signed_in().await? else {
        let _ = events.send(OVER).await;
        return Ok(response);
    };
    let Some(place) = visit.door.streams.take_of(user.who.account.id.to_string()) else {
        return Ok(too_many());
    };
    let arrivals = visit.door.arrivals.subscribe(user.who.account.id).await?;
    let newest = newest(visit.app(), &user).await?;
    let feed = Feed {
        app: visit.app().clone(),
        user,
        view,
        events,
        newest,
        under_way: Vec::new(),
        sent_at: None,
        owed: None,
        _place: place,
    };
    tokio::spawn(feed.run(arrivals));
    Ok(response)
}

fn too_many() -> Response {
    failed(http::StatusCode::TOO_MANY_REQUESTS)
}

struct Feed {
    app: App,
    user: User,
    view: View,
    events: Outlet,
    /// The newest connection when it was last looked at.
    newest: Option<Uuid>,
    /// Sent messages whose standing may change by itself, as it was shown.
    under_way: Vec<(Uuid, Said)>,
    /// When all was last read and sent.
    sent_at: Option<Instant>,
    /// Something has changed since, and this is to be said with it: at the next tick, since all is read no more often than that.
    owed: Option<Parts>,
    _place: Place,
}

/// The stream ends: its page has gone, its session is over, or the database is away. The page begins it anew.
struct Closed;

impl From<Ended> for Closed {
    fn from(_: Ended) -> Self {
        Self
    }
}

impl<E: Failure> From<E> for Closed {
    fn from(error: E) -> Self {
        tracing::warn!(error = %chain(&error), "an open page of the mailbox is not kept up to date any more");
        Self
    }
}

/// Parts of the page by name.
type Parts = Map<String, Value>;

impl Feed {
    async fn run(mut self, mut arrivals: Subscription) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut n = 0;
        loop {
            let done = tokio::select! {
                news = arrivals.next() => match news {
                    Some(first) => self.arrived(first, &mut arrivals).await,
                    None => return,
                },
                _ = ticks.tick() => {
                    n += 1;
                    self.tick(n - 1).await
                }
                () = self.events.closed() => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn tick(&mut self, n: u64) -> Result<(), Closed> {
        if n.is_multiple_of(CHECK_EVERY) {
            self.check_session().await?;
        }
        if n.is_multiple_of(CHECK_EVERY) {
            self.newest_changed().await?;
        }
        if n.is_multiple_of(ALL_EVERY) || self.owed.is_some() || self.standing_changed().await? {
            return self.send_all().await;
        }
        Ok(())
    }

    async fn check_session(&mut self) -> Result<(), Closed> {
        match mailbox::look_session(&self.app, self.user.session.secret()).await? {
            Some(who) => {
                self.user.who = who;
                Ok(())
            }
            None => {
                self.events.send(OVER).await?;
                Err(Closed)
            }
        }
    }

    /// Somebody has connected with us for the first time, or we with somebody; or the newest connection was deleted.
    async fn newest_changed(&mut self) -> Result<(), Closed> {
        if matches!(self.view, View::Talk(_)) {
            return Ok(());
        }
        let newest = newest(&self.app, &self.user).await?;
        if newest == self.newest {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.newest, newest);
        let parts = self.owed.get_or_insert_default();
        // Ids sort by time: a smaller one was there before.
        if let Some(id) = newest.filter(|newest| Some(*newest) > before)
            && let Some(connection) = connections::get(&self.app, id).await?
        {
            put(parts, "connected", &connected(&connection));
        }
        Ok(())
    }

    async fn standing_changed(&mut self) -> Result<bool, Closed> {
        if self.under_way.is_empty() {
            return Ok(false);
        }
        let ids: Vec<Uuid> = self.under_way.iter().map(|(id, _)| *id).collect();
        let now = mailbox::states(&self.app, &self.user.who.account.address, &ids).await?;
        let same = |(id, said): &(Uuid, Said)| match (now.get(id), said) {
            (Some((state, reason)), Said::Own { state: was, reason: why }) => state == was && reason == why,
            _ => true,
        };
        Ok(!self.under_way.iter().all(same))
    }

    async fn arrived(&mut self, first: News, arrivals: &mut Subscription) -> Result<(), Closed> {
        let (mut ids, mut many, mut next) = (Vec::new(), false, Some(first));
        while let Some(one) = next {
            match one {
                News::Entry(id) => ids.push(id),
                // More than could be told: the page is sent as it is now.
                News::Many => {
                    many = true;
                    break;
                }
            }
            next = if ids.len() < TOGETHER { arrivals.waiting() } else { None };
        }
        self.check_session().await?;
        if let View::Talk(other) = &self.view {
            let said = mailbox::said(&self.app, &self.user.who.account.address, other, &ids).await?;
            let Some(last) = said.last() else { return self.send_unread(many).await };
            put(self.owed.get_or_insert_default(), "news", &announced(last, said.len()));
        } else {
            self.owed.get_or_insert_default();
        }
        if self.sent_at.is_some_and(|at| at.elapsed() < TICK) { Ok(()) } else { self.send_all().await }
    }

    /// Somebody else's message has arrived: of an open conversation nothing has changed, unless nobody knows what it was.
    async fn send_unread(&mut self, unknown: bool) -> Result<(), Closed> {
        if unknown {
            self.owed.get_or_insert_default();
            return Ok(());
        }
        let mut parts = Parts::new();
        put(&mut parts, "health", &unread_words(mailbox::unread(&self.app, self.user.who.account.id).await?));
        self.send(&parts).await
    }

    /// What the page shows, as it is now, with what else there is to say.
    async fn send_all(&mut self) -> Result<(), Closed> {
        let mut parts = self.owed.take().unwrap_or_default();
        let unread = match &self.view {
            View::List => self.put_list(&mut parts).await?,
            View::Codes => {
                let live = codes::live(&self.app, &self.user.who).await?;
                put(&mut parts, "codes", &codes::list(&self.user.session, &live));
                mailbox::unread(&self.app, self.user.who.account.id).await?
            }
            View::Talk(other) => {
                let other = other.clone();
                self.put_talk(&other, &mut parts).await?
            }
        };
        put(&mut parts, "health", &unread_words(unread));
        self.send(&parts).await?;
        self.sent_at = Some(Instant::now());
        Ok(())
    }

    async fn send(&self, parts: &Parts) -> Result<(), Closed> {
        let data = serde_json::to_string(parts)?;
        Ok(self.events.send(format!("event: parts\ndata: {data}\n\n")).await?)
    }

    async fn put_list(&self, parts: &mut Parts) -> Result<i64, Closed> {
        let found = list::read(&self.app, &self.user.who, None).await?;
        put(parts, "list", &list::list(&found));
        Ok(found.unread)
    }

    /// Answers how many messages are unread beside those that are sent with it.
    async fn put_talk(&mut self, other: &Address, parts: &mut Parts) -> Result<i64, Closed> {
        let own = &self.user.who.account;
        let talk = mailbox::talk(&self.app, own.id, &own.address, other, None).await?;
        put(parts, "talk", &talk::lines(&talk));
        let shown = talk.lines.iter().filter(|line| line.is_unread()).count();
        let under_way = talk.lines.into_iter().filter(Line::is_under_way);
        self.under_way = under_way.map(|line| (line.id, line.said)).collect();
        Ok(mailbox::unread(&self.app, own.id).await? - i64::try_from(shown).unwrap_or_default())
    }
}

fn put(parts: &mut Parts, name: &str, part: &Markup) {
    parts.insert(name.to_owned(), Value::String(part.0.clone()));
}

/// For those who hear the page.
fn announced(last: &Line, n: usize) -> Markup {
    let name = match &last.said {
        Said::Other { name, .. } => shown::words(name),
        Said::Own { .. } => String::new(),
    };
    let text = shown::words(last.text.as_deref().unwrap_or_default());
    html! { @if n > 1 { (n) " new messages, the last one from " } (name) " wrote: " (text) }
}

fn connected(connection: &Connection) -> Markup {
    html! {
        p .said .good role="status" {
            (shown::name(&connection.other_name)) ", " (connection.other_address) ", is connected with you now."
        }
        p { a href={ "/me/with/" (connection.other_address) } { "Write to them" } }
    }
}

/// The id of the account's newest connection.
async fn newest(app: &App, user: &User) -> Result<Option<Uuid>, connections::Error> {
    connections::newest(app, user.who.account.id).await
}
