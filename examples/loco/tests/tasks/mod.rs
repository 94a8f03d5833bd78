//! The commands of `cargo loco`.

mod generator;
