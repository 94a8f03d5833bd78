//! The models.

pub mod _entities;
