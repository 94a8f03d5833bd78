//! Tells which tenant a request is for.
//!
//! A [`Resolve`] turns the [`Head`] of a request into a [`Resolution`]: a [`TenantKey`], the master schema,
//! nothing, or a complaint. It never asks the database: looking a key up is the registry's work, so
//! everything here is pure. Nor does it answer requests: what follows from a resolution is decided by whoever
//! asks for a tenant.
//!
//! | resolver | tenant `acme` is at | trusts |
//! | --- | --- | --- |
//! | [`Subdomain`] | `acme.example.com` | the host |
//! | [`CustomDomain`] | `notes.acme.com` | the host |
//! | [`PathSegment`] | `example.com/t/acme/…` | the path |
//! | [`Header`] | a gateway that sends `x-tenant: acme` | peers in given networks |
//! | [`FirstOf`] | whatever the first of several says | |
//!
//! An application's own resolver is a closure or a type that implements [`Resolve`].
//!
//! # What is well formed
//!
//! The host is the authority of the URI (HTTP/2, absolute form) or else the one `Host` header. Two of them,
//! two that differ, or one that is no host are [`Invalid`](Resolution::Invalid): a proxy in front may have
//! read the other one. A host that is fine but that no tenant can have is [`None`](Resolution::None).
//!
//! `X-Forwarded-Host` and [`Header`] are written by whoever sends the request. They count only when the
//! [`Peer`], the other end of the TCP connection, is in a network the resolver was told to trust.
//!
//! ```
//! use http::Request;
//! use tenantry::resolve::{CustomDomain, FirstOf, Head, Resolution, Resolve, Subdomain};
//! use tenantry::tenant::{DomainName, Slug};
//!
//! let resolver = FirstOf::new(vec![
//!     Box::new(Subdomain::of("example.com")?),
//!     Box::new(CustomDomain::new()),
//! ])?;
//! let resolve = |host| {
//!     let request = Request::builder().header("host", host).body(())?;
//!     Ok::<_, http::Error>(resolver.resolve(&Head::of(&request)))
//! };
//!
//! assert_eq!(resolve("ACME.example.com:8443")?, Resolution::tenant(Slug::parse("acme")?));
//! assert_eq!(resolve("www.example.com")?, Resolution::Master);
//! assert_eq!(resolve("notes.acme.com")?, Resolution::tenant(DomainName::parse("notes.acme.com")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod custom_domain;
mod first_of;
mod head;
mod header;
mod invalid_request;
mod invalid_resolver;
mod path_segment;
mod peer;
mod resolution;
mod subdomain;
#[cfg(test)]
mod tests;

pub use self::{
    custom_domain::CustomDomain,
    first_of::FirstOf,
    head::Head,
    header::Header,
    invalid_request::InvalidRequest,
    invalid_resolver::InvalidResolver,
    path_segment::PathSegment,
    peer::Peer,
    resolution::{Resolution, Resolve, TenantKey},
    subdomain::Subdomain,
};
