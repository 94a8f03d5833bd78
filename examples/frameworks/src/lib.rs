//! The same routes with poem, salvo and warp: [`open`] prepares the database, [`Refused`] is what the three share.

pub mod poem;
mod refused;
pub mod salvo;
pub mod warp;

use tenantry::resolve::{FirstOf, PathSegment, Subdomain};
use tenantry::{DatabaseConfig, ErrorKind, Fleet, Migrations, NewTenant, Tenancy};

pub use self::refused::Refused;

/// Connects, brings all schemas up to date, and makes the first two tenants. `base` is the domain below which tenants
/// have their subdomains; `/t/acme` works at any other host too.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(database: DatabaseConfig, base: &str) -> anyhow::Result<Tenancy> {
    let resolver = FirstOf::new(vec![Box::new(PathSegment::under("/t")?), Box::new(Subdomain::of(base)?)])?;
    let tenancy = Tenancy::builder()
        .database(database)
        .migrations(Migrations::from_migrators(
            sqlx::migrate!("migrations/master"),
            sqlx::migrate!("migrations/tenant"),
        )?)
        .resolver(resolver)
        .install(true)
        .connect()
        .await?;
    tenancy.migrate(Fleet::all(), ()).await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            // Made by an earlier start.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}
