//! The answers to requests.

pub mod notes;
