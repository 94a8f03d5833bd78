use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::uri::PathAndQuery;

use super::{Head, InvalidRequest};
use crate::tenant::{DomainName, Slug, TenantId};

/// Decides which tenant a request is for, from its head alone.
///
/// Closures of the right shape implement it. Annotate the parameter; Rust cannot infer its lifetime
/// otherwise:
///
/// ```
/// use http::Request;
/// use tenantry::resolve::{Head, Resolution, Resolve};
///
/// let back_office = |head: &Head<'_>| match head.uri().path() {
///     path if path.starts_with("/admin/") => Resolution::Master,
///     _ => Resolution::None,
/// };
/// let request = Request::builder().uri("/admin/tenants").body(())?;
/// assert_eq!(back_office.resolve(&Head::of(&request)), Resolution::Master);
/// # Ok::<(), http::Error>(())
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The tenant that the request is for.
    ///
    /// Runs on every request: no I/O, no locks.
    fn resolve(&self, head: &Head<'_>) -> Resolution;

    /// The address of the same page for a tenant of another slug, as in `//acme.example.com/notes?page=2`, without the
    /// scheme, which a proxy may have changed; or a path. `None` where a slug is no part of the address.
    ///
    /// Asked only where [`redirect_renamed`](crate::http::TenancyLayer::redirect_renamed) is set, about a request that
    /// this resolver has found to be for a slug that a tenant had before.
    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        let _ = (head, slug);
        None
    }

    /// The headers besides `Host` that the answer depends on. The [layer](crate::Tenancy::layer) names them in the
    /// `Vary` of each response, so that no cache answers a tenant with what it keeps of another one.
    fn varies_by(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Returns true if every request with a host is answered with a tenant, so that no resolver after this one is
    /// ever asked. [`FirstOf`](super::FirstOf) accepts such a resolver only at the end.
    fn is_catch_all(&self) -> bool {
        false
    }
}

impl<F> Resolve for F
where
    F: Fn(&Head<'_>) -> Resolution + Send + Sync + 'static,
{
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        self(head)
    }
}

/// Lets a resolver that was chosen while the program runs be passed on and shared.
impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        (**self).resolve(head)
    }

    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        (**self).address(head, slug)
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        (**self).varies_by()
    }

    fn is_catch_all(&self) -> bool {
        (**self).is_catch_all()
    }
}

impl Resolve for Box<dyn Resolve> {
    fn resolve(&self, head: &Head<'_>) -> Resolution {
        (**self).resolve(head)
    }

    fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        (**self).address(head, slug)
    }

    fn varies_by(&self) -> Vec<HeaderName> {
        (**self).varies_by()
    }

    fn is_catch_all(&self) -> bool {
        (**self).is_catch_all()
    }
}

/// The answer of a resolver: what the head of a request says about its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is for this tenant, if the registry knows the key.
    Tenant {
        /// The tenant to find.
        key: TenantKey,
        /// The path the application shall see, when the tenant was taken out of the path.
        path: Option<PathAndQuery>,
    },
    /// It is for the application itself: sign-up, back office. The master schema is in force.
    Master,
    /// It is for no tenant that can exist, and not for the master either.
    None,
    /// It contradicts itself or is malformed where the tenant should be; answer 400.
    Invalid(InvalidRequest),
}

impl Resolution {
    /// A request for the tenant with this slug, domain or id, whose path stays as it is.
    pub fn tenant(key: impl Into<TenantKey>) -> Self {
        Self::Tenant { key: key.into(), path: None }
    }
}

impl From<InvalidRequest> for Resolution {
    fn from(error: InvalidRequest) -> Self {
        Self::Invalid(error)
    }
}

/// The key that a tenant is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TenantKey {
    /// The slug that the customer chose.
    Slug(Slug),
    /// A domain that the customer registered.
    Domain(DomainName),
    /// The id, which stays when the slug changes: what a token, a session or a job remembers.
    Id(TenantId),
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slug(slug) => slug.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl From<Slug> for TenantKey {
    fn from(slug: Slug) -> Self {
        Self::Slug(slug)
    }
}

impl From<DomainName> for TenantKey {
    fn from(domain: DomainName) -> Self {
        Self::Domain(domain)
    }
}

impl From<TenantId> for TenantKey {
    fn from(id: TenantId) -> Self {
        Self::Id(id)
    }
}
