//! The screen, drawn: tabs, facts, charts, a table, and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState, Tabs};
use unicode_width::UnicodeWidthStr;

use super::View;
use super::model::{Minute, Picture};
use crate::cli::output::{harmless, time};

const KEYS: &str = " 1-4 Tab view   Space hold   s sort   r turn round   ↑↓ scroll   q end";
/// Widest column.
const WIDEST: usize = 50;

/// What is shown and how, apart from what the node says.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) view: Option<View>,
    /// The picture is held.
    pub(super) held: bool,
    /// The column to sort by; none: as the node says.
    pub(super) sort: Option<usize>,
    pub(super) reverse: bool,
    pub(super) table: TableState,
    /// Why the last look failed.
    pub(super) trouble: Option<String>,
}

impl Shown {
    pub(super) fn view(&self) -> View {
        self.view.unwrap_or(View::Overview)
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, shown: &mut Shown) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, head, picture, shown);
    let table = match shown.view() {
        View::Overview => {
            let facts = picture.overview.facts().len() as u16;
            let [facts, charts, table] =
                Layout::vertical([Constraint::Length(facts + 1), Constraint::Length(8), Constraint::Min(4)])
                    .areas(body);
            draw_facts(frame, facts, picture);
            draw_charts(frame, charts, &picture.overview.minutes);
            table
        }
        _ => body,
    };
    draw_table(frame, table, picture, shown);
    let foot_words = match &shown.trouble {
        Some(trouble) => Line::from(format!(" {}", harmless(trouble))).style(Modifier::REVERSED),
        None => Line::from(KEYS).style(Modifier::DIM),
    };
    frame.render_widget(Paragraph::new(foot_words), foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, picture: &Picture, shown: &Shown) {
    let [title, tabs] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let mut words = vec![
        Span::styled(format!(" {} ", harmless(&picture.overview.domain)), Modifier::BOLD),
        Span::raw(format!("handfast {}  {}", harmless(&picture.overview.version), time(&picture.overview.at))),
    ];
    if shown.held {
        words.push(Span::styled("  held ", Modifier::REVERSED));
    }
    frame.render_widget(Paragraph::new(Line::from(words)), title);
    let titles = View::ALL.iter().enumerate().map(|(n, view)| format!("{} {}", n + 1, view.title()));
    let tabs_widget = Tabs::new(titles).select(shown.view() as usize).highlight_style(Modifier::REVERSED);
    frame.render_widget(tabs_widget, tabs);
}

fn draw_facts(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let line = |(name, words): (String, String)| {
        Line::from(vec![Span::styled(format!(" {name:<13}"), Modifier::DIM), Span::raw(words)])
    };
    let lines: Vec<Line<'_>> = picture.overview.facts().into_iter().map(line).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// The last hour, a bar a minute.
fn draw_charts(frame: &mut Frame<'_>, area: Rect, minutes: &[Minute]) {
    let parts: [Rect; 3] = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas(area);
    let charts: [(&str, fn(&Minute) -> u64); 3] = [
        ("accepted", |minute| minute.accepted),
        ("delivered", |minute| minute.delivered),
        ("failed", |minute| minute.failed),
    ];
    for (part, (name, of)) in parts.into_iter().zip(charts) {
        let values: Vec<u64> = minutes.iter().map(of).collect();
        // The newest bars are at the right, whatever the width.
        let room = part.width.saturating_sub(2) as usize;
        let newest = &values[values.len().saturating_sub(room)..];
        let most = newest.iter().max().copied().unwrap_or_default();
        let title = format!(" {name} a minute, at most {most} ");
        frame.render_widget(Sparkline::default().block(Block::bordered().title(title)).data(newest), part);
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, picture: &Picture, shown: &mut Shown) {
    let rows = &picture.rows;
    let sorted = match shown.sort {
        Some(column) => rows.sorted(column, shown.reverse),
        None => rows.cells.iter().collect(),
    };
    let width = |column: usize| {
        let cells = sorted.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain([rows.titles[column].width() + 2]).max().unwrap_or(1).min(WIDEST) as u16
    };
    let widths: Vec<Constraint> = (0..rows.titles.len()).map(|column| Constraint::Length(width(column))).collect();
    let title = |(column, title): (usize, &&'static str)| {
        let mark = match (shown.sort == Some(column), shown.reverse) {
            (true, false) => " ▲",
            (true, true) => " ▼",
            (false, _) => "",
        };
        Cell::from(format!("{title}{mark}"))
    };
    let head = Row::new(rows.titles.iter().enumerate().map(title)).style(Style::from(Modifier::BOLD));
    let body = sorted.iter().map(|row| Row::new(row.iter().map(|cell| Cell::from(cell.as_str()))));
    let table = Table::new(body, widths).header(head).column_spacing(2).row_highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(table, area, &mut shown.table);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::model::tests::example;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(width: u16, height: u16, shown: &mut Shown) -> String {
        let mut overview = example();
        overview.domain = "shop.example\u{1b}[2J".into();
        let rows = match shown.view() {
            View::Workers => overview.worker_rows(),
            _ => overview.lane_rows(),
        };
        let picture = Picture { overview, rows };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &picture, shown)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_the_screen() {
        let mut shown = Shown { sort: Some(1), reverse: true, ..Shown::default() };
        let screen = drawn(140, 30, &mut shown);
        for words in [
            "1 Overview",
            "4 Workers",
            "accepted 12.0",
            "delivered a minute, at most 59",
            "READY ▼",
            "1000+",
            "q end",
            "█",
        ] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
        assert!(!screen.contains('\u{1b}'), "the node's words cannot drive the terminal");
        let at = |words: &str| screen.find(words).unwrap();
        assert!(at("bulk  ") < at("interactive  ") || screen.matches("bulk").count() > 1);
    }

    #[test]
    fn trouble_and_a_held_picture_are_said() {
        let mut shown =
            Shown { view: Some(View::Workers), held: true, trouble: Some("no answer".into()), ..Shown::default() };
        let screen = drawn(80, 12, &mut shown);
        for words in ["held", "no answer", "DELIVERIES", "99"] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
    }

    #[test]
    fn no_screen_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 2)] {
            for view in View::ALL {
                drawn(width, height, &mut Shown { view: Some(view), ..Shown::default() });
            }
        }
    }
}
