//! Spans of `tracing`, level debug, around what is done for a tenant: so that the events of a driver name it.

use tracing::Span;

use super::driver::Driver;
use super::lease::Lease;
use super::preparation::Preparation;
use crate::tenant::{Alias, Tenant};

/// The span of a checkout, from the request for a connection until it is prepared.
pub(super) fn checkout_span(database: &Alias, preparation: &Preparation) -> Span {
    let tenant = preparation.tenant();
    tracing::debug_span!("checkout", %database, tenant = slug_of(tenant), tenant.id = tenant.map(|it| display(it.id())))
}

impl<D: Driver> Lease<D> {
    /// The span of one statement, from before it is sent until its answer was read.
    pub(super) fn statement_span(&self) -> Span {
        let tenant = self.tenant();
        tracing::debug_span!(
            "statement",
            database = %self.database(),
            tenant = slug_of(tenant),
            tenant.id = tenant.map(|it| display(it.id())),
        )
    }
}

fn slug_of(tenant: Option<&Tenant>) -> Option<&str> {
    tenant.map(|tenant| tenant.slug().as_str())
}
