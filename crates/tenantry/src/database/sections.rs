//! The keys of the configuration, each once: a field is a key, and its type says how a variable's text is read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::config::{Comment, PoolMode, Verify};
use super::engine::Engine;
use super::period::Period;
use super::replicas::{ReplicaUrls, WithoutReplica};
use crate::placement::Policy;
use crate::tenant::{Alias, ReservedSlugs, SchemaName, TypeName};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sections {
    pub(super) master_schema: Option<SchemaName>,
    pub(super) extension_schemas: Option<Vec<SchemaName>>,
    pub(super) preprocessors: Option<Vec<String>>,
    pub(super) installation: Option<String>,
    pub(super) reserved_slugs: Option<ReservedSlugs>,
    pub(super) databases: BTreeMap<Alias, DatabaseSection>,
    pub(super) migrations: MigrationsSection,
    pub(super) types: BTreeMap<TypeName, TypeSection>,
    pub(super) pool: PoolSection,
    pub(super) replicas: ReplicasSection,
    pub(super) lifecycle: LifecycleSection,
    pub(super) placement: PlacementSection,
}

#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct DatabaseSection {
    pub(super) url: Option<String>,
    pub(super) owner_url: Option<String>,
    pub(super) direct_url: Option<String>,
    pub(super) replica_url: Option<ReplicaUrls>,
    pub(super) closed: Option<bool>,
    pub(super) engine: Option<Engine>,
    pub(super) route_to_workers: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct MigrationsSection {
    pub(super) master: Option<PathBuf>,
    pub(super) tenant: Option<PathBuf>,
}

/// A type of tenants, whose schemas have further files.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TypeSection {
    pub(super) migrations: Option<PathBuf>,
    pub(super) spares: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct LifecycleSection {
    pub(super) keep_deleted: Option<Period>,
}

/// The databases that new tenants are made in.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PlacementSection {
    pub(super) policy: Option<Policy>,
    /// By the name of a setting, then by its value.
    pub(super) by: BTreeMap<String, BTreeMap<String, Vec<Alias>>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PoolSection {
    pub(super) mode: Option<PoolMode>,
    pub(super) max_connections: Option<u32>,
    pub(super) min_connections: Option<u32>,
    pub(super) acquire_timeout_ms: Option<u64>,
    pub(super) move_wait_ms: Option<u64>,
    pub(super) verify: Option<Verify>,
    pub(super) statement_cache_capacity: Option<u32>,
    pub(super) comment: Option<Comment>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReplicasSection {
    pub(super) max_lag_ms: Option<u64>,
    pub(super) look_every_ms: Option<u64>,
    pub(super) max_wait_ms: Option<u64>,
    pub(super) without: Option<WithoutReplica>,
}

impl DatabaseSection {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// URLs hold passwords.
impl fmt::Debug for DatabaseSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSection")
            .field("url", &self.url.is_some())
            .field("owner_url", &self.owner_url.is_some())
            .field("direct_url", &self.direct_url.is_some())
            .field("replica_url", &self.replica_url.is_some())
            .field("closed", &self.closed)
            .field("engine", &self.engine)
            .field("route_to_workers", &self.route_to_workers)
            .finish()
    }
}
