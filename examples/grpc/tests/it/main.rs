//! The example, by a client of gRPC.
#![allow(clippy::unwrap_used)]

/// Two tenants by gRPC, and what must not mix them up.
mod isolation;
/// The statuses of calls that get no further.
mod statuses;
/// Streams of rows: two tenants at once, a client that leaves, a deadline.
mod streams;
/// The example at a port, and clients for it.
mod support;
