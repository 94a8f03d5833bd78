//! The attribute `#[tenantry::test]`, which the crate `tenantry` exports with its feature `testing`.
//!
//! It only turns an `async fn` into a test that calls `tenantry::testing`: what a test gets, and what is asserted at
//! its end, is decided there.
//!
//! * `options`: the arguments of the attribute.
//! * `expand`: the function that comes of it.
mod expand;
mod options;

use proc_macro::TokenStream;

/// Runs an `async fn` as a test, in a world of its own: a fresh database with these tenants.
///
/// ```text
/// #[tenantry::test(tenants("acme", "globex"))]
/// async fn notes_stay_with_their_tenant(world: World, acme: TenantDb, globex: TenantDb) -> Result<(), sqlx::Error> {
///     …
/// }
/// ```
///
/// | argument of the attribute | meaning |
/// | --- | --- |
/// | `tenants("acme", "globex")` | the slugs of the tenants that are there; none unless given |
/// | `migrations = "migrations"` | a folder beside the `Cargo.toml`, with the folders `master` and `tenant` |
/// | `migrations(master = "a", tenant = "b")` | the two folders by name, or one of them |
/// | `migrations = expression` | anything else: a `tenantry::Migrations` |
/// | `domain = "example.com"` | the domain whose subdomains are the tenants |
/// | `configure = path` | a function `fn(tenantry::Builder) -> tenantry::Builder` |
/// | `behind_pooler` | the application comes through a `PgBouncer` in transaction mode |
/// | `flavor = "multi_thread"` | tokio's runtime of several threads instead of that of one |
///
/// Where no migrations are given, those of the folder `migrations` are taken, if it exists. A flat folder is for an
/// application without tenants.
///
/// An argument of the function is a tenant where its name is the slug of one, `-` written `_`: a `TenantDb`, a
/// `Tenant`, a `TenantReadDb`, or a `TenantClient`. Any other is found by its type: `World`, `Tenancy`, `MasterDb`,
/// sqlx's `PgPool`.
///
/// The function may answer with `()` or a `Result`. `#[ignore]`, `#[should_panic]`, `#[cfg(…)]` and other attributes
/// stay with it.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(arguments.into(), function.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
