//! Forms in a page: as much of HTML as it takes to fill in a merchant's login form.
//!
//! Promises: nothing in a page makes it fail or read far; what stands in comments and scripts is no form. Leaves out controls other
//! than `input` (the protocol has no others) and everything that scripts would do.

/// A form as the page has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Where it leads, as written; empty: the page itself.
    pub action: String,
    /// Whether it is a POST.
    pub posts: bool,
    /// Names and values of its inputs, in order, without buttons and boxes that are not ticked.
    pub fields: Vec<(String, String)>,
}

/// All forms of a page.
pub fn forms(html: &str) -> Vec<Form> {
    let mut found: Vec<Form> = Vec::new();
    let mut open = false;
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        if let Some(behind) = skipped(rest) {
            rest = behind;
            continue;
        }
        let (name, attributes, behind) = tag(&rest[1..]);
        rest = behind;
        match name.as_str() {
            "form" => {
                let get = |name| value(&attributes, name).unwrap_or_default();
                let posts = get("method").eq_ignore_ascii_case("post");
                found.push(Form { action: get("action").trim().to_owned(), posts, fields: Vec::new() });
                open = true;
            }
            "/form" => open = false,
            "input" if open => {
                if let (Some(field), Some(form)) = (field(&attributes), found.last_mut()) {
                    form.fields.push(field);
                }
            }
            _ => {}
        }
    }
    found
}

impl Form {
    /// Puts a value into a field; false: there is no such field.
    pub fn fill(&mut self, name: &str, value: &str) -> bool {
        let field = self.fields.iter_mut().find(|(known, _)| known == name);
        field.map(|(_, old)| value.clone_into(old)).is_some()
    }

    /// A field's value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What comes behind a comment, a script or a style, if here is one.
fn skipped(rest: &str) -> Option<&str> {
    let end = |mark: &str| rest.find(mark).map_or("", |at| &rest[at + mark.len()..]);
    let begins = |tag: &str| rest.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    match () {
        () if begins("<!--") => Some(end("-->")),
        () if begins("<script") => Some(end("</script")),
        () if begins("<style") => Some(end("</style")),
        () => None,
    }
}

/// Name, attributes and what comes behind, of a tag whose `<` is gone.
fn tag(text: &str) -> (String, Vec<(String, String)>, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(text.len());
    let name = text[..end].trim_end_matches('/').to_ascii_lowercase();
    let name = if text.starts_with('/') { format!("/{}", name.trim_start_matches('/')) } else { name };
    let mut rest = &text[end..];
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (name, attributes, rest.get(1..).unwrap_or_default());
        }
        let (attribute, behind) = attribute(rest);
        attributes.push(attribute);
        rest = behind;
    }
}

fn attribute(text: &str) -> ((String, String), &str) {
    // At least one character, so that a stray `=` is passed over.
    let first = text.chars().next().map_or(0, char::len_utf8);
    let end = text[first..].find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/'));
    let end = end.map_or(text.len(), |at| at + first);
    let (name, rest) = (text[..end].to_ascii_lowercase(), text[end..].trim_start());
    let Some(rest) = rest.strip_prefix('=') else { return ((name, String::new()), &text[end..]) };
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (value, behind) = match quote {
        Some(quote) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
        None => rest.split_at(rest.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(rest.len())),
    };
    ((name, decoded(value)), behind)
}

fn value(attributes: &[(String, String)], name: &str) -> Option<String> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn field(attributes: &[(String, String)]) -> Option<(String, String)> {
    let name = value(attributes, "name").filter(|name| !name.is_empty())?;
    let kind = value(attributes, "type").unwrap_or_default().to_ascii_lowercase();
    let (is_box, ticked) = (matches!(kind.as_str(), "checkbox" | "radio"), value(attributes, "checked").is_some());
    let sent = !matches!(kind.as_str(), "submit" | "button" | "image" | "reset" | "file") && (!is_box || ticked);
    let content = value(attributes, "value").unwrap_or_else(|| if is_box { "on".into() } else { String::new() });
    (sent && value(attributes, "disabled").is_none()).then_some((name, content))
}

/// Character references: the five that escaping needs, and numbers.
fn decoded(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, length)) => {
                plain.push(c);
                rest = &rest[length..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain + rest
}

fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|b| b == b';')?;
    let c = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_login_form_is_read() {
        let html = r#"<!doctype html><!-- <form action="/trap"><input name=username></form> -->
            <script>"<form action=/trap>"</script><form action="/search"><input name="q"></form>
            <FORM method='POST' action="entry?a=1&amp;b=2" >
              <label>Name <input name="username" required autofocus></label>
              <input type=hidden name=scopes value='email;phone1|&quot;x&#34;&#x26;'/>
              <input type="checkbox" name="no"><input type="checkbox" name="yes" checked>
              <input type="submit" name="go" value="Go"><button>Sign in</button>
            </FORM><input name="outside">"#;
        let found = forms(html);
        assert_eq!(found.len(), 2, "{found:?}");
        let mut form = found[1].clone();
        assert_eq!((form.action.as_str(), form.posts), ("entry?a=1&b=2", true));
        assert_eq!(form.value("scopes"), Some("email;phone1|\"x\"&"));
        assert!(form.fill("username", "alice") && !form.fill("go", "x"));
        let names: Vec<_> = form.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["username=alice", "scopes=email;phone1|\"x\"&", "yes=on"]);
    }

    #[test]
    fn what_is_no_html_does_no_harm() {
        for html in [
            "<",
            "<form",
            "<form =",
            "<form a=\"",
            "<input name='a",
            "<!--",
            "<a b=c",
            "&#xd800;<form action=&#xd800;>",
        ] {
            forms(html);
        }
    }

    proptest! {
        #[test]
        fn no_page_breaks_it(html in "[<>/=\"'&;# a-fé!-]{0,200}", any in ".{0,100}") {
            forms(&html);
            forms(&format!("<form><input {any}"));
            decoded(&any);
        }
    }
}
