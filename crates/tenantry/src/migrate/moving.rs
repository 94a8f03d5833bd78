//! Waits for a tenant that is on its way to another database.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use super::lock::{SchemaLock, jittered};
use super::plan::Changed;
use super::record::Record;
use super::run::FleetRun;
use super::send::was_taken_over;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{moves, store, unknown};
use crate::resolve::TenantKey;
use crate::tenant::{Status, Tenant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

impl FleetRun<'_> {
    /// Migrates a tenant where it is. A move is waited for, also one that began since the tenant was read.
    pub(super) async fn migrate_where_it_is(&self, record: &Record, tenant: &Tenant) -> Result<Changed> {
        let mut place = tenant.clone();
        if place.status() == Status::Moving {
            (place, _) = self.settled(&place).await?;
        }
        loop {
            let result = self.migrate_patiently(record, &place).await;
            if !result.as_ref().is_err_and(|error| !was_taken_over(error)) {
                return result;
            }
            match self.settled(&place).await {
                Ok((now, has_waited)) if has_waited || now.database() != place.database() => place = now,
                _ => return result,
            }
        }
    }

    /// The tenant, once it is at one place, and whether somebody was moving it.
    async fn settled(&self, tenant: &Tenant) -> Result<(Tenant, bool)> {
        let mut has_waited = false;
        loop {
            let is_at_work = self.is_worked_on(tenant).await?;
            let find = async |registry: &mut PgConnection| {
                let under_way = moves::under_way(&mut *registry, tenant.id()).await?;
                Ok((store::tenant_by_id(registry, tenant.id()).await?, under_way))
            };
            let (now, under_way) = self.workers.in_registry(find).await?;
            let now = now.ok_or_else(|| unknown(&TenantKey::Id(tenant.id())))?;
            // While others write to it, its status does not tell.
            if now.status() != Status::Moving && !(is_at_work && under_way.is_some()) {
                return Ok((now, has_waited));
            }
            has_waited = true;
            let slug = now.slug();
            // Whoever moves it has the lock from before the status to behind it.
            if !is_at_work || self.is_over() {
                let message = format!("tenant `{slug}` is on its way to another database");
                return Err(Error::new(ErrorKind::Conflict, message).with_tenant(slug).with_hint(format!(
                    "`tenantry move {slug}` goes on with a move that was interrupted, \
                     `tenantry move {slug} --abort` undoes it"
                )));
            }
            sleep(jittered(PAUSE)).await;
        }
    }

    async fn is_worked_on(&self, tenant: &Tenant) -> Result<bool> {
        let is_held = format!("SELECT {}", SchemaLock::of(tenant.schema()).is_held());
        let ask = async |connection: &mut PgConnection| {
            Ok(sqlx::query_scalar(AssertSqlSafe(is_held)).persistent(false).fetch_one(connection).await?)
        };
        self.workers.with(tenant.database(), ask).await
    }
}
