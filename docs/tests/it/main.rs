//! The pages of the documentation do what they say. A module holds the code of the page of its name.
// Handlers of axum are async functions, with or without something to wait for.
#![allow(missing_docs, clippy::unused_async, clippy::unwrap_used)]

mod actix;
mod caching;
mod checked_queries;
mod citus;
mod copy;
mod diesel;
mod documents;
mod errors;
mod frameworks;
mod jobs;
mod layers;
mod links;
mod listen;
mod loco;
mod metrics;
mod other_languages;
mod packaging;
mod pgbouncer;
mod placement;
mod proxies;
mod replicas;
mod roles;
mod savepoints;
mod sea_orm;
mod sessions;
mod spawn;
mod streaming;
mod support;
mod suspend;
mod testing;
mod tokio_postgres;
mod tonic;
mod tracing;
mod websockets;
