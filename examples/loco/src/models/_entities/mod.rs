//! The entities, which know nothing of tenants.

pub mod notes;
