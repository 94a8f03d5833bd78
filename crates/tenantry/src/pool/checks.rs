//! The checks that a connection has made of schemas it was switched to ahead of a statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::preparation::{LineName, Preparation};

/// The checks that succeeded, and when. No more than the tenants that the connection may serve.
#[derive(Default)]
pub(super) struct Checks(HashMap<LineName, (Arc<Preparation>, Instant)>);

impl Checks {
    /// Returns true if the same preparation was checked less than this long ago.
    pub(super) fn holds(&self, preparation: &Preparation, limit: Duration) -> bool {
        self.0
            .get(&preparation.line())
            .is_some_and(|(checked, at)| at.elapsed() < limit && checked.serves(preparation))
    }

    pub(super) fn succeeded(&mut self, preparation: &Arc<Preparation>) {
        self.0.insert(preparation.line(), (Arc::clone(preparation), Instant::now()));
    }

    /// Has the next switch to this tenant checked.
    pub(super) fn forget(&mut self, preparation: &Preparation) {
        self.0.remove(&preparation.line());
    }
}
