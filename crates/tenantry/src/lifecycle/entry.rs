//! Enters a tenant that was made whole in a transaction which is not committed yet, and commits both.
//!
//! In the default database both are one transaction. Elsewhere the row comes first, as `provisioning`, then the
//! transaction of the schema is committed, then the tenant is served. So whoever dies between these leaves a row
//! without a schema, or a schema whose row says that it is not served yet; the same call goes on from either.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Dependents, Site, commit, send_own};
use crate::provision::{NewTenant, end_making, enter, is_filled, lock_schema, remove_schema};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, store, with_applied};
use crate::tenant::{Alias, Status, Tenant, TenantRecord, Verb};

/// A tenant that is entered in the registry.
pub(super) struct TenantEntering<'a> {
    pub(super) context: &'a Context,
    pub(super) new: &'a NewTenant,
    /// The tenant as it is to be, at once or once its files are applied.
    pub(super) tenant: &'a Tenant,
    pub(super) action: Action<'a>,
    /// The moments before its transaction is committed, and after that.
    pub(super) points: [FailPoint; 2],
}

impl TenantEntering<'_> {
    /// Enters it, and commits what made it. A tenant that is to be `provisioning` stays so.
    pub(super) async fn commit(
        &self,
        registry: &mut PgConnection,
        mut tx: Transaction<'_, Postgres>,
    ) -> Result<()> {
        let site = Site::of_tenant(&self.context.layout, self.tenant);
        let is_whole = self.tenant.status() == Status::Active;
        if *self.tenant.database() == Alias::default() {
            let state = if is_whole { AuditState::Done } else { AuditState::Begun };
            self.enter(&mut tx, self.tenant, state).await?;
            fail_point::reached(self.points[0]);
            commit(tx, site).await?;
            fail_point::reached(self.points[1]);
            return Ok(());
        }
        // What may fail at the end of the transaction fails before anybody can see the row.
        send_own(&mut tx, site, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        fail_point::reached(self.points[0]);
        // 1. The row. Undo: the same call removes it, or `tenantry create --abort`.
        let half_made = self.begin(registry).await?;
        // 2. The schema. Undo: `tenantry create --abort`.
        commit(tx, site).await.map_err(|error| error.with_hint("the same command goes on"))?;
        fail_point::reached(FailPoint::SchemaCommitted);
        // 3. It is served.
        if is_whole {
            serve(registry, &half_made).await?;
        }
        fail_point::reached(self.points[1]);
        Ok(())
    }

    /// Enters it as `provisioning`, and answers with that.
    pub(super) async fn begin(&self, registry: &mut PgConnection) -> Result<Tenant> {
        let half_made =
            Tenant::from(TenantRecord { status: Status::Provisioning, ..self.tenant.to_record() });
        let mut row = registry.begin().await?;
        self.enter(&mut row, &half_made, AuditState::Begun).await?;
        row.commit().await?;
        fail_point::reached(FailPoint::RowEntered);
        Ok(half_made)
    }

    /// Ends the work behind [`begin`](Self::begin), which was several transactions: a whole tenant is served, and of
    /// one that failed nothing is left.
    pub(super) async fn end<T>(
        &self,
        registry: &mut PgConnection,
        workplace: &mut PgConnection,
        half_made: &Tenant,
        filled: Result<T>,
    ) -> Result<T> {
        match filled {
            Ok(filled) => {
                fail_point::reached(FailPoint::SchemaCommitted);
                if self.tenant.status() == Status::Active {
                    serve(registry, half_made).await?;
                }
                fail_point::reached(self.points[1]);
                Ok(filled)
            }
            Err(error) => {
                if let Err(left) = give_up(self.context, registry, workplace, half_made).await {
                    let slug = half_made.slug();
                    tracing::warn!(%left, tenant = %slug, "A tenant failed, and what there is of it stays: {left}");
                }
                Err(error)
            }
        }
    }

    async fn enter(&self, connection: &mut PgConnection, tenant: &Tenant, state: AuditState) -> Result<()> {
        enter(connection, tenant, self.new.domains()).await?;
        audit::enter(connection, tenant, &self.action, state).await
    }
}

/// Lets a tenant be served that is whole.
pub(super) async fn serve(registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let mut tx = registry.begin().await?;
    store::set_status(&mut tx, tenant, Status::Active).await?;
    end_making(&mut tx, tenant).await?;
    Ok(tx.commit().await?)
}

/// The tenant as the registry has it now, with what its schema has applied.
pub(super) async fn served(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
) -> Result<Tenant> {
    let known = store::tenant_by_id(&mut *registry, tenant.id()).await?;
    let known = with_applied(&context.databases, known.into_iter().collect()).await?.pop();
    known.ok_or_else(|| {
        Error::new(ErrorKind::Conflict, format!("tenant `{}` was just removed", tenant.slug()))
            .with_tenant(tenant.slug())
    })
}

/// A tenant that the same call had entered before it was interrupted.
pub(super) enum Interrupted {
    /// There is none, or it was not whole, and what there was of it is gone now.
    Nothing,
    /// Its schema is whole, and it is not served yet.
    Filled { tenant: Tenant, workplace: PgConnection },
}

/// Looks for what the same call has left. `is_ours` tells by the particulars of the action that was begun.
pub(super) async fn interrupted(
    context: &Context,
    registry: &mut PgConnection,
    draft: &Tenant,
    verb: Verb,
    is_ours: impl Fn(&audit::AuditEntry) -> bool,
) -> Result<Interrupted> {
    let known = store::tenant_by_slug(&mut *registry, draft.slug()).await?;
    let Some(known) = known.filter(|known| known.status() == Status::Provisioning) else {
        return Ok(Interrupted::Nothing);
    };
    let entries = audit::entries_of(&mut *registry, known.id(), 1).await?;
    let is_its_beginning = |entry: &audit::AuditEntry| {
        entry.verb == verb.as_str() && entry.state == AuditState::Begun && is_ours(entry)
    };
    if known.database() != draft.database() || !entries.iter().any(is_its_beginning) {
        return Ok(Interrupted::Nothing);
    }
    // Whoever is at work has the lock.
    let mut workplace = lock_schema(context, &known).await?;
    let now = store::tenant_by_id(&mut *registry, known.id()).await?;
    if now.is_none_or(|now| now.status() != Status::Provisioning) {
        let message = format!("tenant `{}` was just finished or removed", known.slug());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(known.slug()));
    }
    if is_filled(&mut workplace, &known).await? {
        return Ok(Interrupted::Filled { tenant: known, workplace });
    }
    give_up(context, registry, &mut workplace, &known).await?;
    Ok(Interrupted::Nothing)
}

/// Removes what there is of a tenant that is not whole. Repeating it goes on.
pub(super) async fn give_up(
    context: &Context,
    registry: &mut PgConnection,
    workplace: &mut PgConnection,
    tenant: &Tenant,
) -> Result<()> {
    remove_schema(context, workplace, tenant, Dependents::Refuse, &()).await?;
    let mut tx = registry.begin().await?;
    store::delete_tenant(&mut tx, tenant.id()).await?;
    audit::end_all(&mut tx, tenant.id()).await?;
    Ok(tx.commit().await?)
}
