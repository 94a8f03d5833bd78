//! The databases there are, and the ways to reach them.
//!
//! A [`DatabaseConfig`] is one PostgreSQL database; the name it goes by is its *alias*
//! ([`Alias`](crate::tenant::Alias)), and `default` always exists. A tenant lives in exactly one.
//!
//! [`Config`] is the file `tenantry.toml` with the environment laid over it. What an application or a flag sets goes
//! before that; then comes the variable `TENANTRY_…` of a key, `DATABASE_URL`, the file, the default. Keys are the
//! fields of the structs in `sections`, which serde reads through `layers`; `environment` knows what variables
//! there may be, and `mistake` tells a mistake without repeating a value.
//!
//! Nothing here opens a connection.

mod config;
mod engine;
mod environment;
mod file;
mod layers;
mod layout;
mod mistake;
mod period;
mod replicas;
mod route;
mod sections;
mod url;

pub(crate) use self::config::Way;
pub use self::config::{Comment, DatabaseConfig, PoolConfig, PoolMode, Verify};
pub use self::engine::Engine;
pub(crate) use self::engine::{Dialect, Dialects};
pub use self::file::Config;
pub(crate) use self::layout::Layout;
pub use self::period::{InvalidPeriod, Period};
pub use self::replicas::{ReplicaConfig, WithoutReplica};
pub(crate) use self::route::Route;
pub(crate) use self::url::Wanted;
