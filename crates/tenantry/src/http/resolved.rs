//! The outcome of resolution, as it is attached to a request.

use http::Uri;
use time::OffsetDateTime;
use tracing::Span;

use super::bypass::Bypass;
use crate::error::{ErrorKind, Result};
use crate::observe::record_tenant;
use crate::pool::{TenantDb, TenantReadDb};
use crate::registry::unknown;
use crate::resolve::{Resolution, TenantKey};
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// The extension that the middleware puts into a request: for those who work without axum's extractors, and
/// for links. With the feature `axum` it is an extractor as well.
///
/// ```no_run
/// use tenantry::http::Resolved;
///
/// # async fn example(request: http::Request<()>) -> tenantry::Result<()> {
/// if let Some(resolved) = request.extensions().get::<Resolved>() {
///     if let Some(tenant) = resolved.tenant().await? {
///         let db = resolved.db(&tenant)?;
/// #       let _ = db;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Resolved {
    pub(super) tenancy: Tenancy,
    pub(super) resolution: Resolution,
    pub(super) uri: Uri,
    pub(super) bypass: Option<Bypass>,
    /// Hears who the tenant is.
    pub(super) span: Span,
}

impl Resolved {
    /// All tenants.
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The tenant that the request is for, as its head says.
    pub fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// The URI as it was asked for, before the tenant was taken out of its path.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The beginning of the path that was taken out of it: `/t/acme` of `/t/acme/notes`. Empty, unless a resolver
    /// such as [`PathSegment`](crate::resolve::PathSegment) took one out.
    pub fn prefix(&self) -> &str {
        let Resolution::Tenant { path: Some(path), .. } = &self.resolution else { return "" };
        let asked = self.uri.path();
        match asked.strip_suffix(path.path()) {
            Some(prefix) => prefix,
            None if path.path() == "/" => asked,
            None => "",
        }
    }

    /// The path of a page of the same tenant, for links and redirects: `/t/acme/notes` for `/notes`. A text that
    /// does not begin with a slash stays as it is.
    ///
    /// ```
    /// use axum::response::Redirect;
    /// use tenantry::http::Resolved;
    ///
    /// async fn done(resolved: Resolved) -> Redirect {
    ///     Redirect::to(&resolved.link("/notes"))
    /// }
    /// ```
    pub fn link(&self, path: &str) -> String {
        let prefix = if path.starts_with('/') { self.prefix() } else { "" };
        format!("{prefix}{path}")
    }

    /// The tenant that had the slug of this request before it was renamed; `None` if nobody had, or it is deleted.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn formerly(&self) -> Result<Option<Tenant>> {
        let Resolution::Tenant { key: TenantKey::Slug(slug), .. } = &self.resolution else { return Ok(None) };
        let tenant = self.tenancy.formerly(slug).await?;
        Ok(tenant.filter(|tenant| !tenant.status().is_hidden()))
    }

    /// The tenant the request is for; `None` if it is for no tenant.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`](crate::ErrorKind::UnknownTenant) if it is for one that does not exist, or is
    /// deleted.
    pub async fn tenant(&self) -> Result<Option<Tenant>> {
        match &self.resolution {
            Resolution::Tenant { key, .. } => {
                let tenant = self.tenancy.find(key).await?;
                // The same error as where there is none.
                if tenant.status().is_hidden() {
                    return Err(unknown(key));
                }
                record_tenant(&self.span, &tenant);
                Ok(Some(tenant))
            }
            Resolution::Master | Resolution::None | Resolution::Invalid(_) => Ok(None),
        }
    }

    /// The tables of a tenant, for this request: as [`Tenancy::db`], and those of a suspended tenant where the request
    /// carries a [bypass](super::TenancyLayer::bypass) for it.
    ///
    /// # Errors
    /// Like [`Tenancy::db`].
    pub fn db(&self, tenant: &Tenant) -> Result<TenantDb> {
        self.or_bypass(tenant, Tenancy::db, Tenancy::db_until)
    }

    /// The tables of a tenant to read, for this request: as [`Tenancy::replica`], and with a bypass as
    /// [`db`](Self::db).
    ///
    /// # Errors
    /// Like [`Tenancy::replica`].
    pub fn replica(&self, tenant: &Tenant) -> Result<TenantReadDb> {
        self.or_bypass(tenant, Tenancy::replica, Tenancy::replica_until)
    }

    /// Gives what [`Tenancy`] has for a tenant that is served; for a suspended one, what lasts until the bypass ends.
    pub(super) fn or_bypass<T>(
        &self,
        tenant: &Tenant,
        served: fn(&Tenancy, &Tenant) -> Result<T>,
        suspended: fn(&Tenancy, &Tenant, OffsetDateTime) -> Result<T>,
    ) -> Result<T> {
        match (served(&self.tenancy, tenant), self.bypass) {
            (Err(error), Some(bypass))
                if error.kind() == ErrorKind::Suspended && bypass.tenant == tenant.id() =>
            {
                suspended(&self.tenancy, tenant, bypass.until)
            }
            (result, _) => result,
        }
    }
}
