//! Schema-per-tenant PostgreSQL for SaaS.

pub mod database;
mod error;
mod guard;
#[cfg(test)]
mod invariants;
pub mod http;
pub mod migrate;
pub mod observe;
pub mod pool;
mod provision;
pub mod registry;
pub mod resolve;
mod sql;
mod tenancy;
pub mod tenant;
#[cfg(test)]
mod testing;

pub use self::database::{Config, DatabaseConfig, PoolConfig};
pub use self::error::{Error, ErrorKind, Result};
pub use self::migrate::{Fleet, Migrations};
pub use self::pool::{MasterDb, TenantDb};
pub use self::provision::NewTenant;
pub use self::tenancy::{Builder, Tenancy, TenancyStatus};
