//! Real servers, from the binaries on this machine.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

/// Folders, processes and waiting.
mod bench;
/// Copies of templates, by several processes and on a server of the user's.
mod copies;
/// Debug output shows no password.
mod debug;
/// Fetching PostgreSQL from a server on this machine.
#[cfg(feature = "download")]
mod download;
/// Work in a process of its own, so that it can be killed.
mod helper;
/// The server for development.
mod kept;
/// Servers of one's own: kill and restart.
mod own_server;
/// Nothing is left when the owners of a server end.
mod owners_end;
/// Databases on the shared server.
mod scratch;
/// Root and other users.
mod users;
