//! What a merchant asks for: `mandatory;names|optional;names`.

use std::collections::HashSet;

/// Names every space knows (homing.space/scopes.html).
pub const STANDARD: [&str; 9] =
    ["fullname", "email", "email1", "email2", "address", "avatarurl", "phone1", "phone2", "birthday"];

/// Most names, and bytes of the whole text.
const MOST: usize = 32;
const LONGEST: usize = 512;

/// Scopes, as parsed; the text is kept as it came, since it is hashed and compared verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    text: Box<str>,
    mandatory: Vec<Box<str>>,
    optional: Vec<Box<str>>,
}

/// What is wrong with a text of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScopes {
    /// Not one bar.
    #[error("must have exactly one | between the mandatory and the optional names")]
    Bar,
    /// Too much.
    #[error("must have at most {MOST} names and {LONGEST} bytes")]
    TooMany,
    /// Something that is no name.
    #[error("a name has 1 to 32 letters, digits and _")]
    Name,
    /// The same twice.
    #[error("{0} is named twice")]
    Twice(Box<str>),
    /// Of neither the standard nor the site.
    #[error("{0} is neither a standard name nor one of the site's own")]
    NotAllowed(Box<str>),
}

/// What is wrong with what somebody granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGrant {
    /// Something mandatory is not there.
    #[error("{0} must be granted")]
    Missing(Box<str>),
    /// Something that was not asked for, twice the same, or in another order than it was asked for.
    #[error("what is granted must be of what was asked for, in its order")]
    Other,
}

impl Scopes {
    /// From `email;phone1|birthday`. Each list may be empty and may end with one `;`.
    pub fn parse(text: &str) -> Result<Self, BadScopes> {
        if text.len() > LONGEST {
            return Err(BadScopes::TooMany);
        }
        let (mandatory, optional) = text.split_once('|').ok_or(BadScopes::Bar)?;
        if optional.contains('|') {
            return Err(BadScopes::Bar);
        }
        let scopes = Self { text: text.into(), mandatory: names(mandatory)?, optional: names(optional)? };
        let mut seen = HashSet::new();
        if let Some(twice) = scopes.names().find(|name| !seen.insert(*name)) {
            return Err(BadScopes::Twice(twice.into()));
        }
        if seen.len() > MOST { Err(BadScopes::TooMany) } else { Ok(scopes) }
    }

    /// Whether every name is a standard one or begins with `<prefix>_`. `f_in_g` is reserved whatever the prefix.
    pub fn allowed(&self, prefix: &str) -> Result<(), BadScopes> {
        let own = |name: &str| {
            !prefix.is_empty() && name.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
        };
        let good = |name: &&str| *name != "f_in_g" && (STANDARD.contains(name) || own(name));
        match self.names().find(|name| !good(name)) {
            None => Ok(()),
            Some(name) => Err(BadScopes::NotAllowed(name.into())),
        }
    }

    /// The text, verbatim.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What must be given.
    pub fn mandatory(&self) -> impl Iterator<Item = &str> {
        self.mandatory.iter().map(|name| &**name)
    }

    /// What may be given.
    pub fn optional(&self) -> impl Iterator<Item = &str> {
        self.optional.iter().map(|name| &**name)
    }

    /// All, mandatory ones first, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.mandatory().chain(self.optional())
    }

    /// What is signed as granted, when `given` says of each name whether it is: `email;phone1`, in the order of [`names`](Self::names).
    pub fn granted(&self, given: impl Fn(&str) -> bool) -> String {
        self.names().filter(|name| given(name)).collect::<Vec<_>>().join(";")
    }

    /// The names of a grant, if it is one of [`granted`](Self::granted)'s texts and has everything mandatory.
    pub fn check<'a>(&self, granted: &'a str) -> Result<Vec<&'a str>, BadGrant> {
        let names: Vec<&str> = granted.split(';').filter(|name| !name.is_empty()).collect();
        if let Some(missing) = self.mandatory().find(|name| !names.contains(name)) {
            return Err(BadGrant::Missing(missing.into()));
        }
        if self.granted(|name| names.contains(&name)) == granted { Ok(names) } else { Err(BadGrant::Other) }
    }
}

fn names(list: &str) -> Result<Vec<Box<str>>, BadScopes> {
    let list = list.strip_suffix(';').filter(|rest| !rest.is_empty()).unwrap_or(list);
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let is_name = |name: &str| {
        (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let all = list.split(';').map(|name| if is_name(name) { Ok(name.into()) } else { Err(BadScopes::Name) });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grammar() {
        let lists = |text: &str| {
            let scopes = Scopes::parse(text)?;
            let list = |names: Vec<&str>| names.join(",");
            Ok(format!("{}/{}", list(scopes.mandatory().collect()), list(scopes.optional().collect())))
        };
        for (text, expected) in [
            ("|", "/"),
            ("email|", "email/"),
            ("|email", "/email"),
            ("email;phone1|birthday", "email,phone1/birthday"),
            ("email;|phone1;", "email/phone1"),
            ("shop_Size|", "shop_Size/"),
        ] {
            assert_eq!(lists(text), Ok(expected.to_owned()), "{text}");
        }
        for (text, error) in [
            ("", BadScopes::Bar),
            ("email", BadScopes::Bar),
            ("a|b|c", BadScopes::Bar),
            (";|", BadScopes::Name),
            ("email;;|", BadScopes::Name),
            (";email|", BadScopes::Name),
            ("e-mail|", BadScopes::Name),
            ("shop.size|", BadScopes::Name),
            ("email |", BadScopes::Name),
            ("email;email|", BadScopes::Twice("email".into())),
            ("email|email", BadScopes::Twice("email".into())),
        ] {
            assert_eq!(lists(text), Err(error), "{text}");
        }
        let many = (0..33).map(|n| format!("n{n}")).collect::<Vec<_>>().join(";");
        assert_eq!(lists(&format!("{many}|")), Err(BadScopes::TooMany));
        assert_eq!(lists(&format!("{}|", "a".repeat(600))), Err(BadScopes::TooMany));
    }

    #[test]
    fn names_are_standard_or_the_sites_own() {
        let allowed = |text: &str, prefix: &str| Scopes::parse(text).unwrap().allowed(prefix).is_ok();
        assert!(allowed("email|phone1", ""));
        assert!(allowed("shop_size|", "shop"));
        for (text, prefix) in
            [("shop_size|", ""), ("Email|", "shop"), ("shop_|", "shop"), ("f_in_g|", "f"), ("_x|", "")]
        {
            assert!(!allowed(text, prefix), "{text}");
        }
    }

    #[test]
    fn a_grant_has_one_text() {
        let scopes = Scopes::parse("email;phone1|birthday;address").unwrap();
        assert_eq!(scopes.granted(|name| name != "birthday"), "email;phone1;address");
        assert_eq!(scopes.check("email;phone1;address"), Ok(vec!["email", "phone1", "address"]));
        assert_eq!(scopes.check("email"), Err(BadGrant::Missing("phone1".into())));
        for other in
            ["phone1;email", "email;phone1;email", "email;phone1;x", "email;phone1;", "email;phone1;address;birthday"]
        {
            assert_eq!(scopes.check(other), Err(BadGrant::Other), "{other}");
        }
        assert_eq!(Scopes::parse("|").unwrap().check(""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn whatever_arrives(text in "[a-z0-9_;|. ]{0,60}") {
            if let Ok(scopes) = Scopes::parse(&text) {
                prop_assert_eq!(scopes.text(), &text);
                let all = scopes.granted(|_| true);
                prop_assert_eq!(scopes.check(&all).unwrap().len(), scopes.names().count());
            }
        }

        #[test]
        fn whatever_is_granted(granted in ".{0,40}") {
            let scopes = Scopes::parse("email|phone1").unwrap();
            if scopes.check(&granted).is_ok() {
                prop_assert!(granted == "email" || granted == "email;phone1");
            }
        }
    }
}
