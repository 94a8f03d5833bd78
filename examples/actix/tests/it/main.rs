//! The example bears what every framework has to.
#![allow(clippy::unwrap_used)]

/// Two tenants over HTTP, and what must not mix them up.
mod isolation;
/// A pool in an application of several runtimes.
mod runtimes;
