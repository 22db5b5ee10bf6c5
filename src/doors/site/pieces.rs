//! What stands on pages: alerts, tables, definition lists, pagers, forms.
//!
//! A table's cells repeat their heading for phones, where rows stand one below the other; the roles are written out because browsers
//! forget them for tables that are laid out otherwise.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::flash::Flash;
use super::session::{Session, TOKEN_FIELD};

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doors) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Neither.
    Plain,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// A state in a word, with a colour that says no more than the word does.
pub(in crate::doors) fn badge(tone: Tone, words: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (words) } }
}

/// Why it did not work, for everybody to hear.
pub(in crate::doors) fn alert(words: &str) -> Markup {
    html! { p .said .bad role="alert" { (words) } }
}

/// What was done, for everybody to hear.
pub(in crate::doors) fn status(words: &str) -> Markup {
    html! { p .said .good role="status" { (words) } }
}

/// What became of the last change, if the browser has not been told.
pub(in crate::doors) fn flash(flash: Option<&Flash>) -> Markup {
    html! {
        @match flash {
            Some(Flash { good: true, words }) => (status(words)),
            Some(Flash { good: false, words }) => (alert(words)),
            None => {}
        }
    }
}

/// A moment: for people to the second, in UTC; the script shows it in the reader's own time on request.
pub(in crate::doors) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%Y-%m-%d %H:%M:%S")) } }
}

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub(in crate::doors) struct Column<'a> {
    /// Its heading.
    pub(in crate::doors) words: &'a str,
    /// Whether it holds numbers, which stand to the right.
    pub(in crate::doors) number: bool,
}

/// A column of words.
pub(in crate::doors) fn text(words: &str) -> Column<'_> {
    Column { words, number: false }
}

/// A column of numbers.
pub(in crate::doors) fn number(words: &str) -> Column<'_> {
    Column { words, number: true }
}

/// Rows under headings. The first cell of a row is what the row is about.
pub(in crate::doors) struct Table<'a> {
    /// What it shows, for those who do not see what stands above it.
    pub(in crate::doors) caption: &'a str,
    /// Its columns.
    pub(in crate::doors) columns: &'a [Column<'a>],
    /// A cell for each column.
    pub(in crate::doors) rows: Vec<Vec<Markup>>,
    /// What is said instead when there are no rows.
    pub(in crate::doors) empty: &'a str,
}

impl Render for Table<'_> {
    fn render(&self) -> Markup {
        if self.rows.is_empty() {
            return html! { p .empty { (self.empty) } };
        }
        html! {
            div .sheet {
                table role="table" {
                    caption .unseen { (self.caption) }
                    thead role="rowgroup" { tr role="row" { @for column in self.columns {
                        th scope="col" role="columnheader" class=[column.number.then_some("number")] { (column.words) }
                    } } }
                    tbody role="rowgroup" { @for row in &self.rows { (self.row(row)) } }
                }
            }
        }
    }
}

impl Table<'_> {
    fn row(&self, cells: &[Markup]) -> Markup {
        html! {
            tr role="row" { @for (n, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
                @if n == 0 {
                    th scope="row" role="rowheader" class=[column.number.then_some("number")] data-label=(column.words) { (cell) }
                } @else {
                    td role="cell" class=[column.number.then_some("number")] data-label=(column.words) { (cell) }
                }
            } }
        }
    }
}

/// Names and what belongs to them.
pub(in crate::doors) fn facts(pairs: &[(&str, Markup)]) -> Markup {
    html! { dl .facts { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } } }
}

/// Numbers to be seen at a glance: name, number, and what is said below it.
pub(in crate::doors) fn tiles(tiles: &[(&str, String, &str)]) -> Markup {
    html! {
        dl .tiles { @for (name, number, below) in tiles {
            div { dt { (name) } dd { strong { (number) } @if !below.is_empty() { " " small { (below) } } } }
        } }
    }
}

/// Links to the pages beside this one, where there are any.
pub(in crate::doors) fn pager(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav .pager aria-label="Parts of the list" {
                @if let Some(first) = first { a href=(first) rel="first" { "First page" } }
                @if let Some(next) = next { a href=(next) rel="next" { "Next page" } }
            }
        }
    }
}

/// The session's token, inside a form that changes something.
pub(in crate::doors) fn token(session: &Session) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(session.token()); }
}

/// A form that changes something: fields and a button, with the session's token.
pub(in crate::doors) fn form(session: &Session, action: &str, fields: &Markup, button: &str) -> Markup {
    html! { form method="post" action=(action) { (token(session)) (fields) button { (button) } } }
}

/// The same for what is not easily taken back: first the words, then the button.
pub(in crate::doors) fn confirmed(
    session: &Session,
    action: &str,
    offer: &str,
    words: &Markup,
    button: &str,
) -> Markup {
    html! {
        details .confirm {
            summary { (offer) }
            form method="post" action=(action) { (token(session)) (words) button .bad { (button) } }
        }
    }
}

/// A form that only looks: its fields become the query.
pub(in crate::doors) fn filter(action: &str, fields: &Markup) -> Markup {
    html! { form .filter role="search" method="get" action=(action) { (fields) button { "Show" } " " a href=(action) { "Clear" } } }
}

/// A field of one line with its label; what is said below it may be empty.
pub(in crate::doors) fn field(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    let (id, about) = (format!("f-{name}"), format!("f-{name}-about"));
    let described = (!hint.is_empty()).then_some(&about);
    html! {
        div .field {
            label for=(id) { (label) }
            input id=(id) name=(name) value=(value) autocomplete="off" spellcheck="false" aria-describedby=[described];
            @if !hint.is_empty() { small id=(about) { (hint) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_headings_for_each_cell_and_says_when_it_is_empty() {
        let columns = [text("Name"), number("Open")];
        let rows = vec![vec![html! { "<a>" }, html! { (7) }]];
        let full = Table { caption: "C", columns: &columns, rows, empty: "None." }.render().into_string();
        assert!(full.contains("<th scope=\"row\" role=\"rowheader\" data-label=\"Name\">&lt;a&gt;</th>"), "{full}");
        assert!(full.contains("<td role=\"cell\" class=\"number\" data-label=\"Open\">7</td>"), "{full}");
        let none = Table { caption: "C", columns: &columns, rows: Vec::new(), empty: "None." }.render().into_string();
        assert_eq!(none, "<p class=\"empty\">None.</p>");
    }

    #[test]
    fn a_field_is_labelled_and_described() {
        let made = field("name", "Name", "\"x", "Short.").into_string();
        assert!(
            made.contains("<label for=\"f-name\">Name</label><input id=\"f-name\" name=\"name\" value=\"&quot;x\""),
            "{made}"
        );
        assert!(
            made.contains("aria-describedby=\"f-name-about\"") && made.contains("id=\"f-name-about\">Short."),
            "{made}"
        );
    }
}
