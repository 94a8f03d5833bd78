//! Tenants in a web application.
//!
//! [`TenancyLayer`] is a plain tower layer: it works with axum, tonic and bare hyper. It attaches
//! to each request who it is for, without asking the database, and rejects nothing.
//!
//! With the feature `axum`, what a handler asks for decides:
//!
//! | argument | on a tenant | on the master | elsewhere |
//! | --- | --- | --- | --- |
//! | [`TenantDb`](crate::TenantDb), [`Tenant`](crate::tenant::Tenant) | given | 404 | 404 |
//! | [`MasterDb`](crate::MasterDb) | 404 | given | 404 |
//! | [`Tenancy`](crate::Tenancy) | given | given | given |
//!
//! A contradictory host is 400 for all but the last. A tenant that may not be served, a
//! full pool and a database that is down are 503 with `Retry-After`. People get a short page,
//! clients that ask for JSON get JSON. [`Error`](crate::Error) is a response as well, so that `?` works
//! in a handler.

#[cfg(feature = "axum")]
mod extract;
mod layer;
mod peer;
#[cfg(feature = "axum")]
mod rejection;

pub use self::layer::{Resolved, TenancyLayer, TenancyService};
#[cfg(feature = "axum")]
pub use self::{
    extract::require_tenant,
    rejection::{Rejection, RejectionKind},
};
pub use crate::resolve::Peer;
