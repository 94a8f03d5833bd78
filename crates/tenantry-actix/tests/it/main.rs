//! The answers of an application on actix-web, request by request, without a port.
#![allow(clippy::unwrap_used)]

/// The arguments of handlers, and the requests they are given on.
mod arguments;
/// The answers to requests that get no further, and to handlers that fail.
mod rejections;
/// The ways in which a request tells its tenant: path, peer, what other middleware knows.
mod resolvers;
/// An application with one tenant, and requests to it.
mod support;
/// Suspended tenants, and the way in for support staff.
mod suspended;
