//! The kind of server behind each database.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

use crate::tenant::Alias;

/// The kind of server that a database is said to be of.
///
/// On Citus the schema of a tenant is a *distributed schema*: its tables are on one of the workers. Naming a kind
/// refuses a server of the other one, before anything is made there, and changes nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Engine {
    /// The server is asked: it is Citus if the database has the extension, and the cluster has nodes.
    #[default]
    Auto,
    /// PostgreSQL, and not Citus.
    Postgres,
    /// The coordinator of a Citus cluster.
    Citus,
}

/// The kind of server that a database turned out to be of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    Postgres,
    Citus,
}

impl Dialect {
    pub(crate) fn is_citus(self) -> bool {
        self == Self::Citus
    }
}

/// The kinds that databases turned out to be of, as soon as one connection was opened to make or change schemas there.
/// Whoever works on a schema has such a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialects(Arc<RwLock<BTreeMap<Alias, Dialect>>>);

impl Dialects {
    /// The kind of a database, if it was asked.
    pub(crate) fn known(&self, alias: &Alias) -> Option<Dialect> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(alias).copied()
    }

    /// The same; PostgreSQL where nobody has asked.
    pub(crate) fn of(&self, alias: &Alias) -> Dialect {
        self.known(alias).unwrap_or_default()
    }

    pub(crate) fn note(&self, alias: &Alias, dialect: Dialect) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(alias.clone(), dialect);
    }
}
