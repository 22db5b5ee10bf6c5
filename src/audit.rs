//! Who changed what: a row for every change of the node that somebody asked for, over the API, on the command line, in the console, or
//! by a command on the node's own machine. Refused ones too.
//!
//! Promises: the row is there before the change is begun, so none is without one; a change whose process died has a row whose outcome is
//! unknown. Subjects are cleaned here: no line breaks, nothing that looks like one of our keys, and cut at a length; of what may be a
//! secret both ends stay, so that two are told apart. Who it was stays as it was authenticated. Leaves out what is traffic (messages,
//! rows of campaigns, inbox, logins): that is in the books.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::App;
use crate::clock::uuid_at;
use crate::db::{Db, DbError, Row};

/// Longest subject kept, in characters.
const LONGEST_SUBJECT: usize = 400;
/// Longest name of somebody.
const LONGEST_ACTOR: usize = 200;
/// Shorter words are no secrets of anybody's making.
const LEAST_RANDOM: usize = 24;
/// Rows looked at for one page, whatever its filter.
const LOOKED_AT: i64 = 20_000;

/// Which way somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// An application, over `/api/v1`.
    Api,
    /// The command line, which works over the API too.
    Cli,
    /// The console.
    Console,
    /// A command on the node's own machine, such as `handfast key create`.
    Local,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Api, Self::Cli, Self::Console, Self::Local];

    /// As written in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Console => "console",
            Self::Local => "local",
        }
    }

    fn number(self) -> i16 {
        self as i16 + 1
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// Which way they came.
    pub via: Via,
    /// The sender of their key, or the name they are signed in under.
    pub actor: &'a str,
    /// Their API key.
    pub key: Option<Uuid>,
    /// Method and route, or what a command or button is called: `POST accounts/{address}/disable`, `console: pause destination`.
    pub action: &'static str,
    /// What it is done to: ids, names and addresses. Never secrets, bodies, or whole phone numbers.
    pub subject: String,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Its id, which sorts by time.
    pub id: Uuid,
    /// When it was asked for.
    pub at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Which way somebody came.
    pub via: Via,
    /// Who.
    pub actor: String,
    /// With which API key.
    pub key: Option<Uuid>,
    /// What they asked for.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// The status that was answered; `None`: it is not known whether it was done.
    pub outcome: Option<u16>,
}

/// Which rows are wanted; everything left out matches all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Asked for at this time or later.
    pub since: Option<Timestamp>,
    /// Asked for before this time.
    pub until: Option<Timestamp>,
    /// By exactly this one.
    pub actor: Option<String>,
    /// This is part of the action, in upper or lower case.
    pub action: Option<String>,
    /// This way.
    pub via: Option<Via>,
    /// This is part of the subject, in upper or lower case.
    pub subject: Option<String>,
}

/// A page of rows, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows; may be fewer than asked for although there are more, since only so many are looked at.
    pub entries: Vec<Entry>,
    /// What the next page goes on behind.
    pub next: Option<Uuid>,
}

const BEGIN: &str = "/* audit::begin */
insert into audit (id, at, via, actor, key_id, action, subject) values ($1, $2, $3, $4, $5, $6, $7)";

const END: &str = "/* audit::end */
update audit set outcome = $2, ended_at = greatest($3, at), subject = left(subject || $4, 400) where id = $1 and outcome is null";

const RECORD: &str = "/* audit::record */
insert into audit (id, at, via, actor, key_id, action, subject, outcome, ended_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $2)";

const LIST: &str = "/* audit::list */
with seen as materialized (
    select * from audit where id < $1 and id >= $2 order by id desc limit $8
), found as (
    select * from seen
    where ($3::text is null or actor = $3) and ($4::text is null or strpos(lower(action), lower($4)) > 0)
      and ($5::smallint is null or via = $5) and ($6::text is null or strpos(lower(subject), lower($6)) > 0)
    order by id desc limit $7
)
select f.id, f.at, f.via, f.actor, f.key_id, f.action, f.subject, f.outcome, f.ended_at,
       (select count(*) from seen) as looked_at, (select s.id from seen s order by s.id limit 1) as last
from (values (1)) as one left join found f on true order by f.id desc";

const PURGE: &str = "/* audit::purge */
delete from audit where id = any (array(select id from audit where id < $1 order by id limit 5000))";

/// Writes that something is about to be done; gives what [`end`] is told. When this fails, the change must not be made.
pub async fn begin(app: &App, deed: &Deed<'_>) -> Result<Uuid, DbError> {
    let (id, now) = (app.new_id(), app.clock.now());
    let (actor, subject) = cleaned(deed);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&id, &now, &deed.via.number(), &actor, &deed.key, &deed.action, &subject];
    app.db.execute(BEGIN, &parameters).await?;
    Ok(id)
}

/// Writes what was answered: a status of HTTP.
pub async fn end(app: &App, id: Uuid, outcome: u16) -> Result<(), DbError> {
    end_with(app, id, outcome, None).await
}

/// The same, with what the change made: an id that was not known before.
pub async fn end_with(app: &App, id: Uuid, outcome: u16, made: Option<&str>) -> Result<(), DbError> {
    let made = made.map(|made| format!(" -> {}", clean_subject(made))).unwrap_or_default();
    app.db.execute(END, &[&id, &(outcome as i16), &app.clock.now(), &made]).await?;
    Ok(())
}

/// Writes what is over already: for commands that have no `App`, since it is them who make the schema.
pub async fn record(db: &Db, deed: &Deed<'_>, outcome: u16) -> Result<(), DbError> {
    let now = db.now().await?;
    let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, now.as_second().unsigned_abs(), 0));
    let (actor, subject) = cleaned(deed);
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&id, &now, &deed.via.number(), &actor, &deed.key, &deed.action, &subject, &(outcome as i16)];
    db.execute(RECORD, &parameters).await?;
    Ok(())
}

/// Up to `limit` rows that match, newest first, those before the id `after`.
pub async fn list(app: &App, filter: &Filter, after: Option<Uuid>, limit: i64) -> Result<Page, DbError> {
    let before = filter.until.map_or(Uuid::max(), uuid_at).min(after.unwrap_or(Uuid::max()));
    let from = filter.since.map_or(Uuid::nil(), uuid_at);
    let via = filter.via.map(Via::number);
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&before, &from, &filter.actor, &filter.action, &via, &filter.subject, &limit, &LOOKED_AT];
    let rows = app.db.rows_planned_by_values(LIST, &parameters).await?;
    let found = |row: &&Row| row.get::<_, Option<Uuid>>("id").is_some();
    let entries = rows.iter().filter(found).map(read).collect::<Result<Vec<_>, _>>()?;
    let full = entries.len() as i64 >= limit;
    let all_seen = rows.first().is_none_or(|row| row.get::<_, i64>("looked_at") < LOOKED_AT);
    let next = match full {
        true => entries.last().map(|entry| entry.id),
        false if all_seen => None,
        false => rows.first().and_then(|row| row.get("last")),
    };
    Ok(Page { entries, next })
}

/// Who uses the node's own machine: the name of the user, and behind `sudo` whose it was.
pub fn local_actor() -> String {
    let id = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    let name = named.unwrap_or_else(|| format!("user {id}"));
    match std::env::var("SUDO_USER") {
        Ok(behind) if !behind.is_empty() && behind != name => format!("{behind} as {name}"),
        _ => name,
    }
}

/// Deletes what is older than `audit.keep`, some at a time; how many.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    let until = uuid_at(app.clock.now() - app.config.audit.keep.duration());
    app.db.execute(PURGE, &[&until]).await
}

/// A phone number with its middle left out: enough to be recognised by who knows it, not enough to be called.
pub fn shortened_phone(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    match chars.as_slice() {
        [head @ .., _, _] if chars.len() >= 7 => {
            let tail: String = chars[chars.len() - 2..].iter().collect();
            format!("{}…{tail}", head.iter().take(4).collect::<String>())
        }
        _ => number.to_owned(),
    }
}

fn cleaned(deed: &Deed<'_>) -> (String, String) {
    let actor = clean(deed.actor, LONGEST_ACTOR, without_keys);
    (if actor.is_empty() { "?".into() } else { actor }, clean_subject(&deed.subject))
}

fn clean_subject(text: &str) -> String {
    clean(text, LONGEST_SUBJECT, harmless)
}

/// One line, not longer than `most`, of whose words each may be `told`.
fn clean(text: &str, most: usize, told: fn(&str) -> String) -> String {
    let mut clean = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !(c.is_alphanumeric() || "_-+".contains(c))) {
        let end = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || "_-+".contains(c))).len();
        let (body, after) = word.split_at(end);
        clean.push_str(&told(body));
        clean.extend(after.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    if clean.chars().count() <= most {
        return clean;
    }
    clean.chars().take(most - 1).chain(['…']).collect()
}

/// What a word that looks like one of our keys begins with.
fn key_prefix(word: &str) -> Option<&'static str> {
    let prefixed = |prefix: &&str| word.len() > prefix.len() + 12 && word.starts_with(prefix);
    ["hf_", "hsp_", "hst_", "hsc_", "whsec_"].into_iter().find(prefixed)
}

/// A word of somebody's name: anything but a key.
fn without_keys(word: &str) -> String {
    key_prefix(word).map_or_else(|| word.to_owned(), |prefix| format!("{prefix}…"))
}

/// A word that may be shown: keys put where a name belongs, and whole phone numbers, are cut.
fn harmless(word: &str) -> String {
    let digits = word.strip_prefix('+').unwrap_or("");
    if digits.len() >= 7 && digits.chars().all(|c| c.is_ascii_digit()) {
        return shortened_phone(word);
    }
    if key_prefix(word).is_none() && word.len() >= LEAST_RANDOM && word.is_ascii() && is_random(word) {
        return format!("{}…{}", &word[..4], &word[word.len() - 4..]);
    }
    without_keys(word)
}

/// Whether somebody rolled dice for it: of random letters and digits two neighbours in three are of different sorts (upper case, lower
/// case, digit), of names few are.
fn is_random(word: &str) -> bool {
    let sort = |c: u8| (c.is_ascii_uppercase(), c.is_ascii_lowercase(), c.is_ascii_digit());
    let sorts: Vec<_> = word.bytes().map(sort).filter(|sort| *sort != (false, false, false)).collect();
    let all = sorts.iter().fold((false, false, false), |all, sort| (all.0 | sort.0, all.1 | sort.1, all.2 | sort.2));
    let changes = sorts.windows(2).filter(|two| two[0] != two[1]).count();
    all == (true, true, true) && changes * 20 >= (sorts.len() - 1) * 9
}

fn read(row: &Row) -> Result<Entry, DbError> {
    let via: i16 = row.get("via");
    let via = Via::ALL.into_iter().find(|known| known.number() == via).ok_or(DbError::Stored("way"))?;
    Ok(Entry {
        id: row.get("id"),
        at: row.get("at"),
        ended_at: row.get("ended_at"),
        via,
        actor: row.get("actor"),
        key: row.get("key_id"),
        action: row.get("action"),
        subject: row.get("subject"),
        outcome: row.get::<_, Option<i16>>("outcome").map(i16::unsigned_abs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_key_and_no_phone_number_is_a_subject() {
        for (given, kept) in [
            ("1000*shop.example", "1000*shop.example"),
            ("0192f0c1-5a3e-7b11-8f00-1234567890ab", "0192f0c1-5a3e-7b11-8f00-1234567890ab"),
            ("hf_0123456789abcdef", "hf_…"),
            ("name hf_0123456789abcdef, whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "name hf_…, whsec_…"),
            ("to=+14155550101", "to=+141…01"),
            ("two\nlines\u{7}", "two lines "),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ…LaSw"),
            ("name=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ, x", "name=q83v…VniQ, x"),
            ("Black_Friday_2026_Reminder", "Black_Friday_2026_Reminder"),
            ("OrdersServiceProductionEU2", "OrdersServiceProductionEU2"),
            ("orders-of-the-year-2026-for-the-eastern-branch", "orders-of-the-year-2026-for-the-eastern-branch"),
        ] {
            assert_eq!(clean_subject(given), kept);
        }
        assert_eq!(shortened_phone("18005551234"), "1800…34");
    }

    #[test]
    fn who_it_was_is_told_whole() {
        let cleaned = |actor| {
            let subject = String::new();
            cleaned(&Deed { via: Via::Api, actor, key: None, action: "test", subject }).0
        };
        // A subject id of an identity provider, a phone number.
        for actor in ["AAAAAH4bZ1kq0XbLxYt9mPpQvR7sWn2cJdKfGhTz3E8", "+14155550101", "OrdersServiceProductionEU2"] {
            assert_eq!(cleaned(actor), actor);
        }
        let odd = ["a\nb", "", "hf_0123456789abcdef"].map(cleaned);
        assert_eq!(odd, ["a b", "?", "hf_…"]);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_fits(text: String) {
            let kept = clean(&text, 50, harmless);
            prop_assert!(kept.chars().count() <= 50 && !kept.chars().any(char::is_control));
        }

        #[test]
        fn what_is_random_is_not_told(text in "[A-Za-z0-9]{43}") {
            prop_assume!(is_random(&text));
            prop_assert!(!clean_subject(&text).contains(&text[4..39]));
        }
    }
}
