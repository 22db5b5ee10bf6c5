//! Aligned tables that are written a page at a time: columns only grow, so that a list of any length needs one page of memory.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::{harmless, time};

/// Widest cell; what is longer is cut with `…` (the whole is in the JSON).
const WIDEST: usize = 60;

/// How a value of the API becomes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// As it is.
    Text,
    /// A time, to the second.
    Time,
    /// `yes` or nothing.
    Flag,
}

/// One column: its title, the field it shows (or the first of `a|b` that says something), and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column(pub(super) &'static str, pub(super) &'static str, pub(super) Show);

impl Column {
    fn cell(&self, object: &Value) -> String {
        let Self(_, fields, show) = self;
        let said = fields.split('|').find_map(|field| object.get(field).filter(|value| !value.is_null()));
        cell(said.unwrap_or(&Value::Null), *show)
    }
}

/// A table in the making.
#[derive(Debug)]
pub(super) struct Table {
    titles: Vec<&'static str>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    titles_due: bool,
}

impl Table {
    pub(super) fn new(titles: impl IntoIterator<Item = &'static str>) -> Self {
        let titles: Vec<_> = titles.into_iter().collect();
        Self { widths: titles.iter().map(|t| t.width()).collect(), titles, rows: Vec::new(), titles_due: true }
    }

    /// Adds a row; missing cells are empty, cells beyond the titles are dropped.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| shortened(&harmless(&cell))).collect();
        cells.resize(self.titles.len(), String::new());
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.width().max(*width);
        }
        self.rows.push(cells);
    }

    /// Adds an object of the API.
    pub(super) fn object(&mut self, columns: &[Column], value: &Value) {
        self.row(columns.iter().map(|column| column.cell(value)));
    }

    /// The rows added since the last call, under the titles the first time.
    pub(super) fn page(&mut self) -> String {
        let mut text = String::new();
        if std::mem::take(&mut self.titles_due) {
            self.aligned(self.titles.iter().copied(), &mut text);
        }
        for row in std::mem::take(&mut self.rows) {
            self.aligned(row.iter().map(String::as_str), &mut text);
        }
        text
    }

    fn aligned<'a>(&self, cells: impl Iterator<Item = &'a str>, text: &mut String) {
        let start = text.len();
        for (cell, width) in cells.zip(&self.widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// Names and values below one another, for one object.
pub(super) fn fields(columns: &[Column], value: &Value) -> String {
    let width = columns.iter().map(|c| c.0.width()).max().unwrap_or(0);
    let mut text = String::new();
    for column in columns {
        let (title, value) = (column.0, column.cell(value));
        let line = format!("{}{}  {}", title.to_lowercase(), " ".repeat(width - title.width()), harmless(&value));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: &Value, show: Show) -> String {
    match (value, show) {
        (Value::Null, _) => String::new(),
        (Value::Bool(set), Show::Flag) => if *set { "yes" } else { "" }.to_owned(),
        (Value::String(text), Show::Time) => time(text),
        (Value::String(text), _) => text.clone(),
        (Value::Array(items), _) => items.iter().map(|item| cell(item, show)).collect::<Vec<_>>().join(" "),
        (other, _) => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    if text.width() <= WIDEST {
        return text.to_owned();
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < WIDEST
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 3] = [
        Column("ADDRESS", "address", Show::Text),
        Column("OFF", "disabled", Show::Flag),
        Column("SINCE", "at", Show::Time),
    ];

    #[test]
    fn objects_become_aligned_rows() {
        let mut table = Table::new(COLUMNS.map(|c| c.0));
        let at = "2026-01-02T03:04:05Z";
        table.object(&COLUMNS, &serde_json::json!({"address": "1*a.example", "disabled": true, "at": at}));
        table.object(&COLUMNS, &serde_json::json!({"address": "日本", "disabled": false, "at": null}));
        insta::assert_snapshot!(table.page(), @r"
        ADDRESS      OFF  SINCE
        1*a.example  yes  2026-01-02 03:04:05Z
        日本
        ");
        table.object(&COLUMNS, &serde_json::json!({"address": "2", "at": at}));
        insta::assert_snapshot!(table.page(), @"2                 2026-01-02 03:04:05Z");
    }

    #[test]
    fn one_object_becomes_fields() {
        let value = serde_json::json!({"address": "1*a\u{1b}", "disabled": true});
        insta::assert_snapshot!(fields(&COLUMNS, &value), @r"
        address  1*a\u{1b}
        off      yes
        since
        ");
    }

    proptest! {
        #[test]
        fn no_cell_breaks_the_table(cells in proptest::collection::vec(".{0,200}", 0..5)) {
            let mut table = Table::new(["A", "B", "C"]);
            table.row(cells);
            let page = table.page();
            prop_assert_eq!(page.lines().count(), 2);
            prop_assert!(page.lines().all(|line| line.width() <= 3 * (WIDEST + 2)));
        }
    }
}
