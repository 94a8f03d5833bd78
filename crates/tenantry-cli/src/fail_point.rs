//! A moment at which a test lets the program die.
//!
//! With `TENANTRY_DIE_AT=<name>` in the environment, a program that was built for tests ends when it comes to the point
//! of that name, as after `kill -9`. In a release there is none.

/// The archive is in its place, and the catalogue has no entry of it.
pub(crate) const BEFORE_ENTRY: &str = "before-entry";

/// Ends the process if the environment names this point.
#[cfg(debug_assertions)]
pub(crate) fn reached(point: &str) {
    if std::env::var_os("TENANTRY_DIE_AT").is_some_and(|at| at == point) {
        std::process::abort();
    }
}

/// Does nothing: points are for tests.
#[cfg(not(debug_assertions))]
pub(crate) const fn reached(_point: &str) {}
