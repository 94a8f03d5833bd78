use sqlx::PgPool;

use super::world::World;
#[cfg(feature = "tokio-postgres")]
use crate::pool::TenantClient;
use crate::pool::{MasterDb, TenantDb, TenantReadDb};
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// Something that a test gets as an argument, whatever its name.
#[diagnostic::on_unimplemented(
    message = "a test gets no `{Self}`",
    label = "neither the name of a tenant in `tenants(…)`, nor a type that comes of the world",
    note = "by type there are `World`, `Tenancy`, `MasterDb` and sqlx's `PgPool`"
)]
pub trait FromWorld {
    /// Takes it out of the world.
    fn from_world(world: &World) -> Self;
}

/// Something that a test gets as an argument whose name is that of a tenant.
#[diagnostic::on_unimplemented(
    message = "a tenant is no `{Self}`",
    label = "an argument that has the name of a tenant",
    note = "it may be a `TenantDb`, `Tenant`, `TenantReadDb` or, with the feature `tokio-postgres`, a `TenantClient`"
)]
pub trait FromTenant {
    /// Takes it out of the world for the tenant of this slug.
    ///
    /// # Panics
    /// If no tenant of this slug was there from the beginning.
    fn from_tenant(world: &World, slug: &str) -> Self;
}

impl FromWorld for World {
    fn from_world(world: &World) -> Self {
        world.clone()
    }
}

impl FromWorld for Tenancy {
    fn from_world(world: &World) -> Self {
        world.tenancy().clone()
    }
}

impl FromWorld for MasterDb {
    fn from_world(world: &World) -> Self {
        world.master()
    }
}

impl FromWorld for PgPool {
    fn from_world(world: &World) -> Self {
        world.pool()
    }
}

impl FromTenant for TenantDb {
    fn from_tenant(world: &World, slug: &str) -> Self {
        world.db(slug)
    }
}

impl FromTenant for Tenant {
    fn from_tenant(world: &World, slug: &str) -> Self {
        world.tenant(slug).clone()
    }
}

impl FromTenant for TenantReadDb {
    fn from_tenant(world: &World, slug: &str) -> Self {
        let tenant = world.tenant(slug);
        world.tenancy().replica(tenant).unwrap_or_else(|error| panic!("{error:#}"))
    }
}

#[cfg(feature = "tokio-postgres")]
impl FromTenant for TenantClient {
    fn from_tenant(world: &World, slug: &str) -> Self {
        world.client(slug)
    }
}
