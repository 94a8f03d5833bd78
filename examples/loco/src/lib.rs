//! Notes of many customers, on Loco.

pub mod app;
pub mod controllers;
pub mod initializers;
pub mod models;
pub mod tasks;
