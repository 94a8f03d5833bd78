//! Tenants in an application on actix-web 4.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use tenantry::{Tenancy, TenantDb};
//! use tenantry_actix::{Ask, Result, Tenants};
//!
//! async fn list(Ask(db): Ask<TenantDb>) -> Result<web::Json<Vec<String>>> {
//!     Ok(web::Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
//! }
//!
//! async fn serve(tenancy: Tenancy) -> std::io::Result<()> {
//!     HttpServer::new(move || {
//!         App::new().wrap(Tenants::new(&tenancy)).route("/notes", web::get().to(list))
//!     })
//!     .h1_allow_half_closed(false)
//!     .bind("127.0.0.1:8080")?
//!     .run()
//!     .await
//! }
//! ```
//!
//! - [`Tenants`] is the middleware. It attaches to each request who it is for, without asking the database, and rejects
//!   nothing. Around an `App` it runs before a route is chosen, so
//!   [`PathSegment`](tenantry::resolve::PathSegment) works like any other resolver.
//! - [`Ask`] is the extractor: `Ask<TenantDb>`, `Ask<Option<TenantDb>>`, and whatever else
//!   [`Extract`](tenantry::http::Extract) knows.
//! - [`Rejection`] is the answer where there is nothing to be had, with the status and the body that an application on
//!   axum would give, and [`Error`] lets `?` work in a handler.
//!
//! # Types of its own
//!
//! `FromRequest` and `ResponseError` are traits of actix-web, `TenantDb` and `Error` types of `tenantry`. Only a crate
//! that has one or the other may bring them together, so here is a type around each: `Ask(db)` takes it off.
//!
//! # A client that goes away
//!
//! actix-web lets a handler run to its end although its client is gone, unless the server is told
//! `h1_allow_half_closed(false)`. Then it drops the handler, like axum does, and Tenantry rolls its transaction back.
//!
//! # Runtimes
//!
//! Each worker of actix-web is a thread with a runtime of its own. A [`Tenancy`](tenantry::Tenancy) is shared by all of
//! them; its connections and its background work belong to the runtime that connected it. Clone it into the closure of
//! `HttpServer::new` and do not connect there, which would give each worker a pool of its own.

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod ask;
mod error;
mod head;
mod rejection;
mod reply;
mod require_tenant;
mod tenants;

pub use self::ask::Ask;
pub use self::error::{Error, Result};
pub use self::rejection::Rejection;
pub use self::require_tenant::require_tenant;
pub use self::tenants::Tenants;
