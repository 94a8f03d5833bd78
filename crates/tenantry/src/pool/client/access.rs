//! The way from a handle to a connection of tokio-postgres.

use super::checkout::ClientCheckout;
use super::driver::ClientDriver;
use super::statements::Owner;
use crate::error::Result;
use crate::pool::access::Access;
use crate::pool::classify::Effect;
use crate::pool::lease::Switching;
use crate::pool::purpose::{Held, Purpose};
use crate::tenant::Tenant;

impl Access<ClientDriver> {
    /// A connection for a single statement.
    pub(super) async fn checkout_for(&self, sql: &str) -> Result<ClientCheckout> {
        // What is not a plain query may have to run outside of a transaction.
        let switching = match self.pool.classifier().effect(sql) {
            Effect::Neutral => Switching::WithStatement,
            Effect::Touched => Switching::Now,
        };
        self.check_out_for(Purpose::Statement, switching).await
    }

    /// A connection that its owner keeps over several statements.
    pub(super) async fn hold_for(&self, purpose: Purpose) -> Result<ClientCheckout> {
        let switching = match purpose {
            Purpose::Transaction => Switching::WithTransaction,
            Purpose::Statement | Purpose::Session => Switching::Now,
        };
        self.check_out_for(purpose, switching).await
    }

    async fn check_out_for(&self, purpose: Purpose, switching: Switching) -> Result<ClientCheckout> {
        if self.pool.is_behind_pooler() {
            let hint = "use `tenancy.db(…)`, or connect past the pooler";
            return Err(self.pool.unsupported("a connection of tokio-postgres", hint));
        }
        let (lease, current) = self.lease_with(switching, &[]).await?;
        let owner = Owner {
            digest: current.marks.digest,
            tenant: current.tenant().map(Tenant::id),
            owns_types: current.tenant().is_some_and(Tenant::owns_types),
        };
        let held = Held::one(&self.held, purpose);
        Ok(ClientCheckout::new(current.pool.clone(), lease, (owner, current.marks.clone()), purpose, held))
    }
}
