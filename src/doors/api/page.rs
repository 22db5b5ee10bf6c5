//! Lists in pages: `?limit=` and `?after=` in, `{"items":…,"next":…}` out.

use serde::Serialize;
use uuid::Uuid;

use super::fields::Fields;
use super::values;

pub(super) const DEFAULT_LIMIT: u64 = 100;
pub(super) const MOST: u64 = 1000;

/// Which page is asked for; `C` is what a page goes on behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<C = Uuid> {
    pub(super) after: Option<C>,
    limit: usize,
}

impl Wanted {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let after = fields.optional("after", values::id);
        let limit = fields.optional("limit", values::number(1..=MOST)).unwrap_or(DEFAULT_LIMIT);
        Self { after, limit: limit as usize }
    }
}

impl Wanted<String> {
    /// Of a list by names.
    pub(super) fn read_names(fields: &mut Fields) -> Self {
        let after = fields.optional("after", values::plain);
        let limit = fields.optional("limit", values::number(1..=MOST)).unwrap_or(DEFAULT_LIMIT);
        Self { after, limit: limit as usize }
    }
}

impl<C> Wanted<C> {
    /// How many are shown at the most.
    pub(super) fn limit(&self) -> i64 {
        self.limit as i64
    }

    /// How many to look up: one more than shown tells whether there is a next page.
    pub(super) fn rows(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// The page of what was looked up.
    pub(super) fn page<T>(self, mut items: Vec<T>, cursor: impl Fn(&T) -> C) -> Page<T, C> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// One page.
#[derive(Debug, Serialize)]
pub(super) struct Page<T, C = Uuid> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<C>,
}

impl<T> Page<T> {
    /// Everything there is.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

impl<T, C> Page<T, C> {
    pub(super) fn map<U>(self, shape: impl FnMut(T) -> U) -> Page<U, C> {
        Page { items: self.items.into_iter().map(shape).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_names_the_next_only_when_there_is_one() {
        let wanted = Wanted::read(&mut Fields::query("limit=2"));
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        assert_eq!(wanted.rows(), 3);
        assert_eq!(wanted.page(ids.clone(), |id| *id).next, Some(ids[1]));
        assert_eq!(wanted.page(ids[..2].to_vec(), |id| *id).next, None);
    }
}
