//! Which databases there are and how to reach them.
//!
//! A [`DatabaseConfig`] is one PostgreSQL database; the name it goes by is its *alias*
//! ([`Alias`](crate::tenant::Alias)), and `default` always exists. A tenant lives in exactly one.
//! [`Config`] is the file `tenantry.toml` with the environment laid over it. Nothing here opens a
//! connection.

mod config;
mod file;
mod layout;

pub(crate) use self::config::Way;
pub use self::config::{DatabaseConfig, PoolConfig, PoolMode, Verify};
pub use self::file::Config;
pub(crate) use self::layout::Layout;
