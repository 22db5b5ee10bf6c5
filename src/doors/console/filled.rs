//! A form as somebody filled it in: read into types, and shown again with what is wrong beside each field.
//!
//! Promises: nothing that was typed is lost when something else was wrong, except for secrets, which are never shown again; each
//! mistake is said beside its field, and tied to it for those who hear the page.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use maud::{Markup, html};

use crate::doors::site::fields::Fields;

/// One form of a page. Several may stand on one page: their names keep their fields apart.
pub(super) struct Filled<'a> {
    name: &'static str,
    fields: Option<&'a Fields>,
    wrong: Vec<(&'static str, String)>,
}

impl<'a> Filled<'a> {
    /// A form that was sent.
    pub(super) fn of(name: &'static str, fields: &'a Fields) -> Self {
        Self { name, fields: Some(fields), wrong: Vec::new() }
    }

    /// One that nobody has touched.
    pub(super) fn empty(name: &'static str) -> Self {
        Self { name, fields: None, wrong: Vec::new() }
    }

    /// A field as it was typed, without white space around it.
    pub(super) fn text(&self, field: &str) -> &'a str {
        self.fields.and_then(|fields| fields.filled(field)).unwrap_or_default()
    }

    /// A field that must be there; `read` answers what is wrong in words that follow its label ("is not …").
    pub(super) fn required<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.text(field) {
            "" => {
                self.mistake(field, "is missing");
                None
            }
            text => self.read(field, text, read),
        }
    }

    /// A field that may be left empty.
    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.text(field) {
            "" => None,
            text => self.read(field, text, read),
        }
    }

    fn read<T>(&mut self, field: &'static str, text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(text).map_err(|words| self.mistake(field, words)).ok()
    }

    /// Whether a box is ticked.
    pub(super) fn ticked(&self, field: &str) -> bool {
        !self.text(field).is_empty()
    }

    /// Something is wrong with a field.
    pub(super) fn mistake(&mut self, field: &'static str, words: impl Into<String>) {
        self.wrong.push((field, words.into()));
    }

    /// Whether nothing is wrong.
    pub(super) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// A field of one line. `now` is what it holds before anybody types.
    pub(super) fn line(&self, field: &str, label: &str, now: &str, hint: &str) -> Markup {
        let shown = if self.fields.is_some() { self.text(field) } else { now };
        self.labelled(field, label, hint, |id, described, invalid| {
            html! { input id=(id) name=(field) value=(shown) autocomplete="off" aria-describedby=[described] aria-invalid=[invalid]; }
        })
    }

    /// A field whose content is not shown again.
    pub(super) fn hidden_line(&self, field: &str, label: &str, hint: &str) -> Markup {
        self.labelled(field, label, hint, |id, described, invalid| {
            html! { input id=(id) name=(field) type="password" autocomplete="off" aria-describedby=[described] aria-invalid=[invalid]; }
        })
    }

    /// One of several.
    pub(super) fn choice(&self, field: &str, label: &str, options: &[(&str, &str)], now: &str, hint: &str) -> Markup {
        let chosen = Some(self.text(field)).filter(|text| !text.is_empty()).unwrap_or(now);
        self.labelled(field, label, hint, |id, described, invalid| {
            html! {
                select id=(id) name=(field) aria-describedby=[described] aria-invalid=[invalid] {
                    @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
                    // What a link asked for and the list does not offer.
                    @if !options.iter().any(|(value, _)| *value == chosen) { option value=(chosen) selected { (chosen) } }
                }
            }
        })
    }

    /// A box to be ticked.
    pub(super) fn tick(&self, field: &str, label: &str, now: bool) -> Markup {
        let id = format!("{}-{field}", self.name);
        let on = if self.fields.is_some() { self.ticked(field) } else { now };
        html! { div .field { label for=(id) { input id=(id) type="checkbox" name=(field) value="yes" checked[on]; " " (label) } } }
    }

    fn labelled(
        &self,
        field: &str,
        label: &str,
        hint: &str,
        input: impl FnOnce(&str, Option<&str>, Option<&str>) -> Markup,
    ) -> Markup {
        let id = format!("{}-{field}", self.name);
        let (about, error) = (format!("{id}-about"), format!("{id}-error"));
        let wrong: Vec<&str> =
            self.wrong.iter().filter(|(known, _)| *known == field).map(|(_, words)| words.as_str()).collect();
        let described = match (wrong.is_empty(), hint.is_empty()) {
            (true, true) => None,
            (true, false) => Some(about.clone()),
            (false, true) => Some(error.clone()),
            (false, false) => Some(format!("{error} {about}")),
        };
        html! {
            div .field {
                label for=(id) { (label) }
                (input(&id, described.as_deref(), (!wrong.is_empty()).then_some("true")))
                @if !wrong.is_empty() { p .wrong id=(error) { (label) " " (wrong.join(", ")) "." } }
                @if !hint.is_empty() { small id=(about) { (hint) } }
            }
        }
    }
}

/// Anything that is parsed from text and whose error is a sentence.
pub(super) fn parsed<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| format!("is not valid: {error}"))
}

/// A number within bounds.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number: Option<T> = text.parse().ok();
        let (least, most) = (range.start(), range.end());
        number.filter(|number| range.contains(number)).ok_or_else(|| format!("is not a number from {least} to {most}"))
    }
}

/// One line of text, so many characters long at the most.
pub(super) fn words(most: usize) -> impl FnOnce(&str) -> Result<String, String> {
    move |text| match text.chars().count() <= most && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("has at most {most} characters and no control characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_beside_its_field_and_nothing_typed_is_lost() {
        let fields = Fields::parse(b"rate=fast&name=%22%3Cb%3E&key=s3cret&open=yes");
        let mut form = Filled::of("pace", &fields);
        assert_eq!(form.optional("rate", number(0.5..=9.0)), None);
        assert_eq!(form.required("to", parsed::<u8>), None);
        form.mistake("key", "is not known");
        assert!(!form.is_right() && form.ticked("open") && !form.ticked("closed"));
        let rate = form.line("rate", "Rate", "", "Calls a second.").into_string();
        assert!(rate.contains("value=\"fast\"") && rate.contains("aria-invalid=\"true\""), "{rate}");
        assert!(rate.contains("aria-describedby=\"pace-rate-error pace-rate-about\""), "{rate}");
        assert!(rate.contains("id=\"pace-rate-error\">Rate is not a number from 0.5 to 9."), "{rate}");
        let name = form.line("name", "Name", "old", "").into_string();
        assert!(name.contains("value=\"&quot;&lt;b&gt;\"") && !name.contains("aria-invalid"), "{name}");
        let key = form.hidden_line("key", "Key", "").into_string();
        assert!(!key.contains("s3cret") && key.contains("Key is not known."), "{key}");
    }

    #[test]
    fn a_form_that_nobody_touched_shows_what_is_there() {
        let form = Filled::empty("pace");
        assert!(form.line("rate", "Rate", "5", "").into_string().contains("value=\"5\""));
        let options = [("a", "A"), ("b", "B")];
        assert!(form.choice("x", "X", &options, "b", "").into_string().contains("<option value=\"b\" selected>"));
        assert!(form.choice("x", "X", &options, "c", "").into_string().contains("<option value=\"c\" selected>c<"));
    }
}
