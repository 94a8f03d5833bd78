//! Things that are done in whatever order succeeds.

use std::collections::VecDeque;

/// Things to do, of which some may need others to be done before.
///
/// What was put back comes again in the next round, until a whole round has done nothing.
pub(super) struct Rounds<T, E> {
    left: VecDeque<T>,
    /// The number of them when this round began.
    begun_with: usize,
    put_back: Vec<T>,
    reason: Option<E>,
}

impl<T, E> Rounds<T, E> {
    pub(super) fn of(things: Vec<T>) -> Self {
        Self { begun_with: things.len(), left: things.into(), put_back: Vec::new(), reason: None }
    }

    /// The next one, or `None` once all are done.
    ///
    /// # Errors
    /// The error of one that was put back, if a round has done nothing.
    pub(super) fn next(&mut self) -> Result<Option<T>, E> {
        if self.left.is_empty() {
            let reason = self.reason.take();
            if self.put_back.len() == self.begun_with
                && let Some(reason) = reason
            {
                return Err(reason);
            }
            self.left = std::mem::take(&mut self.put_back).into();
            self.begun_with = self.left.len();
        }
        Ok(self.left.pop_front())
    }

    /// Has one that failed come again.
    pub(super) fn put_back(&mut self, thing: T, reason: E) {
        self.put_back.push(thing);
        self.reason = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does each thing whose needs are done, and answers with the order.
    fn order(things: &[(char, &str)]) -> Result<String, String> {
        let mut done = String::new();
        let mut rounds = Rounds::of(things.to_vec());
        while let Some(thing) = rounds.next()? {
            match thing.1.chars().find(|need| !done.contains(*need)) {
                None => done.push(thing.0),
                Some(need) => rounds.put_back(thing, format!("{} needs {need}", thing.0)),
            }
        }
        Ok(done)
    }

    #[test]
    fn what_needs_another_comes_behind_it() {
        for (things, expect) in [
            (&[][..], Ok("")),
            (&[('a', ""), ('b', "")], Ok("ab")),
            (&[('a', "b"), ('b', "c"), ('c', ""), ('d', "")], Ok("cdba")),
            (&[('a', "x")], Err("a needs x")),
            (&[('a', "b"), ('b', "a"), ('c', "")], Err("b needs a")),
        ] {
            assert_eq!(order(things).as_deref().map_err(String::as_str), expect, "{things:?}");
        }
    }
}
