//! The things that a handler can ask a request for, whatever the framework.

use std::future::Future;
use std::sync::Once;

use http::request::Parts;

use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use super::renamed;
use super::resolved::Resolved;
use crate::error::ErrorKind;
use crate::pool::{MasterDb, TenantDb, TenantReadDb};
use crate::resolve::Resolution;
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// A thing that a handler can ask a request for, after [`TenancyLayer`](super::TenancyLayer) has seen it: the tables of
/// its tenant, the tenant itself, the tables of the master.
///
/// The extractors of axum, of `tenantry-actix` and of tonic are made of it. Call it yourself where a framework has no
/// extractors, or none of ours:
///
/// ```no_run
/// use tenantry::TenantDb;
/// use tenantry::http::Extract as _;
///
/// # async fn example(request: http::Request<()>) -> Result<(), Box<dyn std::error::Error>> {
/// let (head, _) = request.into_parts();
/// let db = TenantDb::extract(&head).await?;
/// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await?;
/// # let _ = notes;
/// # Ok(())
/// # }
/// ```
///
/// An `Option` is `None` for a request that is for no tenant (or not for the master), and for nothing else.
pub trait Extract: Sized + Send {
    /// Takes it from the head of a request.
    ///
    /// # Errors
    /// The [`Rejection`] that answers the request.
    fn extract(head: &Parts) -> impl Future<Output = Result<Self, Rejection>> + Send;
}

impl Extract for Resolved {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        resolved::<Self>(head).cloned()
    }
}

impl Extract for Tenancy {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        Ok(resolved::<Self>(head)?.tenancy().clone())
    }
}

impl Extract for Tenant {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        let tenant = tenant_of(head, resolved::<Self>(head)?).await?;
        tenant.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, head))
    }
}

impl Extract for Option<Tenant> {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        tenant_of(head, resolved::<Self>(head)?).await
    }
}

impl Extract for TenantDb {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        let db = db_of(head, resolved::<Self>(head)?).await?;
        db.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, head))
    }
}

impl Extract for Option<TenantDb> {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        db_of(head, resolved::<Self>(head)?).await
    }
}

impl Extract for TenantReadDb {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        let db = replica_of(head, resolved::<Self>(head)?).await?;
        db.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, head))
    }
}

impl Extract for Option<TenantReadDb> {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        replica_of(head, resolved::<Self>(head)?).await
    }
}

impl Extract for MasterDb {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        let master = master_of(head, resolved::<Self>(head)?)?;
        master.ok_or_else(|| Rejection::new(RejectionKind::NotMaster, head))
    }
}

impl Extract for Option<MasterDb> {
    async fn extract(head: &Parts) -> Result<Self, Rejection> {
        master_of(head, resolved::<Self>(head)?)
    }
}

/// The tenant of a request, or nothing if it is for none. One that nobody knows is not nothing.
pub(super) async fn tenant_of(head: &Parts, resolved: &Resolved) -> Result<Option<Tenant>, Rejection> {
    match resolved.resolution() {
        Resolution::Invalid(reason) => Err(Rejection::invalid(reason, head)),
        _ => match resolved.tenant().await {
            Err(error) if error.kind() == ErrorKind::UnknownTenant => {
                Err(renamed::redirect(head, resolved).await.unwrap_or_else(|| Rejection::of(error, head)))
            }
            answer => answer.map_err(|error| Rejection::of(error, head)),
        },
    }
}

async fn db_of(head: &Parts, resolved: &Resolved) -> Result<Option<TenantDb>, Rejection> {
    let Some(tenant) = tenant_of(head, resolved).await? else { return Ok(None) };
    resolved.db(&tenant).map(Some).map_err(|error| Rejection::of(error, head))
}

async fn replica_of(head: &Parts, resolved: &Resolved) -> Result<Option<TenantReadDb>, Rejection> {
    let Some(tenant) = tenant_of(head, resolved).await? else { return Ok(None) };
    resolved.replica(&tenant).map(Some).map_err(|error| Rejection::of(error, head))
}

fn master_of(head: &Parts, resolved: &Resolved) -> Result<Option<MasterDb>, Rejection> {
    match resolved.resolution() {
        Resolution::Invalid(reason) => Err(Rejection::invalid(reason, head)),
        Resolution::Master => Ok(Some(resolved.tenancy().master())),
        Resolution::Tenant { .. } | Resolution::None => Ok(None),
    }
}

/// Finds what the layer has attached, for an argument of the type `T`.
pub(super) fn resolved<T>(head: &Parts) -> Result<&Resolved, Rejection> {
    head.extensions.get().ok_or_else(|| {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            let argument = std::any::type_name::<T>();
            let path = head.uri.path();
            tracing::error!(
                "A handler at `{path}` takes a `{argument}`, but `.layer(tenancy.layer())` is not around its \
                 route: add the layer after the route, or wrap the whole router (in actix-web, \
                 `App::wrap(Tenants::new(&tenancy))`)"
            );
        });
        Rejection::new(RejectionKind::NoLayer, head)
    })
}
