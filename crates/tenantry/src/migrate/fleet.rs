//! Which tenants a run concerns, read page by page.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};

use super::workers::Workers;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::Databases;
use crate::registry::{store, with_applied};
use crate::tenant::{Alias, Slug, Status, Tenant};

/// Tenants read from the registry at a time: a few megabytes, and ten thousand that are up to date are three
/// queries.
pub(super) const PAGE: i64 = 5_000;

/// Which tenants are meant.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub(super) only: Option<Vec<Slug>>,
}

impl Fleet {
    /// The master schema and every tenant that is served or suspended.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these tenants, and not the master schema.
    pub fn only(slugs: impl IntoIterator<Item = Slug>) -> Self {
        Self { only: Some(slugs.into_iter().collect()) }
    }
}

/// Whether a tenant keeps up with the fleet.
pub(super) fn is_migrated(tenant: &Tenant) -> bool {
    matches!(tenant.status(), Status::Active | Status::Suspended)
}

/// The tenants that were asked for by name. All of them are checked before any is migrated.
pub(super) async fn named(registry: &mut sqlx::PgConnection, slugs: &[Slug]) -> Result<Vec<Tenant>> {
    let mut tenants = Vec::new();
    for slug in slugs {
        let found = store::tenant_by_slug(&mut *registry, slug).await?;
        let tenant = found.ok_or_else(|| {
            Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{slug}`")).with_tenant(slug)
        })?;
        if !is_migrated(&tenant) {
            let message = format!("tenant `{slug}` is {} and is not migrated", tenant.status());
            return Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(slug));
        }
        tenants.push(tenant);
    }
    Ok(tenants)
}

/// Where the reading of a fleet is.
#[derive(Default)]
struct Position {
    /// Read and not handed out yet.
    page: VecDeque<Tenant>,
    /// The slug of the last tenant that was read.
    after: String,
    is_last_page: bool,
}

/// The tenants of a fleet with what they have applied, in the order of their slugs or of their names in
/// the fleet. No more than a page of them is held.
pub(super) fn tenants<'a>(
    databases: &'a Databases,
    workers: &'a Workers<'_>,
    fleet: &'a Fleet,
) -> impl Stream<Item = Result<Tenant>> + 'a {
    stream::try_unfold(Position::default(), move |mut position| async move {
        loop {
            if let Some(tenant) = position.page.pop_front() {
                return Ok(Some((tenant, position)));
            }
            if position.is_last_page {
                return Ok(None);
            }
            read_page(databases, workers, fleet, &mut position).await?;
        }
    })
}

async fn read_page(
    databases: &Databases,
    workers: &Workers<'_>,
    fleet: &Fleet,
    position: &mut Position,
) -> Result<()> {
    let mut worker = workers.take(&Alias::default()).await?;
    let page = match &fleet.only {
        Some(slugs) => named(&mut worker.connection, slugs).await?,
        None => store::tenants_after(&mut worker.connection, &position.after, PAGE).await?,
    };
    workers.put_back(worker);
    position.is_last_page = fleet.only.is_some() || page.is_empty();
    if let Some(last) = page.last() {
        last.slug().as_str().clone_into(&mut position.after);
    }
    let page: Vec<_> = page.into_iter().filter(is_migrated).collect();
    // Where a database is away, each of its tenants says so itself.
    position.page = with_applied(databases, page.clone()).await.unwrap_or(page).into();
    Ok(())
}
