use std::sync::Arc;

use super::{
    baseline::Baseline,
    error::MigrationError,
    set::{Migration, MigrationSet},
};
use crate::error::{Error, ErrorKind};
use crate::tenant::TypeName;

/// The files that the tenants of one type are made of, or those without a type.
#[derive(Clone, Debug)]
pub(crate) struct TenantFiles {
    pub(super) set: Arc<MigrationSet>,
    pub(super) baseline: Option<Arc<Baseline>>,
    /// True if the baseline holds the files of the type; the one of all tenants holds none of them.
    pub(super) has_own_baseline: bool,
    /// Files that cannot be read or told apart: nobody knows which migrations there are.
    pub(super) unknown: Vec<MigrationError>,
    /// Mistakes that matter to new schemas only.
    pub(super) creation: Vec<MigrationError>,
}

impl TenantFiles {
    pub(super) fn of(set: MigrationSet, unknown: Vec<MigrationError>) -> Self {
        let set = Arc::new(set);
        Self { set, baseline: None, has_own_baseline: false, unknown, creation: Vec::new() }
    }

    /// All files, in their order.
    pub(crate) fn set(&self) -> &MigrationSet {
        &self.set
    }

    /// The baseline that new tenants start from, if there is one.
    pub(crate) fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_deref()
    }

    /// The baseline of these files themselves, rather than the one of all tenants that a type starts from.
    pub(crate) fn own_baseline(&self) -> Option<&Baseline> {
        self.baseline().filter(|_| self.has_own_baseline || self.set.type_name().is_none())
    }

    /// The migrations that are part of the baseline.
    pub(crate) fn squashed(&self) -> impl Iterator<Item = &Migration> {
        self.set.iter().filter(|migration| self.is_squashed(migration))
    }

    /// The migrations that a new tenant applies.
    pub(crate) fn beyond_baseline(&self) -> impl Iterator<Item = &Migration> {
        self.set.iter().filter(|migration| !self.is_squashed(migration))
    }

    fn is_squashed(&self, migration: &Migration) -> bool {
        let is_before = self.baseline().is_some_and(|baseline| migration.version() <= baseline.version());
        is_before && (self.has_own_baseline || !migration.is_of_type())
    }

    /// Makes sure that the names of all files were read, so that no version is overlooked.
    ///
    /// # Errors
    /// If it is not known which migrations there are.
    pub(crate) fn check(&self) -> Result<(), MigrationError> {
        self.unknown.first().cloned().map_or(Ok(()), Err)
    }

    /// # Errors
    /// If there is a baseline that cannot be used.
    pub(crate) fn check_baseline(&self) -> Result<(), MigrationError> {
        self.check()?;
        self.creation.first().cloned().map_or(Ok(()), Err)
    }

    /// # Errors
    /// If no new schema can be made of them.
    pub(crate) fn check_creation(&self) -> Result<(), MigrationError> {
        self.check_baseline()?;
        let mut refusals = self.beyond_baseline().flat_map(|migration| migration.up().refusals());
        refusals.next().cloned().map_or(Ok(()), Err)
    }

    /// The mistakes in the files, but for those that all tenants have where these are of a type.
    pub(super) fn mistakes(&self) -> impl Iterator<Item = &MigrationError> {
        let is_of_type = self.set.type_name().is_some();
        let own = self.beyond_baseline().filter(move |migration| migration.is_of_type() == is_of_type);
        let creation = self.creation.iter().filter(move |_| !is_of_type || self.has_own_baseline);
        own.flat_map(Migration::refusals).chain(&self.unknown).chain(creation)
    }
}

/// The error that no tenant of this type can be made or migrated by this program.
pub(super) fn unknown(type_name: &TypeName) -> Error {
    let message = format!("this program knows no type `{type_name}` of tenants");
    Error::new(ErrorKind::Configuration, message)
        .with_hint(format!("write `[types.{type_name}]` into tenantry.toml, or give the tenant another type"))
}
