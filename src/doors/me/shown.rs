//! What strangers write, as it may stand on a page: escaped by the templates, and here kept from passing for something else.
//!
//! Characters that nobody sees, or that turn round what stands beside them (Unicode TR 36, 3.3 and UAX 9), are shown as U+FFFD. What is
//! left stands in an element of its own direction; a name is never without the address it goes with.

use maud::{Markup, html};

const INSTEAD: char = '\u{fffd}';

/// A text of several lines.
pub(super) fn text(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' || !is_trick(c) { c } else { INSTEAD }).collect()
}

/// A name or any other words of one line.
pub(super) fn words(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_whitespace() => ' ',
        c if is_trick(c) || is_unseen(c) => INSTEAD,
        c => c,
    };
    text.chars().map(shown).collect::<String>().trim().to_owned()
}

/// Somebody's name, in an element that keeps its direction to itself.
pub(super) fn name(name: &str) -> Markup {
    html! { bdi .name { (words(name)) } }
}

/// Controls, and what embeds, overrides or isolates directions.
fn is_trick(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

/// What takes no room; the joiners of scripts and emoji may stay.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}' | '\u{200b}'
            | '\u{200e}' | '\u{200f}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_turns_round_or_hides() {
        assert_eq!(words("\u{202e}gnp.exe\u{202c}\nYou:"), "\u{fffd}gnp.exe\u{fffd} You:");
        assert_eq!(words(" A\u{200b}da \u{feff}"), "A\u{fffd}da \u{fffd}");
        assert_eq!(text("a\tb\n\u{7}\u{2067}c"), "a\tb\n\u{fffd}\u{fffd}c");
        assert_eq!(text("👩\u{200d}🚀 نص שלום"), "👩\u{200d}🚀 نص שלום");
        assert_eq!(name("<b>").into_string(), "<bdi class=\"name\">&lt;b&gt;</bdi>");
    }

    proptest! {
        #[test]
        fn any_text_is_shown_without_tricks(any: String) {
            prop_assert!(!words(&any).contains(is_trick));
            prop_assert!(!text(&any).contains(|c| is_trick(c) && c != '\n' && c != '\t'));
        }
    }
}
