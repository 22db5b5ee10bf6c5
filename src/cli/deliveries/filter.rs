//! Options that say which deliveries.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cli::client::Call;
use crate::config::Period;

const HEADING: &str = "Which deliveries";

/// Which deliveries; the same names as in the API.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct FilterOptions {
    /// To this domain or webhook
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    pub(in crate::cli) destination: Option<String>,
    /// In this state, or these with commas: pending, sending, retrying, delivered, failed, cancelled, expired, unconfirmed
    #[arg(long, value_name = "STATES", help_heading = HEADING)]
    pub(in crate::cli) state: Option<String>,
    /// HTTP status of the last try, such as 404, 4xx or 5xx
    #[arg(long, help_heading = HEADING)]
    status: Option<String>,
    /// Response code or error class of the last try, such as connect or timeout_after_sending
    #[arg(long, help_heading = HEADING)]
    code: Option<String>,
    /// Rows of this campaign
    #[arg(long, value_name = "ID", help_heading = HEADING)]
    campaign: Option<Uuid>,
    /// With this tag
    #[arg(long, help_heading = HEADING)]
    tag: Option<String>,
    /// From this account
    #[arg(long, value_name = "ADDRESS", help_heading = HEADING)]
    from: Option<String>,
    /// To this address
    #[arg(long, value_name = "ADDRESS", help_heading = HEADING)]
    to: Option<String>,
    /// Handed over with a key of this sender
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    sender: Option<String>,
    /// Accepted since: a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = HEADING)]
    since: Option<Timestamp>,
    /// Accepted before that time, or so long ago
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = HEADING)]
    until: Option<Timestamp>,
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = text.parse::<Period>() {
        let ago: Duration = ago.duration();
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| "neither a time (2026-01-31T08:00:00Z) nor how long ago (2h)".to_owned())
}

impl FilterOptions {
    /// Each that is given, by the API's name.
    fn given(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.clone();
        [
            ("destination", text(&self.destination)),
            ("state", text(&self.state)),
            ("status", text(&self.status)),
            ("code", text(&self.code)),
            ("campaign", self.campaign.map(|id| id.to_string())),
            ("tag", text(&self.tag)),
            ("from", text(&self.from)),
            ("to", text(&self.to)),
            ("sender", text(&self.sender)),
            ("since", self.since.map(|time| time.to_string())),
            ("until", self.until.map(|time| time.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// Whether none is given.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.given().is_empty()
    }

    /// In a query.
    pub(in crate::cli) fn query<'a>(&self, call: Call<'a>) -> Call<'a> {
        self.given().into_iter().fold(call, |call, (name, value)| call.query(name, value))
    }

    /// In a body.
    pub(in crate::cli) fn body(&self) -> Value {
        let fields: Map<String, Value> =
            self.given().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2026-01-31T08:00:00Z").unwrap().as_second(), 1_769_846_400);
        let ago = Timestamp::now().as_second() - moment("2h").unwrap().as_second();
        assert!((7200..7210).contains(&ago), "{ago}");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn only_what_is_given_is_asked_for() {
        let filter = FilterOptions { tag: Some("sale".into()), ..FilterOptions::default() };
        assert_eq!(filter.body(), serde_json::json!({"tag": "sale"}));
        assert!(FilterOptions::default().is_empty());
    }
}
