//! The invariants of the design, each with a test that fails when its guard is left out.
//!
//! They are inside the crate because the switches exist in its own tests only; the server is real.
#![allow(clippy::unwrap_used)]

mod ambient;
mod cancellation;
mod crossing;
mod fall_through;
mod ledger;
mod pooler;
mod quoting;
mod statements;
mod switching;
