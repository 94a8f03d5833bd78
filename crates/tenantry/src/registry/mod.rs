//! The catalog of tenants: the tables of the schema `tenantry`, and a cache in front of them.
//!
//! `install` creates and upgrades the tables, from numbered SQL files. `store` has one function per statement, and so
//! have `settings`, `suspension`, `spares`, `runs`, `diary`, `audit`, `structures`, `replays`, `deletion`,
//! `former_slugs`, `kept_files`, `moves`, `nodes`, `databases` and `adoption`; `selection` reads the tenants that
//! somebody chose, and `examination` has the questions of doctor. `cache` finds most tenants without any statement, and
//! `listener` keeps it true: every change of a row is announced with `NOTIFY`, by a trigger, whoever made it. So is
//! what was done to tenants, and `events` tells those who subscribed. `probe` asks one database who it is,
//! `replica_probe` its replicas how far they are, and `trim` forgets what was kept for a while.
//!
//! How stale a cached answer can be is bounded twice. While the listener is connected, a change
//! arrives within milliseconds. While it is not, nothing is served longer than
//! [`RegistryConfig::cache_ttl`] after it was read, and the cache is emptied when the listener is back.
//!
//! The default database holds tenants, domains, runs, moves, the audit of tenants and what is known of databases; every
//! database holds `tenantry.applied`, its spares, the structures and replays that are kept, and the token of the run
//! that may migrate there.

pub(crate) mod adoption;
pub(crate) mod applied;
pub(crate) mod audit;
mod cache;
pub(crate) mod databases;
pub(crate) mod deletion;
pub(crate) mod diary;
mod domains;
mod events;
pub(crate) mod examination;
mod find;
pub(crate) mod former_slugs;
mod install;
pub(crate) mod kept_files;
mod listener;
mod move_method;
pub(crate) mod moves;
pub(crate) mod nodes;
mod probe;
pub(crate) mod replays;
mod replica_probe;
pub(crate) mod runs;
#[cfg(feature = "testing")]
pub(crate) mod schemas_in_use;
mod selection;
mod settings;
pub(crate) mod spares;
pub(crate) mod store;
pub(crate) mod structures;
pub(crate) mod suspension;
mod trim;

pub(crate) use self::applied::with_applied;
pub use self::audit::{AuditEntry, AuditState};
pub use self::databases::Closed;
pub use self::events::TenantEvent;
pub use self::find::{CacheStatus, RegistryConfig};
pub(crate) use self::find::{Registry, unknown};
pub use self::former_slugs::FormerSlug;
pub(crate) use self::install::{LEDGER, install, newest_step, verify};
pub use self::move_method::MoveMethod;
pub use self::moves::{MoveStep, TenantMove};
pub use self::probe::{Probe, slugs_beginning_with};
pub use self::replica_probe::ReplicaProbe;
pub use self::runs::{Run, RunEntry, RunState};
pub(crate) use self::selection::Selection;
pub use self::spares::Spare;
