//! Lists of the API: page after page, as a table or as one JSON object a line.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Failure;
use super::client::Call;
use super::table::{Column, Table};
use super::target::Session;

const PAGE: usize = 500;

/// How much of a list is wanted.
#[derive(Debug, Clone, Args)]
pub(super) struct Extent {
    /// At most this many entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Everything there is, instead of --limit
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on behind this entry (the id or cursor where an earlier list ended)
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Asks for page after page and prints each as it comes. `call` makes a fresh request without paging.
pub(super) async fn print<'a>(
    session: &'a Session,
    extent: &Extent,
    columns: &[Column],
    call: impl Fn() -> Call<'a>,
) -> Result<(), Failure> {
    let mut left = if extent.all { usize::MAX } else { usize::try_from(extent.limit).unwrap_or(usize::MAX) };
    let mut after = extent.after.clone();
    let mut table = Table::new(columns.iter().map(|c| c.0));
    let mut shown = 0;
    loop {
        let page: Page = call().query("limit", left.min(PAGE)).query_maybe("after", after.as_ref()).parse().await?;
        left -= page.items.len().min(left);
        shown += page.items.len();
        print_page(session, columns, &mut table, &page)?;
        match page.next {
            Some(next) if left > 0 && after.as_ref() != Some(&next) => after = Some(next),
            Some(next) if !extent.all => {
                eprintln!("more to come: --limit N, --all, or --after {next}");
                return Ok(());
            }
            _ => break,
        }
    }
    if shown == 0 && !session.out.json {
        eprintln!("(none)");
    }
    Ok(())
}

fn print_page(session: &Session, columns: &[Column], table: &mut Table, page: &Page) -> Result<(), Failure> {
    if page.items.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for item in &page.items {
        if session.out.json {
            lines.push_str(item.get());
            lines.push('\n');
        } else {
            table.object(columns, &serde_json::from_str(item.get()).unwrap_or_default());
        }
    }
    session.out.line(if session.out.json { lines } else { table.page() }.as_str())
}
