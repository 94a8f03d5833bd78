//! Redirects from the address of a tenant that was renamed.

use http::HeaderValue;
use http::request::Parts;

use super::layer::TenancyLayer;
use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use super::resolved::Resolved;
use crate::resolve::Head;

/// The wish of the application that such requests are redirected; attached to each by the layer.
#[derive(Clone, Copy)]
struct RedirectRenamed;

impl TenancyLayer {
    /// Redirects requests for a slug that a tenant had before to the same page at its present one, by a 308, which
    /// keeps the method. Without this, a former slug is one that nobody has.
    ///
    /// Scheme, port, path and query stay. That is for the resolvers that know where a tenant of another slug would be,
    /// [`Subdomain`](crate::resolve::Subdomain) and [`PathSegment`](crate::resolve::PathSegment), and a resolver of the
    /// application's own that implements [`Resolve::address`](crate::resolve::Resolve::address). A custom domain is the
    /// tenant's whatever its slug. The answer is not to be cached: a tenant may be renamed back.
    ///
    /// ```no_run
    /// # fn example(tenancy: tenantry::Tenancy, router: axum::Router) {
    /// let app = router.layer(tenancy.layer().redirect_renamed());
    /// # let _ = app;
    /// # }
    /// ```
    pub fn redirect_renamed(self) -> Self {
        self.attach(RedirectRenamed)
    }
}

/// The redirect for a request to nobody, if it is for a slug that a tenant had before.
pub(super) async fn redirect(parts: &Parts, resolved: &Resolved) -> Option<Rejection> {
    parts.extensions.get::<RedirectRenamed>()?;
    // Where this cannot be found out, nobody has the slug.
    let tenant = resolved.formerly().await.ok()??;
    let address = resolved.tenancy().address(&Head::of_parts(parts).at(resolved.uri()), tenant.slug())?;
    let address = HeaderValue::try_from(address).ok()?;
    Some(Rejection::new(RejectionKind::Renamed, parts).leading_to(address))
}
