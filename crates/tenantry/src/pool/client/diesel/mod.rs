//! The same pool for Diesel, by the traits of diesel-async.
//!
//! [`TenantDiesel`] is to Diesel what [`TenantClient`](super::TenantClient) is to tokio-postgres: each statement has a
//! checkout of its own, a transaction has one until it ends. Nothing of Diesel's own connections is used, and nothing
//! of `libpq`.
//!
//! Diesel knows the types of a schema by name, a server by numbers that are others in each tenant's schema. No number
//! is remembered here: the server says which types a statement takes when it prepares that for a tenant, and the
//! values that it is given later hold those numbers.

mod connection;
mod custom;
mod handle;
mod row;
mod serialize;
mod transaction;

pub use self::handle::{MasterDiesel, TenantDiesel};
pub use self::row::{DieselRow, DieselRows};
pub use self::transaction::{DieselTransaction, DieselTransactionManager};
