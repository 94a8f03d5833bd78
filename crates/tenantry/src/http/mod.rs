//! Tenants in a web application.
//!
//! [`TenancyLayer`] is a plain tower layer: it works with axum, tonic and bare hyper. It attaches
//! to each request who it is for, without asking the database, and rejects nothing.
//!
//! What a handler asks for decides, by [`Extract`]. The features `axum` and `tonic` make extractors of it, so does the
//! crate `tenantry-actix` for actix-web, which is not built on tower:
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
//! With their features, `TenantClient` and `TenantDiesel` are like `TenantDb`, and so are those of the master.
//!
//! A contradictory host is 400 for all but the last. So is a slug that nobody has 404, and a tenant that may not
//! be served, a full pool and a database that is down 503 with `Retry-After`: for an `Option` too, which is `None`
//! for nothing but a request that is for no tenant.
//!
//! A tenant that is suspended is 503, too, with the message for its customer, and `Retry-After` where there is an end.
//!
//! People get a short page, clients that ask for JSON get JSON, and `TenancyLayer::on_rejection` answers in the
//! application's own words. `TenancyLayer::redirect_renamed` redirects from slugs that tenants had before.
//! [`Error`](crate::Error) is a response as well, so that `?` works in a handler. Callers of gRPC get a status of gRPC
//! (`grpc`).

#[cfg(feature = "axum")]
mod axum;
mod bypass;
mod extract;
mod future;
#[cfg(feature = "tonic")]
pub mod grpc;
mod layer;
mod original_uri;
#[cfg(feature = "tokio-postgres")]
mod other_drivers;
mod peer;
mod rejection;
mod rejection_kind;
mod renamed;
mod resolved;
mod response;
mod vary;

#[cfg(feature = "axum")]
pub use self::axum::require_tenant;
pub use self::bypass::{BYPASS, BypassKey};
pub use self::extract::Extract;
pub use self::future::TenancyFuture;
pub use self::layer::{TenancyLayer, TenancyService};
pub use self::rejection::Rejection;
pub use self::rejection_kind::RejectionKind;
pub use self::resolved::Resolved;
pub use crate::resolve::Peer;
