//! The state of a session, and the decision whether it serves a checkout as it is.
//!
//! All of it is decided here, without I/O: which idle connection is taken, whether it is handed out
//! without a round trip, and whether a switch may travel ahead of a statement are the same question.

use std::sync::Arc;
use std::time::Duration;

use super::preparation::{LineName, Preparation};
use crate::database::{PoolConfig, Verify};
use crate::sql::VOID_SCHEMA;

/// The state of a session, as the server last confirmed it.
#[derive(Default)]
pub(super) struct SessionState {
    /// `None` before the first switch.
    last: Option<Arc<Preparation>>,
    belief: Belief,
}

/// A confirmation of the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "tokio-postgres"), allow(dead_code))]
enum Belief {
    /// Nothing, or something failed since then that suggests that the server went away.
    #[default]
    Nothing,
    /// The settings that were made last are in force.
    InForce,
    /// The session sees no table: the settings that were made last ended with their transaction.
    Void,
}

/// The effort that it takes until a session serves a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warmth {
    /// Nothing: it serves the checkout as it is.
    Warm,
    /// A switch, which may travel in one pipeline with the statement: the session is in the void.
    Void,
    /// A switch, which the server has to confirm first.
    Cold,
}

impl SessionState {
    pub(super) fn in_force(preparation: &Arc<Preparation>) -> Self {
        Self { last: Some(Arc::clone(preparation)), belief: Belief::InForce }
    }

    /// In the void outside of transactions, the last of which is this one's.
    #[cfg(feature = "tokio-postgres")]
    pub(super) fn void(preparation: &Arc<Preparation>) -> Self {
        Self { last: Some(Arc::clone(preparation)), belief: Belief::Void }
    }

    /// Prepared for one transaction: behind a pooler the next one may meet another session.
    pub(super) fn passing(preparation: &Arc<Preparation>) -> Self {
        Self { last: Some(Arc::clone(preparation)), belief: Belief::Nothing }
    }

    /// The preparation whose settings were made last.
    pub(super) fn last(&self) -> Option<&Arc<Preparation>> {
        self.last.as_ref()
    }

    /// The schema that is in force outside of transactions, if the server has confirmed one.
    pub(super) fn schema(&self) -> Option<&str> {
        match self.belief {
            Belief::InForce => self.last.as_ref().map(|last| last.request.schema().as_str()),
            Belief::Void => Some(VOID_SCHEMA),
            Belief::Nothing => None,
        }
    }

    /// Has the server asked before the session is used again.
    pub(super) fn doubt(&mut self) {
        self.belief = Belief::Nothing;
    }

    /// The line of the tenant that it would serve without a switch.
    pub(super) fn line(&self) -> Option<LineName> {
        self.last.as_deref().filter(|_| self.belief == Belief::InForce).map(Preparation::line)
    }

    /// Returns true if it served the same preparation last, in the session or in a transaction.
    pub(super) fn last_served(&self, wanted: &Preparation) -> bool {
        self.last.as_ref().is_some_and(|last| last.serves(wanted))
    }

    /// Returns true if it served this tenant before its schema was dropped, renamed or moved.
    pub(super) fn is_outdated_by(&self, wanted: &Preparation) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_outdated_by(wanted))
    }

    /// Judges the session, if the server's confirmation still holds.
    pub(super) fn warmth_for(&self, wanted: &Preparation) -> Warmth {
        match self.belief {
            Belief::InForce if self.last_served(wanted) => Warmth::Warm,
            Belief::Void => Warmth::Void,
            Belief::InForce | Belief::Nothing => Warmth::Cold,
        }
    }
}

impl Warmth {
    /// The same after the connection was idle: the longer it was, the likelier is the server gone.
    pub(super) fn after(self, idle_for: Duration, is_lost: bool, config: &PoolConfig) -> Self {
        let is_believed = config.verify == Verify::Switch && idle_for < config.check_after_idle && !is_lost;
        if is_believed { self } else { Self::Cold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::{preparation, tenant_at};

    /// Every state of a session against the same tenant, a later epoch of it, and another one.
    #[test]
    fn a_session_is_warm_for_what_it_was_last_prepared_for_and_nobody_else() {
        use Belief::{InForce, Nothing, Void};
        let acme = preparation(tenant_at("acme", 0));
        let others = [preparation(tenant_at("acme", 1)), preparation(tenant_at("globex", 0))];
        for (belief, for_acme, for_others) in [
            (Nothing, Warmth::Cold, Warmth::Cold),
            (InForce, Warmth::Warm, Warmth::Cold),
            (Void, Warmth::Void, Warmth::Void),
        ] {
            let session = SessionState { last: Some(Arc::clone(&acme)), belief };
            assert_eq!(session.warmth_for(&acme), for_acme, "{belief:?}");
            assert_eq!(session.line().is_some(), belief == InForce, "{belief:?}");
            let schema = [acme.request.schema().as_str(), VOID_SCHEMA];
            let confirmed = [InForce, Void].iter().position(|known| *known == belief);
            assert_eq!(session.schema(), confirmed.map(|known| schema[known]), "{belief:?}");
            for other in &others {
                assert_eq!(session.warmth_for(other), for_others, "{belief:?}");
            }
        }
        assert_eq!(SessionState::default().warmth_for(&acme), Warmth::Cold);
    }

    #[test]
    fn a_session_in_doubt_is_cold_until_it_is_switched() {
        let acme = preparation(tenant_at("acme", 0));
        let mut session = SessionState::in_force(&acme);
        session.doubt();
        assert_eq!(session.warmth_for(&acme), Warmth::Cold);
        assert!(session.last_served(&acme), "the switch has to undo what was set");
    }

    #[test]
    fn warmth_is_believed_for_a_while_on_a_connection_that_is_there() {
        let limit = PoolConfig::default().check_after_idle;
        let just_before = limit.checked_sub(Duration::from_nanos(1)).expect("a limit above zero");
        for verify in [Verify::Switch, Verify::Always] {
            let config = PoolConfig { verify, ..PoolConfig::default() };
            for (idle_for, is_lost, is_believed) in [
                (Duration::ZERO, false, true),
                (just_before, false, true),
                (limit, false, false),
                (Duration::MAX, false, false),
                (Duration::ZERO, true, false),
                (limit, true, false),
            ] {
                for warmth in [Warmth::Warm, Warmth::Void, Warmth::Cold] {
                    let expected =
                        if is_believed && verify == Verify::Switch { warmth } else { Warmth::Cold };
                    let case = (verify, idle_for, is_lost, warmth);
                    assert_eq!(warmth.after(idle_for, is_lost, &config), expected, "{case:?}");
                }
            }
        }
    }
}
