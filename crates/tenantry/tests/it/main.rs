//! Tenantry on a real PostgreSQL, from outside. Every test has a database of its own.
#![allow(missing_docs, clippy::unwrap_used)]

mod baseline;
mod code;
mod create;
mod create_stepwise;
mod doctor;
mod errors;
mod existing_schema;
mod files;
mod find;
mod for_each;
mod http;
mod install;
mod links;
mod lint;
mod listener;
mod log;

mod migrate;
mod no_transaction;
mod notifications;
mod outside;
mod pooler;
mod preprocessors;
mod rejections;
mod resilience;
mod roles;
mod runs;
mod settings;
mod spares;
mod sqlx_migrator;
mod stock;
mod support;
mod to_version;
