//! `SeaORM` on the handles of tenants.
//!
//! [`TenantDb`], [`MasterDb`] and [`TenantReadDb`] are connections of `SeaORM`: entities, relations, pages and streams
//! take them by reference, and each statement goes the way of every other one through the pool. A transaction is an
//! [`OrmTransaction`], because `SeaORM` shares its transactions, while those of the pool belong to one user at a time.
//!
//! Nothing here knows a tenant: a statement of `SeaORM` becomes one of the pool, and an error of the pool travels in
//! one of `SeaORM`'s, out of which [`Error`](crate::Error) comes as it went in.
//!
//! | file | what it is |
//! | --- | --- |
//! | `statement` | statements and errors, in either direction |
//! | `kind` | the kind of a transaction, in the words of either |
//! | `nest` | which of the transactions inside of one another is the innermost, without I/O |
//! | `transaction` | a transaction that is shared by those inside of it |
//! | `turn` | statements and streams in a transaction |
//! | `handle` | what a handler holds |
//! | `lent` | a bare connection that somebody lends |
//!
//! [`TenantDb`]: crate::TenantDb
//! [`MasterDb`]: crate::MasterDb
//! [`TenantReadDb`]: crate::TenantReadDb

mod handle;
mod kind;
mod lent;
mod nest;
mod statement;
mod transaction;
mod turn;

pub use self::lent::OrmConnection;
pub use self::transaction::OrmTransaction;
