//! The things that Loco sets up before it serves.

pub mod tenancy;
