//! The example does what its documentation promises.

#![allow(clippy::unwrap_used)]

/// Requests to `app()`, without a port.
mod app;
/// The pages as a browser shows them: suspended and resumed, settings, leaving with the way back.
mod browser;
/// The program in a folder of its own: it starts PostgreSQL, shares it, and outlives its end.
mod life;
/// The migrations are such as the lint wants them.
mod migrations;
/// The page of the operator, and who cannot reach it.
mod operator;
/// The program itself: it listens, stops when told, and finds its data again.
mod program;
/// The settings of a tenant: its name, its address, and leaving, with the way back.
mod settings;
