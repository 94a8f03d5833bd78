//! One PostgreSQL schema per customer, for applications written in Rust.
//!
//! A request arrives at `acme.example.com`. The [middleware](http) finds out that it is for the
//! tenant `acme`, the [registry] knows in which schema that tenant lives, and every connection
//! that is checked out for the request is [prepared](pool) for that schema and verified by the server
//! before the first statement runs. The handler writes plain SQL with unqualified names.
//!
//! ```no_run
//! use axum::{Json, Router, routing::get};
//! use tenantry::resolve::Subdomain;
//! use tenantry::{DatabaseConfig, Migrations, Tenancy, TenantDb};
//!
//! async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
//!     Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tenancy = Tenancy::builder()
//!     .database(DatabaseConfig::from_url("postgres://app@localhost/saas")?)
//!     .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
//!     .resolver(Subdomain::of("example.com")?)
//!     .connect()
//!     .await?;
//!
//! let app = Router::new().route("/notes", get(list)).layer(tenancy.layer());
//! # let _: Router = app;
//! # Ok(())
//! # }
//! ```
//!
//! # A tenant
//!
//! [`Tenancy::create`] makes one: its schema, the tables of all tenant migrations, a row in the
//! registry. [`Tenancy::tenant`] finds it again, mostly without asking the database. Text from outside
//! becomes a [`Slug`] or a [`DomainName`](tenant::DomainName) once and is trusted from
//! there on; the name of the schema is [generated](tenant::SchemaName::generate) and never changes.
//!
//! ```no_run
//! # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
//! use tenantry::NewTenant;
//!
//! let acme = tenancy.create(NewTenant::new("acme").name("Acme Ltd")).await?;
//! assert_eq!(tenancy.tenant("acme").await?, acme);
//! # Ok(())
//! # }
//! ```
//!
//! # Its tables
//!
//! [`TenantDb`] is what a handler holds: `&db` runs statements like `&PgPool` does, `db.begin()` opens a
//! transaction, `db.acquire()` keeps one session. [`MasterDb`] is the same for the master schema,
//! where shared tables live, and a different type. A table that is missing in a tenant is an
//! error; it never falls through to a table of that name elsewhere.
//!
//! ```no_run
//! # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
//! let acme = tenancy.tenant("acme").await?;
//! let db = tenancy.db(&acme)?;
//! let mut tx = db.begin().await?;
//! sqlx::query("INSERT INTO note (title) VALUES ($1)").bind("Hello").execute(&mut *tx).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to read on
//!
//! | to | read |
//! | --- | --- |
//! | decide which tenant a request is for | [`resolve`] |
//! | use it with axum, or any tower service | [`http`] |
//! | set more than the schema on each connection | [`pool::Preprocessor`] |
//! | read from replicas | [`Tenancy::replica`], [`TenantReadDb`] |
//! | do something for every tenant | [`Tenancy::for_each`] |
//! | run jobs of a queue, each for its tenant | [`ForTenant`], [`Tenancy::db_of`], [`Tenancy::master_pool`] |
//! | delete a tenant, and bring it back | [`Tenancy::delete`], [`Tenancy::undelete`], [`Tenancy::purge`] |
//! | write migrations, and bring a fleet up to date | [`migrate`], [`Tenancy::migrate`] |
//! | configure it by file and environment | [`Config`] |
//! | spread tenants over several databases | [`placement`] |
//! | put tenants on Citus | [`database::Engine`] |
//! | work behind a pooler such as `PgBouncer` | [`database::PoolMode`] |
//! | find out whether it is set up as it should be | [`doctor`] |
//! | see whose work it is in logs and traces | [`observe`], [`Comment`](database::Comment) |
//! | keep something in a cache | [`Tenant::key`] |
//! | know what can fail, and what to do then | [`Error`], [`ErrorKind`] |
//! | run code deep inside for a tenant | [`Tenancy::scope`], [`Tenancy::current`] |
//!
//! Jobs and scripts use the same [`Tenancy`]; none of it needs a web server.
//!
//! # Features
//!
//! `axum` (default): extractors, rejections, and [`Error`] as a response. Without it the tower layer
//! remains, which needs nothing but `tower-layer`, `tower-service` and `http`.
//!
//! `tokio-postgres`: handles for code written against tokio-postgres, on a pool of their own for each
//! database; see `Tenancy::client`.
//!
//! `diesel-async`: the same for code written against Diesel, by the traits of the crate of that name; see
//! `Tenancy::diesel`.
//! `sea-orm`: [`TenantDb`], [`MasterDb`] and [`TenantReadDb`] are connections of `SeaORM` 2; see
//! `pool::OrmTransaction`.
//!
//! `archive`: a tenant in one file, and back; see `Tenancy::export`.
//!
//! `testing`: tests in a world of their own, and an assertion at their end that nothing leaked; see `testing`.
//!
//! `metrics`: what the pools do, through the `metrics` facade; see [`pool`].

/// The example of the README compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(test)]
mod chaos;
mod context;
pub mod database;
pub mod doctor;
mod error;
mod fail_point;
#[cfg(test)]
mod fixture;
mod guard;
pub mod http;
#[cfg(test)]
mod invariants;
pub mod lifecycle;
pub mod migrate;
mod migration;
pub mod observe;
pub mod placement;
pub mod pool;
mod provision;
pub mod registry;
pub mod resolve;
mod sql;
mod structure;
mod tenancy;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::database::{Config, DatabaseConfig, Engine, PoolConfig};
pub use self::error::{Error, ErrorKind, Result};
pub use self::lifecycle::{
    Adoption, CloneOptions, Cloned, DatabaseState, DrainPlan, ExaminedDatabase, Footprint, ImportedDatabase,
    MoveOptions, MovePlan, Moved, PurgeOptions, SourceDatabase,
};
#[cfg(feature = "archive")]
pub use self::lifecycle::{ExportOptions, Exported, FromArchive, ImportedTenant};
pub use self::migrate::{Fleet, Migrations};
pub use self::pool::{MasterDb, TenantDb, TenantReadDb, Transaction};
pub use self::provision::{KeepSpares, NewTenant, SpareKeeper, SpareSummary};
pub use self::tenancy::{Builder, Tenancy, TenancyStatus};
pub use self::tenant::{ForTenant, Slug, Tenant};
#[cfg(feature = "testing")]
pub use tenantry_macros::test;
