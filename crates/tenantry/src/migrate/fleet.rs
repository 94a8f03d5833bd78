//! The tenants of a run, read page by page.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use sqlx::{Executor, PgConnection, Postgres};

use super::workers::Workers;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::{Databases, MasterDb};
use crate::registry::{Selection, store, with_applied};
use crate::tenant::{Slug, Status, Tenant};

/// Tenants read from the registry at a time: a few megabytes, and ten thousand that are up to date are three
/// queries.
pub(super) const PAGE: i64 = 5_000;

/// A choice of tenants.
///
/// ```
/// use tenantry::Fleet;
/// use tenantry::tenant::Slug;
///
/// // Everybody on a plan, but for one.
/// let fleet = Fleet::matching("settings->>'plan' = 'pro'").except([Slug::parse("acme")?]);
/// # let _ = fleet;
/// # Ok::<_, tenantry::tenant::InvalidSlug>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fleet {
    only: Option<Vec<Slug>>,
    condition: Option<String>,
    except: Vec<Slug>,
}

impl Fleet {
    /// The master schema and every tenant that is served or suspended.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these tenants, and not the master schema.
    pub fn only(slugs: impl IntoIterator<Item = Slug>) -> Self {
        let mut only = Vec::new();
        for slug in slugs {
            // Named twice, a tenant would be worked on twice at a time.
            if !only.contains(&slug) {
                only.push(slug);
            }
        }
        Self { only: Some(only), ..Self::default() }
    }

    /// Only the tenants that are served or suspended and for which this SQL holds, and not the master schema.
    ///
    /// It is an expression over the columns of `tenantry.tenant`, such as `slug`, `database`, `status`,
    /// `settings` and `created_at`. It is the operator's own: it reaches the server as it is, in a
    /// transaction that is `READ ONLY`, so never take it from a user.
    pub fn matching(condition: impl Into<String>) -> Self {
        Self { condition: Some(condition.into()), ..Self::default() }
    }

    /// Without these tenants, each of which must be there: a slug that is misspelt would leave nobody out.
    #[must_use]
    pub fn except(self, slugs: impl IntoIterator<Item = Slug>) -> Self {
        Self { except: slugs.into_iter().collect(), ..self }
    }

    /// Returns true if the master schema belongs to it.
    pub(super) fn has_master(&self) -> bool {
        self.only.is_none() && self.condition.is_none()
    }

    /// Counts its tenants, or those of them that are canaries by their settings.
    pub(super) async fn count(&self, registry: &mut PgConnection, tagged: bool) -> Result<u64> {
        match &self.only {
            Some(slugs) if !tagged => {
                let meant = slugs.iter().filter(|slug| !self.except.contains(slug));
                Ok(u64::try_from(meant.count()).unwrap_or(u64::MAX))
            }
            _ => self.selection().count(registry, tagged).await,
        }
    }

    /// Its tenants after this slug, no more than a page.
    async fn after(&self, registry: &mut PgConnection, after: &str) -> Result<Vec<Tenant>> {
        match &self.only {
            // All of them are checked before any is migrated.
            Some(slugs) if after.is_empty() => {
                let mut tenants = named(registry, slugs).await?;
                tenants.retain(|tenant| !self.except.contains(tenant.slug()));
                Ok(tenants)
            }
            Some(_) => Ok(Vec::new()),
            None => self.selection().page(registry, after, PAGE).await,
        }
    }

    /// # Errors
    /// [`ErrorKind::UnknownTenant`] if somebody is to be left out who is not there.
    pub(crate) async fn check_excluded(
        &self,
        registry: impl Executor<'_, Database = Postgres>,
    ) -> Result<()> {
        if self.except.is_empty() {
            return Ok(());
        }
        match store::unknown_slug(registry, &self.except).await? {
            None => Ok(()),
            Some(slug) => {
                let message = format!("no tenant goes by `{slug}`, which is to be left out");
                Err(Error::new(ErrorKind::UnknownTenant, message))
            }
        }
    }

    fn selection(&self) -> Selection<'_> {
        Selection {
            only: self.only.as_deref(),
            condition: self.condition.as_deref(),
            except: &self.except,
            ..Selection::of(&[Status::Active, Status::Suspended, Status::Moving])
        }
    }

    /// The tenants that were asked for by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Slug> {
        self.only.iter().flatten().filter(|slug| !self.except.contains(slug))
    }

    /// Its tenants after this slug that are served, in the order of their slugs.
    pub(crate) async fn served_after(
        &self,
        registry: &MasterDb,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Tenant>> {
        let served = Selection { only_served: true, ..self.selection() };
        served.page_in(registry, after, i64::from(limit)).await
    }
}

/// Returns true if a tenant keeps up with the fleet. One that is moved is waited for.
fn is_migrated(tenant: &Tenant) -> bool {
    matches!(tenant.status(), Status::Active | Status::Suspended | Status::Moving)
}

/// The tenants that were asked for by name.
async fn named(registry: &mut PgConnection, slugs: &[Slug]) -> Result<Vec<Tenant>> {
    let mut tenants = Vec::new();
    for slug in slugs {
        let found = store::tenant_by_slug(&mut *registry, slug).await?;
        let tenant = found.ok_or_else(|| {
            Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{slug}`")).with_tenant(slug)
        })?;
        if !is_migrated(&tenant) {
            let message = format!("tenant `{slug}` is {} and is not migrated", tenant.status());
            return Err(Error::new(ErrorKind::TenantUnavailable, message)
                .with_tenant(slug)
                .with_hint("only tenants that are active or suspended are migrated"));
        }
        tenants.push(tenant);
    }
    Ok(tenants)
}

/// The place that the reading of a fleet has come to.
#[derive(Default)]
struct Cursor {
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
    stream::try_unfold(Cursor::default(), move |mut cursor| async move {
        loop {
            if let Some(tenant) = cursor.page.pop_front() {
                return Ok(Some((tenant, cursor)));
            }
            if cursor.is_last_page {
                return Ok(None);
            }
            read_page(databases, workers, fleet, &mut cursor).await?;
        }
    })
}

async fn read_page(
    databases: &Databases,
    workers: &Workers<'_>,
    fleet: &Fleet,
    cursor: &mut Cursor,
) -> Result<()> {
    let read = async |registry: &mut PgConnection| fleet.after(registry, &cursor.after).await;
    let page = workers.in_registry(read).await?;
    match page.last() {
        Some(last) => last.slug().as_str().clone_into(&mut cursor.after),
        None => cursor.is_last_page = true,
    }
    // Where a database is away, each of its tenants says so itself.
    cursor.page = with_applied(databases, page.clone()).await.unwrap_or(page).into();
    Ok(())
}
