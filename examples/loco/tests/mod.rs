//! The example does what its README and `docs/loco.md` say.
#![allow(clippy::unwrap_used)]

mod models;
mod requests;
mod tasks;
