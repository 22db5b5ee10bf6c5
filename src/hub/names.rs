//! Look-alikes: names that people are shown when they are asked, and could take for one another.
//!
//! Names are printable ASCII. Two that fold to the same skeleton cannot belong to two spaces: the names of sites, and of the
//! personas that have sites.

use uuid::Uuid;

use super::{Error, Refusal};
use crate::db::{DbError, GenericClient, Transaction};

/// Longest name of a site, in bytes.
const LONGEST: usize = 60;

const CLAIM: &str = "/* hub::names::claim */
insert into hub_names as n (skeleton, space_id) select distinct s, $2::uuid from unnest($1::text[]) as g (s) order by s
on conflict (skeleton) do update set space_id = n.space_id where n.space_id = excluded.space_id
returning skeleton";

const OTHERS: &str = "/* hub::names::is_anothers */
select 1 from hub_names where skeleton = $1 and space_id <> $2";

/// Whether a site can be called so: 1 to 60 printable characters of ASCII, with something to read in them.
pub(super) fn is_name(text: &str) -> bool {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let trimmed = text.trim() == text && !text.contains("  ");
    (1..=LONGEST).contains(&text.len()) && printable && trimmed && !skeleton(text).is_empty()
}

/// What remains of a name when look-alikes are made equal.
pub(super) fn skeleton(text: &str) -> String {
    let folded = text.chars().filter_map(|c| match c.to_ascii_lowercase() {
        '0' => Some('o'),
        '1' | 'i' | '!' | '|' => Some('l'),
        '5' | '$' => Some('s'),
        '@' => Some('a'),
        c if c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    });
    folded.collect::<String>().replace("rn", "m").replace("vv", "w")
}

/// These names are the space's from now on, if no other space has one that looks like them.
pub(super) async fn claim(tx: &Transaction<'_>, space: Uuid, names: &[&str]) -> Result<(), Error> {
    let mut skeletons: Vec<String> = names.iter().map(|name| skeleton(name)).collect();
    skeletons.sort_unstable();
    skeletons.dedup();
    let statement = tx.prepare_cached(CLAIM).await?;
    let claimed = tx.query(&statement, &[&skeletons, &space]).await?;
    if claimed.len() == skeletons.len() { Ok(()) } else { Err(Refusal::Taken.into()) }
}

/// Whether another space's sites are called so, or nearly.
pub(super) async fn is_anothers(client: &impl GenericClient, space: Uuid, name: &str) -> Result<bool, DbError> {
    let statement = client.prepare_cached(OTHERS).await?;
    Ok(client.query_opt(&statement, &[&skeleton(name), &space]).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_have_one_skeleton() {
        for (name, other) in [
            ("PayPal", "paypa1"),
            ("Paypal", "PAYPAI"),
            ("shop", "sh0p"),
            ("modern", "modem"),
            ("modern", "moder-n"),
            ("Vvine", "wine"),
            ("my-shop", "my_shop"),
            ("My Shop", "myshop"),
            ("sixty5", "sixtys"),
        ] {
            assert_eq!(skeleton(name), skeleton(other), "{name} {other}");
        }
        assert_ne!(skeleton("shop"), skeleton("chop"));
    }

    #[test]
    fn names_are_plain_and_say_something() {
        for good in ["Shop", "A", "Ann's shop & more", &"x".repeat(60)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", " ", "Shop ", "a  b", "---", "Sh\u{f6}p", "a\nb", "a\0", &"x".repeat(61)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
