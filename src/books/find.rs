//! Finding: deliveries by filter, newest first, in bounded work.
//!
//! | looked for | is found by |
//! |---|---|
//! | failed, expired, unconfirmed, cancelled | the index of ended exceptions, of one destination or all; cancelled chunks by theirs |
//! | pending, sending, retrying | the index of open exceptions, and open chunks by destination, campaign or state |
//! | anything of a campaign, a tag, an account | the index of that |
//! | anything else | the messages themselves, newest first |
//!
//! What no index helps with is looked at row by row, at most 20,000 rows a request: a page may then be short, or empty, and
//! still have a `next` to go on from. The work of a request does not grow with what is settled.

mod count;
mod sources;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use count::{Count, Group, count};

use self::sources::Source;
use super::inspect::{Delivery, read};
use super::{BooksError, State};
use crate::App;
use crate::clock::uuid_at;
use crate::db::GenericClient;

/// Rows looked at for one page, at the most.
const BOUND: usize = 20_000;
/// Rows looked at together: few first, because mostly they are what is wanted.
const WINDOWS: [usize; 3] = [128, 1024, 8192];

/// Which deliveries. What is none or empty is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Filter {
    /// Domain, or name of a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// In one of these states.
    #[serde(rename = "state", skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// HTTP status of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Response code or error class of the last try, or the reason noted on the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Row of this campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Uuid>,
    /// With this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// From this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To this peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Handed over by this sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Accepted then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// An HTTP status, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Status {
    least: i16,
    most: i16,
}

/// What is neither a status nor a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an HTTP status is written 404, a class of them 4xx")]
pub struct StatusError;

impl Status {
    /// The lowest status it means.
    pub fn least(self) -> i16 {
        self.least
    }

    /// The highest.
    pub fn most(self) -> i16 {
        self.most
    }
}

impl std::str::FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let (digits, times, width) = match class {
            Some(class) => (class, 100, 99),
            None => (text, 1, 0),
        };
        let number: i16 = digits.parse().map_err(|_| StatusError)?;
        let least = number.checked_mul(times).filter(|least| (100..=599).contains(least)).ok_or(StatusError)?;
        Ok(Self { least, most: least + width })
    }
}

impl TryFrom<String> for Status {
    type Error = StatusError;

    fn try_from(text: String) -> Result<Self, StatusError> {
        text.parse()
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        match status.least == status.most {
            true => status.least.to_string(),
            false => format!("{}xx", status.least / 100),
        }
    }
}

/// In these a delivery is still under way.
const OPEN: [State; 3] = [State::Pending, State::Sending, State::Retrying];

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Newest first.
    pub items: Vec<Delivery>,
    /// Where to go on; none: there is no more. There may be no more also when there is one, and a short page may have one.
    pub next: Option<Uuid>,
}

impl Filter {
    /// Whether it names nothing at all.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Looks only at what is from this account of ours; `Err`: it names another one.
    pub fn within(&mut self, account: &str) -> Result<(), String> {
        match self.from.take() {
            Some(from) if from != account => Err(from),
            _ => {
                self.from = Some(account.to_owned());
                Ok(())
            }
        }
    }

    /// The states it may find: those named, or all that a status or code leaves (what succeeded has neither of interest).
    fn states_meant(&self) -> Vec<State> {
        let told = self.code.is_some() || self.status.is_some_and(|status| status.least >= 300 || status.most < 200);
        match self.states.is_empty() && told {
            true => State::ALL.into_iter().filter(|state| *state != State::Delivered).collect(),
            false => self.states.clone(),
        }
    }

    /// Whether it names states, and none in which anything is still under way: there is nothing to cancel.
    pub fn is_of_ended(&self) -> bool {
        !self.states.is_empty() && !self.states.iter().any(|state| OPEN.contains(state))
    }

    /// The same, of nothing but what is still under way. What names ended states only stays as it is: no states at all would mean
    /// any state.
    pub(super) fn of_open(&self) -> Self {
        let states = match self.states.is_empty() {
            true => OPEN.to_vec(),
            false if self.is_of_ended() => self.states.clone(),
            false => self.states.iter().copied().filter(|state| OPEN.contains(state)).collect(),
        };
        Self { states, ..self.clone() }
    }

    /// Whether nothing but this is asked for.
    pub(super) fn is_only(&self, destination: bool, campaign: bool) -> bool {
        let rest = Self {
            destination: self.destination.clone().filter(|_| !destination),
            campaign: self.campaign.filter(|_| !campaign),
            ..self.clone()
        };
        rest == Self::default()
    }

    fn above(&self) -> Uuid {
        self.since.map_or(Uuid::nil(), uuid_at)
    }

    /// Where the newest of them may be.
    fn begin(&self, after: Option<Uuid>) -> Uuid {
        let until = self.until.map_or(Uuid::max(), uuid_at);
        after.map_or(until, |after| after.min(until))
    }
}

/// Deliveries by filter, older than `after`, at most `limit`, newest first.
pub async fn deliveries(app: &App, filter: &Filter, after: Option<Uuid>, limit: usize) -> Result<Found, BooksError> {
    look(&app.db.client().await?, filter, after, limit, app.clock.now()).await
}

/// The same over a connection, or inside a transaction, that the caller has.
pub(super) async fn look(
    client: &impl GenericClient,
    filter: &Filter,
    after: Option<Uuid>,
    limit: usize,
    now: Timestamp,
) -> Result<Found, BooksError> {
    let mut walk = Walk::new(filter, after);
    let (mut items, mut looked) = (Vec::new(), 0);
    for window in WINDOWS.into_iter().chain(std::iter::repeat(WINDOWS[2])) {
        items.extend(walk.step(client, window, now).await?);
        looked += window;
        if items.len() > limit {
            items.truncate(limit);
            let next = items.last().map(|delivery: &Delivery| delivery.id);
            return Ok(Found { items, next });
        }
        if walk.ended || items.len() == limit || looked >= BOUND {
            break;
        }
    }
    let next = (!walk.ended).then_some(walk.after);
    Ok(Found { items, next })
}

/// A walk over all that a filter finds, newest first.
pub(super) struct Walk {
    filter: Filter,
    sources: Vec<Source>,
    /// Everything from here up has been looked at.
    after: Uuid,
    ended: bool,
}

impl Walk {
    fn new(filter: &Filter, after: Option<Uuid>) -> Self {
        let filter = Filter { states: filter.states_meant(), ..filter.clone() };
        Self { sources: Source::of(&filter), after: filter.begin(after), ended: false, filter }
    }

    /// Looks at about `window` rows more.
    async fn step(
        &mut self,
        client: &impl GenericClient,
        window: usize,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, BooksError> {
        let (mut ids, mut horizon) = (Vec::new(), None);
        for source in &self.sources {
            let seen = source.read(client, &self.filter, self.after, window).await?;
            ids.extend(seen.ids);
            horizon = horizon.max(seen.horizon);
        }
        self.ended = horizon.is_none();
        // What lies below has not been seen by all of the sources.
        if let Some(horizon) = horizon {
            ids.retain(|id| id.uuid() >= horizon);
            self.after = horizon;
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() { Ok(Vec::new()) } else { read(client, &ids, &self.filter, now).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        let read = |text: &str| text.parse::<Status>().map(|status| (status.least(), status.most()));
        assert_eq!((read("404"), read("4xx"), read("5XX")), (Ok((404, 404)), Ok((400, 499)), Ok((500, 599))));
        for wrong in ["", "xx", "4x", "40", "600", "6xx", "-4xx", "400xx", "99999", "four"] {
            assert_eq!(read(wrong), Err(StatusError), "{wrong}");
        }
    }

    #[test]
    fn a_filter_is_kept_as_it_was_written() {
        let filter = Filter {
            destination: Some("orders".into()),
            states: vec![State::Failed],
            status: "5xx".parse().ok(),
            ..Filter::default()
        };
        let text = serde_json::to_string(&filter).unwrap();
        insta::assert_snapshot!(text, @r#"{"destination":"orders","state":["failed"],"status":"5xx"}"#);
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter);
    }

    #[test]
    fn what_a_status_cannot_mean_is_not_looked_at() {
        let of = |text: &str| Filter { status: text.parse().ok(), ..Filter::default() }.states_meant().len();
        assert_eq!((of("5xx"), of("200"), of("2xx")), (State::ALL.len() - 1, 0, 0));
    }
}
