use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::sql::Name;

/// One for each processor of a small machine, whose tests run at the same time.
const MOST: usize = 2;

/// Copies that nobody has asked for yet, by the keys of their templates.
#[derive(Default)]
pub(super) struct Ahead(Mutex<HashMap<String, Copies>>);

#[derive(Default)]
struct Copies {
    made: Vec<Name>,
    under_way: usize,
}

impl Ahead {
    pub(super) fn take(&self, key: &str) -> Option<Name> {
        self.lock().get_mut(key)?.made.pop()
    }

    /// Returns true if one more is to be made, which counts as under way until it [ends](Self::end).
    pub(super) fn begin(&self, key: &str) -> bool {
        let mut all = self.lock();
        let copies = all.entry(key.to_owned()).or_default();
        let is_wanted = copies.made.len() + copies.under_way < MOST;
        copies.under_way += usize::from(is_wanted);
        is_wanted
    }

    pub(super) fn end(&self, key: &str, made: Option<Name>) {
        if let Some(copies) = self.lock().get_mut(key) {
            copies.under_way -= 1;
            copies.made.extend(made);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Copies>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_more_are_made_than_may_wait() {
        let ahead = Ahead::default();
        assert!(ahead.take("a").is_none());
        assert_eq!([ahead.begin("a"), ahead.begin("a"), ahead.begin("a")], [true, true, false]);
        ahead.end("a", Some(Name::parse("one").unwrap()));
        assert!(!ahead.begin("a"), "one waits, and one is under way");
        assert_eq!(ahead.take("a").unwrap().as_str(), "one");
        assert!(ahead.begin("a"));
        // Those of another template are counted by themselves.
        assert!(ahead.begin("b"));
        assert!(ahead.take("b").is_none());
    }

    #[test]
    fn one_that_failed_is_not_under_way_any_more() {
        let ahead = Ahead::default();
        assert!(ahead.begin("a") && ahead.begin("a"));
        ahead.end("a", None);
        assert!(ahead.take("a").is_none());
        assert!(ahead.begin("a"));
    }
}
