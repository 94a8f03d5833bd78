use std::time::Instant;

use sqlx::PgConnection;

use super::blueprint::Blueprint;
use super::options::Carried;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::source::ReadFor;
use crate::lifecycle::transfer::Transfer;
use crate::migrate::Site;
use crate::observe::{Step, Steps};
use crate::registry::{MoveStep, TenantMove, moves};
use crate::tenant::{Tenant, TenantRecord};

/// A tenant that is being moved.
pub(super) struct Relocation<'a> {
    pub(super) context: &'a Context,
    /// The tenant where it was.
    pub(super) tenant: &'a Tenant,
    /// The same where it will be.
    arrived: Tenant,
    pub(super) record: &'a TenantMove,
    pub(super) steps: &'a dyn Steps,
}

impl<'a> Relocation<'a> {
    pub(super) fn new(
        context: &'a Context,
        tenant: &'a Tenant,
        record: &'a TenantMove,
        steps: &'a dyn Steps,
    ) -> Self {
        let arrived = Tenant::from(TenantRecord { database: record.target.clone(), ..tenant.to_record() });
        Self { context, tenant, arrived, record, steps }
    }

    pub(super) fn arrived(&self) -> &Tenant {
        &self.arrived
    }

    /// The transfer that carries it over, as one carries a clone.
    pub(super) fn transfer(&self) -> Transfer<'_> {
        let Self { context, tenant, arrived, steps, .. } = self;
        Transfer { context, source: tenant, target: arrived, purpose: ReadFor::Move, steps: *steps }
    }

    pub(super) fn site(&self) -> Site<'_> {
        Site::of_tenant(&self.context.layout, self.tenant)
    }

    pub(super) fn own_role(&self) -> Option<String> {
        self.context.role.as_ref().map(|role| role.name_for(self.tenant.schema()))
    }

    pub(super) fn step(&self, what: &str) -> Result<()> {
        self.check_wanted()?;
        self.steps.step(Step::new(what, 0, None));
        Ok(())
    }

    /// Ends work that was cancelled. What was done is undone.
    pub(super) fn check_wanted(&self) -> Result<()> {
        if self.steps.is_cancelled() {
            return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(self.tenant.slug()));
        }
        Ok(())
    }

    /// Returns true if the schema has the name already that is kept of it: there is no way back.
    pub(super) async fn is_closed(&self, source: &mut PgConnection) -> Result<bool> {
        let find = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        Ok(sqlx::query_scalar(find).bind(self.record.kept_schema.as_str()).fetch_one(source).await?)
    }

    /// The steps that can be undone, and the one behind which none can.
    pub(super) async fn until_closed(
        &self,
        registry: &mut PgConnection,
        source: &mut PgConnection,
        target: &mut PgConnection,
        blueprint: &Blueprint,
    ) -> Result<Carried> {
        self.make(source, target, blueprint).await?;
        moves::note(registry, self.record.id, MoveStep::Made).await?;
        fail_point::reached(FailPoint::MoveMade);
        self.step("waiting for what is under way")?;
        let gated_at = Some(Instant::now());
        self.gate(registry).await?;
        fail_point::reached(FailPoint::MoveGated);
        self.wait_for_quiet(source).await?;
        let names = self.lock_all(source).await?;
        self.check_same(source, &names, blueprint.structure.fingerprint()).await?;
        let snapshot = self.locked_snapshot(source).await?;
        fail_point::reached(FailPoint::MoveFenced);
        let rows = self.copy_rows(&snapshot, &blueprint.tables).await?;
        fail_point::reached(FailPoint::MoveCopied);
        self.complete(source, target, blueprint).await?;
        self.check_wanted()?;
        self.close(source).await?;
        Ok(Carried { rows, gated_at, notes: blueprint.notes.clone() })
    }
}
