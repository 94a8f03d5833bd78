use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use tenantry::Tenant;

use crate::ask::Ask;

/// Answers requests that are for no tenant, before any handler runs. A middleware for a scope or a resource.
///
/// ```
/// use actix_web::middleware::from_fn;
/// use actix_web::web;
/// use tenantry_actix::require_tenant;
///
/// async fn notes() -> &'static str {
///     "notes"
/// }
///
/// let tenants_only = web::scope("/notes").wrap(from_fn(require_tenant)).route("", web::get().to(notes));
/// # let _ = tenants_only;
/// ```
///
/// # Errors
/// The [`Rejection`](crate::Rejection) that answers the request.
pub async fn require_tenant(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    request.extract::<Ask<Tenant>>().await?;
    next.call(request).await
}
