//! The count of transactions inside of what a checkout was taken for, by either driver.

/// The transactions that are open on a checkout inside of what it was taken for.
#[derive(Debug, Default)]
pub(super) struct OpenLevels {
    depth: u32,
    /// The outermost of those that were dropped and not yet undone.
    dropped: Option<u32>,
}

impl OpenLevels {
    /// The number of them that are open, which is the level of the next.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn is_inside(&self) -> bool {
        self.depth > 0
    }

    /// The level of the transaction that is to be undone before the connection is used.
    pub(super) fn dropped(&self) -> Option<u32> {
        self.dropped
    }

    /// Notes that everything that was dropped is undone.
    pub(super) fn settle(&mut self) {
        self.dropped = None;
    }

    pub(super) fn enter(&mut self, level: u32) {
        self.depth = level + 1;
    }

    pub(super) fn leave(&mut self, level: u32) {
        self.depth = self.depth.min(level);
    }

    /// Leaves without an end.
    pub(super) fn drop_from(&mut self, level: u32) {
        self.leave(level);
        self.dropped = Some(self.dropped.map_or(level, |outer| outer.min(level)));
    }
}

/// The savepoint of a level. One that was cut off is shadowed by the next of its name.
pub(super) fn savepoint(level: u32) -> String {
    format!("tenantry_nested_{level}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_that_was_dropped_is_undone() {
        let mut nesting = OpenLevels::default();
        for level in 0..3 {
            assert_eq!(nesting.depth(), level);
            nesting.enter(level);
        }
        nesting.drop_from(2);
        nesting.drop_from(1);
        assert_eq!((nesting.dropped(), nesting.depth(), nesting.is_inside()), (Some(1), 1, true));
        nesting.settle();
        nesting.leave(0);
        assert_eq!((nesting.dropped(), nesting.is_inside()), (None, false));
    }
}
