//! Tenants in a web application.
//!
//! [`TenancyLayer`] is a plain tower layer: it works with axum, tonic and bare hyper. It attaches
//! to each request who it is for, without asking the database, and rejects nothing.
//!
//! With the feature `axum`, what a handler asks for decides:
//!
//! | argument | on a tenant | on the master | elsewhere |
//! | --- | --- | --- | --- |
//! | [`TenantDb`](crate::TenantDb), [`Tenant`](crate::Tenant) | given | 404 | 404 |
//! | [`TenantReadDb`](crate::TenantReadDb) | given | 404 | 404 |
//! | [`MasterDb`](crate::MasterDb) | 404 | given | 404 |
//! | `Option<TenantDb>`, `Option<TenantReadDb>`, `Option<Tenant>` | `Some` | `None` | `None` |
//! | `Option<MasterDb>` | `None` | `Some` | `None` |
//! | [`Tenancy`](crate::Tenancy), [`Resolved`] | given | given | given |
//!
//! A contradictory host is 400 for all but the last. So is a slug that nobody has 404, and a tenant that may not
//! be served, a full pool and a database that is down 503 with `Retry-After`: for an `Option` too, which is `None`
//! for nothing but a request that is for no tenant.
//!
//! A tenant that is suspended is 503, too, with the message for its customer, and `Retry-After` where there is an end.
//!
//! People get a short page, clients that ask for JSON get JSON, and `TenancyLayer::on_rejection` answers in the
//! application's own words. `TenancyLayer::redirect_renamed` redirects from slugs that tenants had before.
//! [`Error`](crate::Error) is a response as well, so that `?` works in a handler.

mod bypass;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod layer;
mod original_uri;
#[cfg(all(feature = "axum", feature = "tokio-postgres"))]
mod other_drivers;
mod peer;
#[cfg(feature = "axum")]
mod rejection;
#[cfg(feature = "axum")]
mod rejection_kind;
#[cfg(feature = "axum")]
mod renamed;
#[cfg(feature = "axum")]
mod response;
mod vary;

pub use self::bypass::{BYPASS, BypassKey};
pub use self::future::TenancyFuture;
pub use self::layer::{Resolved, TenancyLayer, TenancyService};
#[cfg(feature = "axum")]
pub use self::{extract::require_tenant, rejection::Rejection, rejection_kind::RejectionKind};
pub use crate::resolve::Peer;
