//! A private PostgreSQL, from the binaries already on the machine.
//!
//! Two kinds of server, told apart by who ends them:
//!
//! * **Throw-away**, for tests. [`ScratchDatabase::create`] gives a fresh database within milliseconds, on a
//!   server which all processes of one test run share. The server and its folder go with the last of these
//!   processes, however it ends. [`ScratchServer`] is a server of one's own, for tests that kill or restart it, or
//!   follow it by a standby, and [`ScratchPooler`] a PgBouncer in transaction mode in front of either.
//!   [`CopiedDatabase`] is a database that is not empty: a copy of one that was made once for all tests.
//! * **Kept**, for development. [`KeptServer::start`] finds or starts the server whose data lives in
//!   `.tenantry/` of a folder. It is detached, durable, and runs until [`KeptServer::stop`].
//!
//! Both listen on the loopback interface only, ask for a random password, and are run by an unprivileged
//! user when the program itself runs as root, since PostgreSQL refuses root.
//!
//! What this crate does not do: it has no opinion on what is inside the databases, it installs nothing
//! (the feature `download` can fetch binaries into a folder), and it never touches a server it did not start.
//!
//! # Example: a test with a database of its own
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use sqlx::Connection;
//! use tenantry_embedded::ScratchDatabase;
//!
//! let database = ScratchDatabase::create().await?;
//! let mut connection = sqlx::PgConnection::connect(database.url()).await?;
//! let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await?;
//! assert_eq!(one, 1);
//! # Ok(())
//! # }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod account;
mod binaries;
mod copies;
#[cfg(feature = "download")]
mod download;
mod error;
mod folder;
mod install;
mod kept;
mod postmaster;
mod scratch;
mod search;
mod secret;
mod sql;

pub use self::{
    binaries::Binaries,
    copies::CopiedDatabase,
    error::{Error, ErrorKind},
    kept::KeptServer,
    scratch::{ScratchDatabase, ScratchPooler, ScratchServer},
};

/// The result of every function of this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
