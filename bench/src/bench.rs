//! The things that every case works with.

use crate::fleet::Fleet;
use crate::measure::Plan;
use crate::report::Report;

/// The tenants, how long to measure on them, and where the figures go.
pub(crate) struct Bench {
    pub(crate) fleet: Fleet,
    pub(crate) plan: Plan,
    pub(crate) report: Report,
}
