//! Tests in a world of their own: a fresh database with tenants, and an assertion at the end that nothing leaked.
//!
//! ```no_run
//! use tenantry::TenantDb;
//! use tenantry::testing::World;
//!
//! #[tenantry::test(tenants("acme", "globex"))]
//! async fn notes_stay_with_their_tenant(acme: TenantDb, globex: TenantDb) -> Result<(), sqlx::Error> {
//!     sqlx::query("INSERT INTO note (title) VALUES ('Buy anvils')").execute(&acme).await?;
//!     let others: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&globex).await?;
//!     assert_eq!(others, 0);
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! [`#[tenantry::test]`](crate::test) is [`World::builder`] and [`run`] without the writing; whoever dislikes macros
//! calls them.
//!
//! # Where the database is
//!
//! On the server of `TENANTRY_TEST_URL`, else on the throw-away server of
//! [`tenantry-embedded`](https://docs.rs/tenantry-embedded). For each set of migrations and tenants it is made once, by
//! whichever test of whichever process is first, and each test gets a copy of its files. Where the URL is a
//! superuser's, a role that is none owns the copies: a superuser passes every check of privileges. Otherwise its role
//! needs `CREATEDB`.
//!
//! # What is asserted
//!
//! A test that has passed fails after all if something changed that it had no business with. It may change
//!
//! - tenants that it took a handle of from its [`World`]: an argument, [`World::db`], [`World::request`],
//!   `World::client`; and tenants that it ran a job for by [`Tenancy::for_each`](crate::Tenancy::for_each). But not
//!   those of them for which no statement ran that may write: whoever only reads of a tenant changes nothing there,
//! - the master schema, if a statement ran through a [`MasterDb`](crate::MasterDb) that may write,
//! - tenants that it makes, removes or migrates, and whatever [`World::allow_changes_of`] names.
//!
//! Anywhere else a row, sequence, table, type, function or other object that came, went or changed is a [`Leak`]. So
//! is, wherever it is, a setting, an advisory lock, a temporary table or the like in a session that the pool holds to
//! be clean, a transaction that is still open at the end, and a setting of the whole database. Behind a pooler,
//! sessions are the pooler's, and only their locks and transactions are looked at.
//!
//! What nobody can tell is who of two tenants that both were written to wrote a row. Let the test look at it.

mod argument;
pub mod attribute;
mod builder;
mod evaluate;
mod files;
mod leak;
mod look;
mod permission;
mod prepare;
mod run;
mod world;

pub use self::argument::{FromTenant, FromWorld};
pub use self::builder::WorldBuilder;
pub use self::leak::{Leak, LeakKind};
pub use self::run::{TestResult, run};
pub use self::world::World;
