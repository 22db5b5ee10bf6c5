//! Lists in pages: `?limit=` and `?after=` in, `{"items":…,"next":…}` out.

use serde::Serialize;
use uuid::Uuid;

use super::fields::Fields;
use super::values;

const DEFAULT_LIMIT: u64 = 100;
const MOST: u64 = 1000;

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) after: Option<Uuid>,
    limit: usize,
}

impl Wanted {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let after = fields.optional("after", values::id);
        let limit = fields.optional("limit", values::number(1..=MOST)).unwrap_or(DEFAULT_LIMIT);
        Self { after, limit: limit as usize }
    }

    /// How many are shown at the most.
    pub(super) fn limit(self) -> i64 {
        self.limit as i64
    }

    /// How many to look up: one more than shown tells whether there is a next page.
    pub(super) fn rows(self) -> i64 {
        self.limit as i64 + 1
    }

    /// The page of what was looked up.
    pub(super) fn page<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = if more { items.last().map(id) } else { None };
        Page { items, next }
    }
}

/// One page.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<Uuid>,
}

impl<T> Page<T> {
    /// Everything there is.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    pub(super) fn map<U>(self, shape: impl FnMut(T) -> U) -> Page<U> {
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
