//! The transactions that are open inside of one another, and which of them has the say.
//!
//! They share one connection, so a statement belongs to the innermost, whoever sent it. A statement on a transaction
//! around it would be undone with what it is not part of; it is refused instead.

use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};

/// The number of a transaction among those that were begun in one outermost transaction. They are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u64);

impl Number {
    pub(super) const OUTERMOST: Self = Self(0);
}

/// The open transactions, from the one directly inside of the outermost on. Each has the level of its position.
#[derive(Debug, Default)]
pub(super) struct Nest {
    inside: Vec<Number>,
    begun: u64,
    /// The level of the outermost of those that were dropped, and that nobody has undone.
    dropped: Option<u32>,
    is_over: bool,
}

impl Nest {
    /// Refuses whoever does not have the say.
    pub(super) fn check(&self, number: Number) -> Result<()> {
        if self.is_over || !self.is_open(number) {
            return Err(over());
        }
        let innermost = self.inside.last().copied().unwrap_or(Number::OUTERMOST);
        if innermost != number && stands(Guard::OrmInnermost) {
            let message = "a transaction inside of this one is open, and would decide on the statement";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("run it on the inner transaction, or end that before"));
        }
        Ok(())
    }

    /// Refuses whoever has ended. Everybody else may be undone, with all that is inside.
    pub(super) fn check_open(&self, number: Number) -> Result<()> {
        if self.is_over || !self.is_open(number) { Err(over()) } else { Ok(()) }
    }

    /// Returns true if the outermost has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    fn is_open(&self, number: Number) -> bool {
        number == Number::OUTERMOST || self.inside.contains(&number)
    }

    /// The level of one that is open inside of the outermost.
    pub(super) fn level(&self, number: Number) -> Option<u32> {
        let position = self.inside.iter().position(|open| *open == number)?;
        u32::try_from(position).ok()
    }

    pub(super) fn enter(&mut self) -> Number {
        self.begun += 1;
        let number = Number(self.begun);
        self.inside.push(number);
        number
    }

    /// One has ended, and all that is inside of it.
    pub(super) fn leave(&mut self, number: Number) {
        match self.inside.iter().position(|open| *open == number) {
            Some(position) => self.inside.truncate(position),
            None if number == Number::OUTERMOST => self.is_over = true,
            None => {}
        }
    }

    /// One leaves without an end. What it did is undone before the next statement.
    pub(super) fn abandon(&mut self, number: Number) {
        if let Some(level) = self.level(number).filter(|_| stands(Guard::OrmDropped)) {
            self.dropped = Some(self.dropped.map_or(level, |outer| outer.min(level)));
        }
        self.leave(number);
    }

    /// The level of what is to be undone before the next statement.
    pub(super) fn take_dropped(&mut self) -> Option<u32> {
        self.dropped.take()
    }
}

pub(super) fn over() -> Error {
    Error::new(ErrorKind::Unsupported, "the transaction has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_speak(nest: &Nest, numbers: &[Number]) -> Vec<bool> {
        numbers.iter().map(|number| nest.check(*number).is_ok()).collect()
    }

    #[test]
    fn only_the_innermost_has_the_say() {
        let mut nest = Nest::default();
        let outermost = Number::OUTERMOST;
        assert_eq!(may_speak(&nest, &[outermost]), [true]);
        let first = nest.enter();
        let second = nest.enter();
        assert_eq!(may_speak(&nest, &[outermost, first, second]), [false, false, true]);
        assert_eq!((nest.level(outermost), nest.level(first), nest.level(second)), (None, Some(0), Some(1)));
        nest.leave(second);
        assert_eq!(may_speak(&nest, &[outermost, first, second]), [false, true, false]);
        nest.leave(first);
        assert_eq!(may_speak(&nest, &[outermost, first, second]), [true, false, false]);
    }

    #[test]
    fn whoever_ends_takes_those_inside_along_and_nobody_takes_their_place() {
        let mut nest = Nest::default();
        let first = nest.enter();
        let second = nest.enter();
        nest.leave(first);
        // On the levels of those that have ended.
        let (third, fourth) = (nest.enter(), nest.enter());
        assert_eq!(may_speak(&nest, &[first, second, third, fourth]), [false, false, false, true]);
        nest.leave(second);
        assert_eq!(may_speak(&nest, &[fourth]), [true], "it had ended before");
    }

    #[test]
    fn the_outermost_of_those_that_were_dropped_is_undone() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut nest = Nest::default();
            let _around = nest.enter();
            let inside = [nest.enter(), nest.enter(), nest.enter()];
            for index in order {
                nest.abandon(inside[index]);
            }
            assert_eq!((nest.take_dropped(), nest.take_dropped()), (Some(1), None), "{order:?}");
        }
    }

    #[test]
    fn nobody_speaks_in_a_transaction_that_is_over() {
        let mut nest = Nest::default();
        let inner = nest.enter();
        nest.abandon(Number::OUTERMOST);
        assert_eq!(may_speak(&nest, &[Number::OUTERMOST, inner]), [false, false]);
        assert!(nest.check_open(inner).is_err() && nest.take_dropped().is_none());
    }
}
