//! Drawn numbers: SVG made here, so that it needs no script. What is drawn is also said: a title and a description in the picture, and
//! a table below it. Labels are text beside the picture, so that they keep their size on a phone; lines differ by their dashes too.

use std::fmt::Write;

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::words::count;
use crate::doors::site::pieces::{Column, Table, number, text};

/// Height of a picture of lines, in its own units; it is stretched to the page.
const HEIGHT: f64 = 100.0;
/// The same of its width.
const WIDTH: f64 = 600.0;
/// Classes of the style sheet, in the order of the series.
const STROKES: [&str; 4] = ["first", "second", "third", "fourth"];
/// Of how many points a row of the table is made.
const POINTS_A_ROW: usize = 5;

/// Numbers over time, some series of as many points each.
pub(super) struct Lines<'a> {
    /// Tells it from other charts of the page.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// The moments of the points, oldest first.
    pub(super) at: Vec<Timestamp>,
    /// Names and numbers.
    pub(super) series: Vec<(&'a str, Vec<i64>)>,
}

impl Render for Lines<'_> {
    fn render(&self) -> Markup {
        let (title, about) = (format!("{}-title", self.id), format!("{}-about", self.id));
        let top = top(self.series.iter().flat_map(|(_, numbers)| numbers).copied().max().unwrap_or(0));
        html! {
            figure .chart {
                div .plot {
                    div .scale aria-hidden="true" { span { (count(top)) } span { (count(top / 2)) } span { "0" } }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-labelledby={ (title) " " (about) } {
                        title id=(title) { (self.title) }
                        desc id=(about) { (self.description()) }
                        @for y in [0.0, HEIGHT / 2.0, HEIGHT] { line .grid x1="0" x2=(WIDTH) y1=(y) y2=(y) {} }
                        @if let Some((_, numbers)) = self.series.first() { path .area d=(area(numbers, top)) {} }
                        @for ((_, numbers), stroke) in self.series.iter().zip(STROKES) { path class=(stroke) d=(line(numbers, top)) {} }
                        (self.hits())
                    }
                    div .moments aria-hidden="true" { (self.moments()) }
                }
                (legend(self.series.iter().map(|(name, _)| *name)))
                details id={ (self.id) "-table" } { summary { "As a table" } (self.table()) }
            }
        }
    }
}

impl Lines<'_> {
    fn description(&self) -> String {
        let mut words = String::new();
        for (name, numbers) in &self.series {
            let (most, last) = (numbers.iter().max().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
            let _ = write!(
                words,
                "{name}: {} in the last minute, {} at most, {} in all. ",
                count(last),
                count(most),
                count(numbers.iter().sum())
            );
        }
        words.trim_end().to_owned()
    }

    /// What a pointer hears: each point's numbers.
    fn hits(&self) -> Markup {
        let step = WIDTH / self.at.len().max(1) as f64;
        html! {
            @for (n, at) in self.at.iter().enumerate() {
                rect .hit x=(format!("{:.1}", n as f64 * step)) y="0" width=(format!("{step:.1}")) height=(HEIGHT) {
                    title {
                        (at.strftime("%H:%M"))
                        @for (name, numbers) in &self.series { " · " (name) " " (numbers.get(n).copied().map(count).unwrap_or_default()) }
                    }
                }
            }
        }
    }

    fn moments(&self) -> Markup {
        let clock = |at: Option<&Timestamp>| at.map(|at| at.strftime("%H:%M").to_string()).unwrap_or_default();
        html! {
            span { (clock(self.at.first())) }
            span { (clock(self.at.get(self.at.len() / 2))) }
            span { (clock(self.at.last())) " UTC" }
        }
    }

    fn table(&self) -> Markup {
        let columns: Vec<Column<'_>> =
            std::iter::once(text("From (UTC)")).chain(self.series.iter().map(|(name, _)| number(name))).collect();
        let starts = (0..self.at.len()).step_by(POINTS_A_ROW);
        let rows = starts.map(|start| {
            let sum = |numbers: &[i64]| numbers.iter().skip(start).take(POINTS_A_ROW).sum::<i64>();
            let mut cells = vec![html! { (self.at[start].strftime("%H:%M")) }];
            cells.extend(self.series.iter().map(|(_, numbers)| html! { (count(sum(numbers))) }));
            cells
        });
        Table { caption: self.title, columns: &columns, rows: rows.collect(), empty: "Nothing yet." }.render()
    }
}

/// Parts of wholes, a bar each: names, and as many numbers as there are parts.
pub(super) struct Bars<'a> {
    /// Tells it from other charts of the page.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What the bars are.
    pub(super) of: &'a str,
    /// What the parts are.
    pub(super) parts: &'a [&'a str],
    /// The bars.
    pub(super) bars: Vec<(String, Vec<i64>)>,
}

impl Render for Bars<'_> {
    fn render(&self) -> Markup {
        let most = self.bars.iter().map(|(_, parts)| parts.iter().sum::<i64>()).max().unwrap_or(0).max(1);
        html! {
            figure .chart {
                div .bars aria-hidden="true" { @for (name, parts) in &self.bars {
                    span { (name) }
                    svg viewBox="0 0 600 10" preserveAspectRatio="none" { (bar(self.parts, parts, most)) }
                    span .number { (count(parts.iter().sum())) }
                } }
                ul .legend { @for (n, part) in self.parts.iter().enumerate() {
                    li { svg viewBox="0 0 10 10" aria-hidden="true" { rect class={ "part" (n) } width="10" height="10" rx="2" {} } (part) }
                } }
                details id={ (self.id) "-table" } { summary { "As a table" } (self.table()) }
            }
        }
    }
}

impl Bars<'_> {
    fn table(&self) -> Markup {
        let columns: Vec<Column<'_>> =
            std::iter::once(text(self.of)).chain(self.parts.iter().map(|part| number(part))).collect();
        let rows = self.bars.iter().map(|(name, parts)| {
            std::iter::once(html! { (name) }).chain(parts.iter().map(|part| html! { (count(*part)) })).collect()
        });
        Table { caption: self.title, columns: &columns, rows: rows.collect(), empty: "Nothing yet." }.render()
    }
}

/// A number as a bar, beside which it stands in words.
pub(super) fn depth(number: i64, most: i64) -> Markup {
    html! { svg .depth viewBox="0 0 600 10" preserveAspectRatio="none" aria-hidden="true" { (bar(&[], &[number], most.max(1))) } }
}

fn bar(names: &[&str], parts: &[i64], most: i64) -> Markup {
    let mut x = 0.0;
    let placed = parts.iter().enumerate().map(|(n, part)| {
        let width = 600.0 * *part as f64 / most as f64;
        let placed = (n, x, width, *part);
        x += width;
        placed
    });
    html! {
        rect .ground width="600" height="10" {}
        @for (n, x, width, part) in placed.filter(|(_, _, width, _)| *width > 0.0) {
            rect class={ "part" (n) } x=(format!("{x:.1}")) width=(format!("{width:.1}")) height="10" {
                title { (names.get(n).unwrap_or(&"")) " " (count(part)) }
            }
        }
    }
}

fn legend<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        ul .legend { @for (name, stroke) in names.zip(STROKES) {
            li { svg viewBox="0 0 28 10" aria-hidden="true" { path class=(stroke) d="M1 5H27" {} } (name) }
        } }
    }
}

/// The points of a line, in the middle of each one's place.
fn points(numbers: &[i64], top: i64) -> impl Iterator<Item = (f64, f64)> + '_ {
    let step = WIDTH / numbers.len().max(1) as f64;
    let y = move |number: i64| HEIGHT - HEIGHT * number as f64 / top as f64;
    numbers.iter().enumerate().map(move |(n, number)| ((n as f64 + 0.5) * step, y(*number)))
}

fn line(numbers: &[i64], top: i64) -> String {
    let mut path = String::new();
    for (n, (x, y)) in points(numbers, top).enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
    }
    path
}

fn area(numbers: &[i64], top: i64) -> String {
    let Some((first, _)) = points(numbers, top).next() else { return String::new() };
    let last = points(numbers, top).last().map_or(first, |(x, _)| x);
    format!("{}L{last:.1} {HEIGHT}L{first:.1} {HEIGHT}Z", line(numbers, top))
}

/// Where the scale ends: a round even number that holds the most.
fn top(most: i64) -> i64 {
    let mut step = 1;
    loop {
        for factor in [2, 4, 6, 10] {
            if most <= factor * step {
                return factor * step;
            }
        }
        step *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_round_and_holds_everything() {
        for (most, scale) in [(0, 2), (1, 2), (3, 4), (7, 10), (11, 20), (45, 60), (61, 100), (99_999, 100_000)] {
            assert_eq!(top(most), scale, "{most}");
        }
    }

    #[test]
    fn a_line_goes_through_its_points() {
        assert_eq!(line(&[0, 2, 1], 2), "M100.0 100.0L300.0 0.0L500.0 50.0");
        assert_eq!(area(&[2], 2), "M300.0 0.0L300.0 100L300.0 100Z");
        assert_eq!((line(&[], 2), area(&[], 2)), (String::new(), String::new()));
    }

    #[test]
    fn what_is_drawn_is_said() {
        let at = vec!["2026-03-01T10:00:00Z".parse().unwrap(), "2026-03-01T10:01:00Z".parse().unwrap()];
        let lines = Lines { id: "x", title: "Pace", at, series: vec![("sent <b>", vec![3, 4])] }.render().into_string();
        for part in [
            "<title id=\"x-title\">Pace</title>",
            "sent &lt;b&gt;: 4 in the last minute, 4 at most, 7 in all.",
            "aria-labelledby=\"x-title x-about\"",
        ] {
            assert!(lines.contains(part), "{part} in {lines}");
        }
        let bars = Bars { id: "y", title: "Open", of: "Lane", parts: &["due"], bars: vec![("bulk".into(), vec![5])] };
        let bars = bars.render().into_string();
        assert!(bars.contains("data-label=\"due\">5</td>"), "{bars}");
    }
}
