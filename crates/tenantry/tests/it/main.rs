//! Tenantry on a real PostgreSQL, from outside. Every test has a database of its own.
#![allow(missing_docs, clippy::unwrap_used)]

mod adopt;
#[cfg(feature = "archive")]
mod archive;
mod audit;
mod baseline;
#[cfg(all(feature = "diesel-async", feature = "sea-orm", feature = "tonic"))]
mod bypass;
mod citus;
mod clone;
mod code;
mod create;
mod create_stepwise;
mod deletion;
#[cfg(feature = "diesel-async")]
mod diesel;
mod doctor;
mod drift;
mod errors;
mod events;
mod existing_schema;
mod files;
mod find;
mod findings;
mod for_each;
mod hosts;
mod http;
mod install;
/// The assertions on isolation that every web framework has to pass, over HTTP.
mod isolation;
mod jobs;
mod links;
mod lint;
mod listener;
mod log;

#[cfg(feature = "archive")]
mod majors;
mod migrate;
mod no_transaction;
mod notifications;
mod online_move;
#[cfg(feature = "sea-orm")]
mod orm;
mod outside;
mod permissions;
mod placement;
mod pooler;
mod preprocessors;
mod proxy;
mod rejections;
mod relocate;
mod rename;
mod replicas;
mod resilience;
mod retries;
mod roles;
mod runs;
mod settings;
mod silence;
mod spans;
mod spares;
mod sqlx_migrator;
mod stock;
mod support;
mod suspend;
mod tls;
mod to_version;
mod together;
mod types;
