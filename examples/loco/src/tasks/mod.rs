//! The work that is started by `cargo loco task`.

pub mod tenant_create;
